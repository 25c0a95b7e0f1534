//! Multipath TCP in a lab: its listeners, what a handshake agreed on, and its counters.

use super::Lab;
use crate::error::Result;
use crate::net::multipath::{End, server_hmac};
use crate::net::path_manager::PathManager;
use crate::net::segment::{Segment, TcpOption};
use crate::net::witness::Counters;
use crate::socket::wire_client::WireClient;
use crate::socket::{BACKLOG, Listener};
use crate::trace::Act;

/// Counters of `MPTcpExt` that a case of Multipath TCP watches: SYNs that ask for it, children
/// that were accepted with it, final ACKs that gave it up.
pub const MULTIPATH_WATCHED: &[&str] =
    &["MPCapableSYNRX", "MPCapableACKRX", "MPCapableFallbackACK"];

/// Counters of `MPTcpExt` that a case of subflows watches: SYNs that ask to join a connection,
/// subflows that joined one, final ACKs without the right HMAC, SYNs with an unknown token.
pub const JOINS_WATCHED: &[&str] =
    &["MPJoinSynRx", "MPJoinAckRx", "MPJoinAckHMacFailure", "MPJoinNoTokenFound"];

/// How many subflows a connection has to be allowed besides its first one: what Linux allows by
/// itself since 5.16.
const SUBFLOWS: u32 = 2;

impl Lab {
    /// Lets connections of Multipath TCP that begin from now on have more than one subflow, where
    /// the kernel does not by itself.
    ///
    /// # Errors
    /// As [`Lab::limit_subflows`].
    pub fn allow_subflows(&mut self) -> Result<()> {
        match PathManager::open()?.subflows()? {
            0 | 1 => self.limit_subflows(SUBFLOWS),
            _ => Ok(()),
        }
    }

    /// Lets connections of Multipath TCP that begin from now on have this number of subflows
    /// besides their first one.
    ///
    /// # Errors
    /// The kernel has no path manager, or refuses.
    pub fn limit_subflows(&mut self, subflows: u32) -> Result<()> {
        self.record(Act::LimitSubflows { subflows });
        PathManager::open()?.limit_subflows(subflows)
    }

    /// What the server answered, in the last SYN+ACK, to a client that asks to join the connection
    /// whose ends have these keys: its random number, and whether its HMAC is right. Nothing if
    /// that has no MP_JOIN.
    pub fn join_answer(
        &mut self,
        client: &WireClient,
        own: End,
        server_key: u64,
    ) -> Option<(u32, bool)> {
        self.last_syn_ack(client)?.options.iter().find_map(|option| match *option {
            TcpOption::MpJoinAnswer { hmac, nonce } => {
                let server = End { key: server_key, nonce };
                Some((nonce, hmac == server_hmac(server, own)))
            }
            _ => None,
        })
    }

    fn last_syn_ack(&mut self, client: &WireClient) -> Option<&Segment> {
        let local = client.local;
        let answers = |s: &&Segment| s.to == local && s.flags.syn() && s.flags.ack();
        self.trace().segments().filter(answers).last()
    }

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
        self.last_syn_ack(client)?.options.iter().find_map(|option| match option {
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

    /// Observes by how much each counter of [`JOINS_WATCHED`] has grown since `earlier`.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn observe_joins(&mut self, earlier: &Counters) -> Result<()> {
        self.observe_growth(JOINS_WATCHED, earlier)
    }
}
