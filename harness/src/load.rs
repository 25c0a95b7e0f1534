//! Load: clients that come at a fixed rate, whatever becomes of those before them, and what
//! becomes of each.
//!
//! The load is *open*: its schedule does not wait for the server. One thread drives it. Each
//! attempt has an address and port of its own that are used once, so that no port is ever
//! short, and ends in exactly one [`Fate`].

mod attempt;
mod connection;
pub mod delay_line;
mod driver;
pub mod flood;
pub mod listener_monitor;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use attempt::{Attempt, Fate};

use crate::error::{Error, Result};

/// The mark (`SO_MARK`) of clients whose segments behind the SYN are held, for
/// [`crate::gate::Hold`].
pub const HELD_MARK: u32 = 1;

/// The first port that a client uses at each of its addresses.
const FIRST_PORT: u16 = 1024;

/// How many clients one address has ports for.
const PORTS: usize = u16::MAX as usize - FIRST_PORT as usize + 1;

/// What to load a server with.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the server listens.
    pub server: SocketAddr,
    /// Where clients come from, in turns.
    pub sources: Vec<Ipv4Addr>,
    /// How many come in a second.
    pub rate: u32,
    /// How long a client waits for the end of its answer before it gives up.
    pub patience: Duration,
    /// Holds of every hundred clients so many, for so long, if there is a gate for it.
    pub held: Option<Held>,
}

/// Clients that are held: they believe themselves connected, and the server does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Of every hundred.
    pub percent: u32,
    /// From the SYN until retransmissions may pass.
    pub lasts: Duration,
}

/// What others may know of a load, and tell it, while it is under way.
#[derive(Debug, Default)]
pub struct Course {
    /// Set to start no more clients.
    pub over: AtomicBool,
    settled_us: AtomicU64,
}

impl Course {
    /// Whether every client that came before `moment`, since the epoch, has its fate.
    pub fn is_settled(&self, moment: Duration) -> bool {
        u128::from(self.settled_us.load(Ordering::Acquire)) > moment.as_micros()
    }

    /// Everybody who came before has his fate.
    fn settle(&self, before: Duration) {
        self.settled_us.store(before.as_micros() as u64, Ordering::Release);
    }
}

/// What came of a load.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Every attempt, in the order of their starts.
    pub attempts: Vec<Attempt>,
    /// What the laboratory could not do, a sentence each: the first few of what made
    /// attempts end in [`Fate::Laboratory`].
    pub troubles: Vec<String>,
    /// How late attempts began, by the schedule: in microseconds, one for each.
    pub lags_us: Vec<u32>,
    /// Processor time that the load itself took.
    pub processor: Duration,
}

impl Load {
    /// How many attempts there are addresses and ports for.
    pub fn capacity(&self) -> usize {
        self.sources.len() * PORTS
    }

    /// Where the client comes from that is started as the `index`-th.
    fn source(&self, index: usize) -> Option<SocketAddr> {
        let count = self.sources.len();
        let address = self.sources.get(index % count.max(1))?;
        let port = usize::from(FIRST_PORT) + index / count;
        Some(SocketAddr::new((*address).into(), u16::try_from(port).ok()?))
    }

    /// Whether the client is held that is started as the `index`-th. They are spread evenly.
    fn holds(&self, index: usize) -> Option<Held> {
        self.held.filter(|held| {
            let percent = held.percent as usize;
            (index + 1) * percent / 100 > index * percent / 100
        })
    }

    /// Sends clients until the course is over, and waits for the end of each. Times are since `epoch`.
    ///
    /// # Errors
    /// The load could not be driven. What one attempt met is that attempt's fate.
    pub fn run(&self, epoch: Instant, course: &Course) -> Result<Record> {
        let record = driver::Driver::new(self, epoch)?.drive(course)?;
        let ended = record.attempts.iter().filter(|attempt| attempt.fate.is_some()).count();
        if ended != record.attempts.len() {
            let left = record.attempts.len() - ended;
            return Err(Error::unreadable("the load", format!("{left} attempts have no fate")));
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn load(percent: u32) -> Load {
        Load {
            server: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 80),
            sources: vec![Ipv4Addr::new(127, 0, 1, 1), Ipv4Addr::new(127, 0, 1, 2)],
            rate: 1000,
            patience: Duration::from_secs(1),
            held: Some(Held { percent, lasts: Duration::from_millis(150) }),
        }
    }

    #[test]
    fn no_address_and_port_is_used_twice_and_then_there_are_none() {
        let load = load(0);
        let all: HashSet<_> = (0..load.capacity()).map(|i| load.source(i).expect("room")).collect();
        assert_eq!(all.len(), load.capacity());
        assert_eq!(load.source(load.capacity()), None);
    }

    #[test]
    fn as_many_are_held_as_was_asked_for() {
        for percent in [0, 1, 30, 99, 100] {
            let held = (0..1000).filter(|index| load(percent).holds(*index).is_some()).count();
            assert_eq!(held, percent as usize * 10);
        }
    }
}
