//! What closing costs: the time of one `close()`, by how many children wait in the accept
//! queue, and the memory that these hold.
//!
//! Everything is at rest when the listener closes: nobody comes, and nothing is in flight.
//! So with migration not a single child may be lost, and without it each one is.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use harness::process::Returned;
use harness::socket::{Client, Listener, Received, Stream};
use harness::witness::{Counters, memory, tcp_memory};
use harness::{Context, Error, Family, PORT, Result, inside, sysctl, wait};
use serde::{Deserialize, Serialize};

/// How the work of these labs begins.
const PREFIX: &str = "reload-close-cost ";

/// How many children wait, from size to size.
pub const SIZES: [u32; 6] = [1, 10, 100, 1_000, 10_000, 50_000];

/// The first port of a client.
const FIRST_PORT: u16 = 1024;

/// Where clients come from.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 1);

/// Descriptors besides those of clients.
const SPARE_DESCRIPTORS: u64 = 64;

/// What a connection takes, both ends with a segment in a queue, in bytes; amply.
const CONNECTION_BYTES: i64 = 16 * 1024;

/// A segment in a queue is charged with a page, and TCP is under pressure, and drops
/// segments, from about a twentieth of the memory on (`tcp_mem`).
const PRESSURE_BYTES: i64 = 24 * 4096;

/// What each client sends.
const REQUEST: &[u8] = b"Hello World";

/// A listener to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closing {
    /// How many children wait in its accept queue.
    pub children: u32,
    /// Whether `tcp_migrate_req` is on.
    pub on: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// It was closed.
    Measured(Cost),
    /// There can be no so many children here, for a reason.
    Impossible(String),
}

/// What a close cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// How long `close()` took, in microseconds. What it sends is delivered meanwhile, as
    /// both ends are on this machine.
    pub close_us: f64,
    /// How many clients were reset.
    pub reset: u32,
    /// How many children another listener of the group could accept.
    pub accepted: u32,
    /// By how much `TCPMigrateReqSuccess` grew, where there is such a counter.
    pub migrated: Option<i64>,
    /// What TCP had charged for the children's segments, in bytes: before the close,
    pub held_bytes: i64,
    /// and behind it.
    pub left_bytes: i64,
}

impl Closing {
    /// The work that a lab is told.
    pub fn work(&self) -> String {
        PREFIX.to_owned() + &serde_json::to_string(self).expect("it can be written as JSON")
    }

    /// About how long it takes.
    pub fn takes(&self) -> Duration {
        Duration::from_millis(100) + Duration::from_micros(60) * self.children
    }

    /// When a lab that does it counts as hung.
    pub fn deadline(&self) -> Duration {
        (Duration::from_secs(30) + self.takes() * 20) * wait::slowness()
    }
}

/// Does a lab's work if it is one of these.
pub(crate) fn lab_work(work: &str) -> Option<Returned> {
    let closing = work.strip_prefix(PREFIX)?;
    let closed = serde_json::from_str::<Closing>(closing)
        .map_err(|e| format!("a closing that cannot be read: {e}"))
        .and_then(|closing| run(closing).map_err(|e| e.to_string()));
    Some(Returned::json(&closed, vec![]))
}

fn run(closing: Closing) -> Result<Closed> {
    let needed = u64::from(closing.children) + SPARE_DESCRIPTORS;
    let bounds = Bounds { descriptors: inside::allow_descriptors(needed)?, memory: memory()? };
    if let Some(why) = bounds.forbid(closing.children) {
        return Ok(Closed::Impossible(why));
    }
    // This namespace's own: a longer backlog would be cut.
    sysctl::write("net.core.somaxconn", &closing.children.max(128).to_string())?;
    if sysctl::path(sysctl::MIGRATE_REQ).exists() {
        sysctl::write(sysctl::MIGRATE_REQ, if closing.on { "1" } else { "0" })?;
    }
    close_with(closing.children).map(Closed::Measured)
}

/// What a lab has.
struct Bounds {
    descriptors: u64,
    /// In bytes: all, and what can be had.
    memory: (i64, i64),
}

impl Bounds {
    /// Why there can be no so many children, and what to do about it.
    fn forbid(&self, children: u32) -> Option<String> {
        let descriptors = u64::from(children) + SPARE_DESCRIPTORS;
        let ports = u32::from(u16::MAX - FIRST_PORT) + 1;
        let (all, available) = self.memory;
        let mebibytes = |bytes: i64| bytes >> 20;
        let needed = i64::from(children) * CONNECTION_BYTES;
        let unpressed = i64::from(children) * PRESSURE_BYTES;
        if children > ports {
            return Some(format!("an address has {ports} ports for clients"));
        }
        if descriptors > self.descriptors {
            return Some(format!(
                "it takes {descriptors} descriptors, and this process may have {}; raise the \
                 limit (ulimit -Hn), which takes CAP_SYS_RESOURCE",
                self.descriptors
            ));
        }
        if needed > available {
            return Some(format!(
                "it takes up to {} MiB of memory, and {} MiB can be had",
                mebibytes(needed),
                mebibytes(available)
            ));
        }
        (unpressed > all).then(|| {
            format!(
                "TCP would be under memory pressure: it takes a machine of {} MiB, and this one \
                 has {}",
                mebibytes(unpressed),
                mebibytes(all)
            )
        })
    }
}

fn close_with(children: u32) -> Result<Cost> {
    let a = listen("A", children)?;
    let empty = tcp_memory()?;
    let clients: Vec<Client> = (0..children).map(connect).collect::<Result<_>>()?;
    wait::until("all children in the accept queue of A", || {
        Ok((a.queue()?.waiting == children).then_some(()))
    })?;
    let b = listen("B", children)?;
    let (before, held) = (Counters::read()?, tcp_memory()?);
    let started = Instant::now();
    drop(a);
    let took = started.elapsed();
    let (after, left) = (Counters::read()?, tcp_memory()?);
    let mut reset = 0;
    for client in &clients {
        match client.receive_now()? {
            Received::Nothing => {}
            Received::Failed(errno) if errno == "ECONNRESET" => reset += 1,
            other => return Err(Error::unreadable("a client's socket", other.to_string())),
        }
    }
    let mut accepted = 0;
    while let Some(child) = b.accept_now()? {
        let said = child.receive_now()?;
        if said != Received::Bytes(REQUEST.to_vec()) {
            return Err(Error::unreadable("what a child has received", said.to_string()));
        }
        child.reset_on_close()?;
        accepted += 1;
    }
    Ok(Cost {
        close_us: took.as_secs_f64() * 1e6,
        reset,
        accepted,
        migrated: after.grown(&before, "TCPMigrateReqSuccess"),
        held_bytes: held - empty,
        left_bytes: left - empty,
    })
}

fn listen(name: &str, backlog: u32) -> Result<Listener> {
    let listener = Listener::bare(name, Family::V4)?;
    listener.reuse_port().call(|| format!("setsockopt({name}, SO_REUSEPORT)"))?;
    listener.bind().call(|| format!("bind({name})"))?;
    listener.listen(backlog.cast_signed()).call(|| format!("listen({name}, {backlog})"))?;
    Ok(listener)
}

fn connect(number: u32) -> Result<Client> {
    let port = FIRST_PORT + number as u16;
    let mut client = Client::bound("a client", Family::V4, IpAddr::from(SOURCE), port)?;
    client.connect(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT))?;
    client.send(REQUEST)?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const AMPLE: Bounds = Bounds { descriptors: 1 << 20, memory: (1 << 36, 1 << 35) };

    #[rstest]
    #[case(&AMPLE, 50_000, "")]
    #[case(&AMPLE, 65_000, "64512 ports")]
    #[case(&Bounds { descriptors: 1024, ..AMPLE }, 900, "")]
    #[case(&Bounds { descriptors: 1024, ..AMPLE }, 1000, "1064 descriptors")]
    #[case(&Bounds { memory: (1 << 36, 1 << 28), ..AMPLE }, 50_000, "781 MiB of memory, and 256")]
    #[case(&Bounds { memory: (1 << 30, 1 << 30), ..AMPLE }, 50_000, "under memory pressure")]
    #[case(&Bounds { memory: (1 << 30, 1 << 30), ..AMPLE }, 10_000, "")]
    fn what_there_is_no_room_for_is_told_before(
        #[case] bounds: &Bounds,
        #[case] children: u32,
        #[case] why: &str,
    ) {
        match bounds.forbid(children) {
            None => assert_eq!(why, ""),
            Some(told) => assert!(!why.is_empty() && told.contains(why), "{told}"),
        }
    }
}
