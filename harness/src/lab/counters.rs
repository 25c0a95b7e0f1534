//! Counters of the namespace, and by how much they have grown.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::Lab;
use crate::error::Result;
use crate::net::witness::Counters;
use crate::trace::Act;

/// The counters that a case watches, all of which a correct kernel moves by known amounts.
///
/// Left out are those that retransmissions move, whose number depends on the machine.
pub const WATCHED: &[&str] = &[
    "TCPMigrateReqSuccess",
    "TCPMigrateReqFailure",
    "PassiveOpens",
    "AttemptFails",
    "EstabResets",
    "OutRsts",
    "EmbryonicRsts",
    "ListenOverflows",
    "ListenDrops",
    "TCPAbortOnData",
    "TCPAbortOnClose",
    "TCPReqQFullDrop",
    "TCPReqQFullDoCookies",
    "SyncookiesSent",
    "SyncookiesRecv",
    "TCPDeferAcceptDrop",
];

/// What a trace has besides of each reading.
const RECORDED: &[&str] = &[
    "TCPTimeouts",
    "TCPSynRetrans",
    "TCPFastOpenPassive",
    "TCPFastOpenListenOverflow",
    "TCPChallengeACK",
    "TCPSYNChallenge",
];

impl Lab {
    /// The protocol counters now. The trace has by how much they have grown since they were read
    /// last.
    pub fn counters(&self) -> Result<Counters> {
        let now = self.files.counters()?;
        let mut last = self.counters_read.lock().unwrap_or_else(PoisonError::into_inner);
        let grown = |name: &&str| Some(now.grown(&last, name)?).filter(|grown| *grown != 0);
        let names = WATCHED.iter().chain(RECORDED);
        let grown: BTreeMap<String, i64> =
            names.filter_map(|name| Some(((*name).to_owned(), grown(name)?))).collect();
        *last = now.clone();
        match grown.is_empty() {
            true => self.recorder.record_reading(Act::ReadCounters { grown }),
            false => drop(self.recorder.record(|| Act::ReadCounters { grown })),
        }
        Ok(now)
    }

    /// Observes by how much each counter of [`WATCHED`] has grown since `earlier`.
    pub fn observe_counters(&mut self, earlier: &Counters) -> Result<()> {
        self.observe_growth(WATCHED, earlier)
    }

    pub(super) fn observe_growth(&mut self, counters: &[&str], earlier: &Counters) -> Result<()> {
        let now = self.counters()?;
        for name in counters {
            match now.grown(earlier, name) {
                Some(grown) => self.observe(name, grown),
                None => self.observe(name, "no such counter"),
            }
        }
        Ok(())
    }
}
