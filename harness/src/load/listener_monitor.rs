//! Which listeners there are, from one moment to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};
use crate::net::family::{Family, PORT};
use crate::net::witness::{SocketLine, State, is_end_of_table};
use crate::process::thread;
use crate::wait;

/// How often a [`ListenerMonitor`] looks.
pub const TICK: Duration = Duration::from_millis(1);

/// The inodes of all listeners at the lab's port that are sockets of `family`, in the network
/// namespace of the calling thread.
///
/// `/proc/net/tcp` and `tcp6` list listeners first, so that what follows them, which may be
/// tens of thousands of connections, is not read.
///
/// # Errors
/// `/proc` is not there, or unreadable.
pub fn listeners(family: Family) -> Result<BTreeSet<u64>> {
    Ok(queues(family)?.into_keys().collect())
}

/// The same, each with how many children wait in its accept queue.
fn queues(family: Family) -> Result<BTreeMap<u64, u32>> {
    let path = match family {
        Family::V4 => "/proc/thread-self/net/tcp",
        Family::V6 | Family::V4Mapped => "/proc/thread-self/net/tcp6",
    };
    let mut file = File::open(path).call(|| format!("open({path})"))?;
    let mut text = Vec::new();
    let mut page = [0; 4096];
    loop {
        let got = file.read(&mut page).call(|| format!("read({path})"))?;
        text.extend_from_slice(&page[..got]);
        let whole = String::from_utf8_lossy(&text);
        let (listeners, other) = parse(&whole)?;
        if other || is_end_of_table(got) {
            return Ok(listeners);
        }
    }
}

/// The listeners, and whether something came after them.
fn parse(text: &str) -> Result<(BTreeMap<u64, u32>, bool)> {
    let mut listeners = BTreeMap::new();
    // The last line may be cut off.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines().skip(1) {
        let socket = SocketLine::parse(line)
            .ok_or_else(|| Error::unreadable("a line of /proc/net/tcp", line))?;
        match socket.state {
            State::Listen if socket.local.port() == PORT => {
                listeners.insert(socket.inode, socket.waiting);
            }
            State::Listen => {}
            _ => return Ok((listeners, true)),
        }
    }
    Ok((listeners, false))
}

/// Whether somebody listens at the lab's port with an IPv6 socket, who as a rule gets the
/// clients of IPv4 when there is no IPv4 listener.
///
/// This one walks through all connections, which takes long where there are many.
///
/// # Errors
/// `/proc` is unreadable.
fn has_ipv6_listener() -> Result<bool> {
    // A kernel without IPv6 has no such file.
    let text = fs::read_to_string("/proc/thread-self/net/tcp6").unwrap_or_default();
    Ok(!parse(&text)?.0.is_empty())
}

/// A change of who listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListenerChange {
    /// When it was seen, at most [`TICK`] and what the machine is busy with too late; since
    /// the watch's epoch.
    pub at: Duration,
    /// When nothing was changed yet.
    pub last_look: Duration,
    /// Who listens from then on.
    pub listeners: BTreeSet<u64>,
    /// Whether, when there are none, clients find an IPv6 listener.
    pub covered: bool,
    /// How many children were in the queues of those who listened before and do not any more,
    /// when they were last seen.
    pub queues: BTreeMap<u64, u32>,
}

impl ListenerChange {
    /// When it happened, as far as is known: between two looks.
    pub fn moment(&self) -> Duration {
        self.last_look + self.at.saturating_sub(self.last_look) / 2
    }
}

/// Looks at the listeners all the time.
pub struct ListenerMonitor {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<ListenerChange>>>,
}

impl ListenerMonitor {
    /// Starts to watch the listeners of this thread's network namespace that are sockets of
    /// `family`.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub fn start(epoch: Instant, family: Family) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        Ok(Self { over, thread: thread::spawn(move || watch(epoch, family, &ends))? })
    }

    /// Stops and returns the changes that it saw, in order.
    ///
    /// # Errors
    /// `/proc` could not be read.
    pub fn finish(self) -> Result<Vec<ListenerChange>> {
        self.over.store(true, Ordering::Release);
        let died = |_| Error::unreadable("the watch of listeners", "its thread died");
        self.thread.join().map_err(died)?
    }
}

fn watch(epoch: Instant, family: Family, over: &AtomicBool) -> Result<Vec<ListenerChange>> {
    let mut changes: Vec<ListenerChange> = Vec::new();
    let mut before = BTreeMap::new();
    let mut last_look = epoch.elapsed();
    while !over.load(Ordering::Acquire) {
        let look = epoch.elapsed();
        let now = queues(family)?;
        let listeners: BTreeSet<u64> = now.keys().copied().collect();
        if changes.last().is_none_or(|last| last.listeners != listeners) {
            let at = epoch.elapsed();
            let covered = listeners.is_empty() && family == Family::V4 && has_ipv6_listener()?;
            before.retain(|listener, _| !listeners.contains(listener));
            changes.push(ListenerChange { at, last_look, listeners, covered, queues: before });
        }
        (before, last_look) = (now, look);
        wait::pause(TICK);
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr ...\n";

    fn line(local: &str, state: &str, inode: u64) -> String {
        format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0 \
             0 {inode} 1 0000000000000000 100 0 0 10 0\n"
        )
    }

    #[test]
    fn only_the_port_s_listeners_count_and_what_follows_is_not_read() {
        let text = [
            HEAD.to_owned(),
            line("00000000:0050", "0A", 7),
            line("00000000:1F90", "0A", 8),
            line("0100007F:0050", "0A", 9),
        ]
        .concat();
        assert_eq!(parse(&text).expect("lines"), (BTreeMap::from([(7, 0), (9, 0)]), false));
        let longer = text + &line("0100007F:0050", "06", 0) + "   4: 010";
        assert_eq!(parse(&longer).expect("lines"), (BTreeMap::from([(7, 0), (9, 0)]), true));
    }
}
