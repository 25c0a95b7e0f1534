//! Multipath TCP in a lab: its listeners, what a handshake agreed on, and its counters.

use super::Lab;
use crate::error::Result;
use crate::net::segment::{Segment, TcpOption};
use crate::net::witness::Counters;
use crate::socket::wire_client::WireClient;
use crate::socket::{BACKLOG, Listener};

/// Counters of `MPTcpExt` that a case of Multipath TCP watches: SYNs that ask for it, children
/// that were accepted with it, final ACKs that gave it up.
pub const MULTIPATH_WATCHED: &[&str] =
    &["MPCapableSYNRX", "MPCapableACKRX", "MPCapableFallbackACK"];

impl Lab {
    /// As [`Lab::listen`], with a socket of Multipath TCP.
    ///
    /// # Errors
    /// As [`Lab::listen`].
    pub fn listen_multipath(&mut self, name: &str) -> Result<Listener> {
        let listener = Listener::multipath(name, self.family, self.recorder.clone())?;
        listener.listen_as_usual(BACKLOG)?;
        Ok(listener)
    }

    /// The server's key, if the last SYN+ACK to `client` agreed to Multipath TCP.
    pub fn server_key(&mut self, client: &WireClient) -> Option<u64> {
        let local = client.local;
        let answers = |s: &&Segment| s.to == local && s.flags.syn() && s.flags.ack();
        let last = self.trace().segments().filter(answers).last()?;
        last.options.iter().find_map(|option| match option {
            TcpOption::MpCapable(keys) => keys.first().copied(),
            _ => None,
        })
    }

    /// Observes under the name `resets to {client}` the resets that it was sent, by their flags,
    /// and which options of Multipath TCP they bring.
    pub fn observe_resets(&mut self, client: &str) {
        let trace = self.trace();
        let resets = trace.segments().filter(|s| s.flags.rst() && trace.name_of(s.to) == client);
        let shown: Vec<String> = resets
            .map(|reset| {
                match reset.options.iter().find(|o| matches!(o, TcpOption::Multipath(_))) {
                    Some(option) => format!("{} with {option}", reset.flags),
                    None => reset.flags.to_string(),
                }
            })
            .collect();
        let shown = if shown.is_empty() { "none".to_owned() } else { shown.join(", ") };
        self.observe(&format!("resets to {client}"), shown);
    }

    /// Observes by how much each counter of [`MULTIPATH_WATCHED`] has grown since `earlier`.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn observe_multipath(&mut self, earlier: &Counters) -> Result<()> {
        self.observe_growth(MULTIPATH_WATCHED, earlier)
    }
}
