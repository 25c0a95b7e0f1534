//! Which clients come: how many in a second, from where, and which of them are held.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exchange::Exchange;

/// The first port that a client uses at each of its addresses.
const FIRST_PORT: u16 = 1024;

/// How many clients one address has ports for.
const PORTS: usize = u16::MAX as usize - FIRST_PORT as usize + 1;

/// What to load a server with.
#[derive(Debug, Clone)]
pub struct Load {
    /// Where the server listens.
    pub server: SocketAddr,
    /// The addresses that clients come from, in turns.
    pub sources: Vec<Ipv4Addr>,
    /// Clients in a second.
    pub rate: u32,
    /// How long a client waits for the end of its answer before it gives up.
    pub patience: Duration,
    /// Which clients are held, if a gate holds any.
    pub held: Option<Held>,
    /// What each client sends, and what it is to get.
    pub exchange: Exchange,
}

/// Clients that are held: `connect` has succeeded for them, and the server has not got the
/// final ACK yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// Of every hundred clients.
    pub percent: u32,
    /// From the SYN until retransmissions may pass.
    #[serde(rename = "lasts_ms", with = "crate::json::milliseconds")]
    #[schemars(with = "f64")]
    pub lasts: Duration,
}

impl Load {
    /// How many attempts there are addresses and ports for.
    pub fn capacity(&self) -> usize {
        self.sources.len() * PORTS
    }

    /// The address and port of the client number `index`; nothing when there is no port left.
    pub(super) fn source(&self, index: usize) -> Option<SocketAddr> {
        let count = self.sources.len();
        let address = self.sources.get(index % count.max(1))?;
        let port = usize::from(FIRST_PORT) + index / count;
        Some(SocketAddr::new((*address).into(), u16::try_from(port).ok()?))
    }

    /// Whether the client number `index` is held. These are spread evenly.
    pub(super) fn holds(&self, index: usize) -> Option<Held> {
        self.held.filter(|held| {
            let percent = held.percent as usize;
            (index + 1) * percent / 100 > index * percent / 100
        })
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
            exchange: Exchange::default(),
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
