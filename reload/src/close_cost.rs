//! What closing costs: the time of one `close()`, by how many children wait in the accept
//! queue, and the memory that these hold.
//!
//! Everything is at rest when the listener closes: nobody comes, and nothing is in flight.
//! So with migration not a single child may be lost, and without it each one is.

use std::time::{Duration, Instant};

use harness::load::flood::{self, Flood};
use harness::net::witness::{Counters, memory, page_bytes, socket_slabs, tcp_memory};
use harness::process::Returned;
use harness::socket::{Listener, Received, Stream};
use harness::{Context, Error, Family, Result, net::sysctl, wait};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// How the work of these labs begins.
const PREFIX: &str = "reload-close-cost ";

/// What a child takes with a segment in its queue, in bytes; amply.
const CHILD_BYTES: i64 = 8 * 1024;

/// A segment in a queue is charged with a page, and TCP is under pressure, and drops
/// segments, from about a twentieth of the memory on (`tcp_mem`): so many pages of memory there
/// must be for each child.
const UNPRESSED_PAGES: i64 = 24;

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

/// The result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Closed {
    /// It was closed.
    Measured(Cost),
    /// This many children are not possible here, for a reason.
    Impossible(String),
}

/// What a close cost. What happened to the children is witnessed twice: on the wire and by a
/// counter where they are reset, by a counter and by `accept` where they migrate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// How long `close()` took, in microseconds. What it sends is delivered meanwhile, as
    /// both ends are on this machine.
    pub close_us: f64,
    /// How many resets were on the wire.
    pub reset: u64,
    /// By how much `OutRsts` grew.
    pub resets_sent: i64,
    /// How many children another listener of the group had in its queue.
    pub queued: u32,
    /// How many of these it could accept, each with its client's request, and no client's
    /// twice.
    pub accepted: u32,
    /// By how much `TCPMigrateReqSuccess` grew, where there is such a counter.
    pub migrated: Option<i64>,
    /// What TCP had charged for the children's segments, in bytes: before the close,
    pub held_bytes: i64,
    /// and after it.
    pub left_bytes: i64,
    /// What children, requests and their segments took as objects of slabs before the close,
    /// in bytes, where this user may know.
    pub slab_bytes: Option<i64>,
}

impl Closing {
    /// The name of the work, for a lab.
    pub fn work(&self) -> String {
        PREFIX.to_owned() + &serde_json::to_string(self).expect("it can be written as JSON")
    }

    /// About how long it takes.
    pub fn takes(&self) -> Duration {
        Duration::from_millis(60) + Duration::from_micros(25) * self.children
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
        .map_err(|e| Failure::Lab(format!("a closing that cannot be read: {e}")))
        .and_then(|closing| run(closing).map_err(Failure::from));
    Some(Returned::json(&closed, vec![]))
}

fn run(closing: Closing) -> Result<Closed> {
    let bounds = Bounds { memory: memory()?, page: page_bytes()? };
    if let Some(why) = bounds.forbid(closing.children) {
        return Ok(Closed::Impossible(why));
    }
    make_room(closing.children)?;
    if sysctl::path(sysctl::MIGRATE_REQ).exists() {
        sysctl::write(sysctl::MIGRATE_REQ, if closing.on { "1" } else { "0" })?;
    }
    close_with(closing.children).map(Closed::Measured)
}

/// Has this namespace take `children` handshakes. A longer backlog than `somaxconn` would be
/// cut, and a child by a cookie is not one that was waited for.
fn make_room(children: u32) -> Result<()> {
    const SYNCOOKIES: &str = "net.ipv4.tcp_syncookies";
    sysctl::write("net.core.somaxconn", &children.max(128).to_string())?;
    sysctl::write("net.ipv4.tcp_max_syn_backlog", &(4 * flood::BATCH).to_string())?;
    match sysctl::path(SYNCOOKIES).exists() {
        true => sysctl::write(SYNCOOKIES, "0"),
        false => Ok(()),
    }
}

/// What a lab has.
struct Bounds {
    /// In bytes: all, and what can be had.
    memory: (i64, i64),
    /// In bytes.
    page: i64,
}

impl Bounds {
    /// Why that many children are not possible, and what to do about it.
    fn forbid(&self, children: u32) -> Option<String> {
        let (all, available) = self.memory;
        let mebibytes = |bytes: i64| bytes >> 20;
        let needed = i64::from(children) * CHILD_BYTES;
        let unpressed = i64::from(children) * UNPRESSED_PAGES * self.page;
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
    let mut flood = Flood::open()?;
    let (empty, no_slabs) = (tcp_memory()?, socket_slabs());
    flood.come(children, REQUEST)?;
    wait::until(&format!("all of {children} children in the accept queue of A"), || {
        Ok((a.queue()?.waiting == children).then_some(()))
    })?;
    let b = listen("B", children)?;
    let slab_bytes = no_slabs.zip(socket_slabs()).map(|(before, now)| now - before);
    flood.watch_resets()?;
    let (before, held) = (Counters::read()?, tcp_memory()?);
    let started = Instant::now();
    drop(a);
    let took = started.elapsed();
    let (after, left) = (Counters::read()?, tcp_memory()?);
    let grown = |name| after.grown(&before, name);
    let resets_sent = grown("OutRsts").ok_or_else(|| Error::unreadable("OutRsts", "nothing"))?;
    let (reset, queued) = (flood.resets()?, b.queue()?.waiting);
    Ok(Cost {
        close_us: took.as_secs_f64() * 1e6,
        reset,
        resets_sent,
        queued,
        accepted: accept_all(&b, children)?,
        migrated: grown("TCPMigrateReqSuccess"),
        held_bytes: held - empty,
        left_bytes: left - empty,
        slab_bytes,
    })
}

/// Accepts whatever there is, and says how many there were.
fn accept_all(listener: &Listener, clients: u32) -> Result<u32> {
    let mut known = vec![false; clients as usize];
    let mut accepted = 0;
    while let Some(child) = listener.accept_now()? {
        let nth = flood::number(child.peer).unwrap_or(u32::MAX) as usize;
        match known.get_mut(nth) {
            Some(known @ false) => *known = true,
            _ => return Err(Error::unreadable("a child's client", child.peer.to_string())),
        }
        let said = child.receive_now()?;
        if said != Received::Bytes(REQUEST.to_vec()) {
            return Err(Error::unreadable("what a child has received", said.to_string()));
        }
        child.reset_on_close()?;
        accepted += 1;
    }
    Ok(accepted)
}

fn listen(name: &str, backlog: u32) -> Result<Listener> {
    let listener = Listener::unrecorded(name, Family::V4)?;
    listener.reuse_port().call(|| format!("setsockopt({name}, SO_REUSEPORT)"))?;
    listener.bind().call(|| format!("bind({name})"))?;
    listener.listen(backlog.cast_signed()).call(|| format!("listen({name}, {backlog})"))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case((1 << 36, 1 << 35), 4096, 50_000, "")]
    #[case((1 << 36, 1 << 28), 4096, 50_000, "390 MiB of memory, and 256")]
    #[case((1 << 30, 1 << 30), 4096, 50_000, "under memory pressure")]
    #[case((1 << 30, 1 << 30), 4096, 10_000, "")]
    #[case((1 << 30, 1 << 30), 65_536, 10_000, "under memory pressure")]
    fn what_there_is_no_room_for_is_told_before(
        #[case] memory: (i64, i64),
        #[case] page: i64,
        #[case] children: u32,
        #[case] why: &str,
    ) {
        match (Bounds { memory, page }).forbid(children) {
            None => assert_eq!(why, ""),
            Some(sentence) => assert!(!why.is_empty() && sentence.contains(why), "{sentence}"),
        }
    }
}
