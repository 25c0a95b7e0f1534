//! What one run of one case returns.

use std::time::Duration;

use harness::trace::Trace;
use harness::trace::observation::Observation;
use harness::wait::RanOut;
use serde::{Deserialize, Serialize};

use crate::engine::discarded::{self, DiscardedTry};
use crate::judge::verdict::Verdict;

/// The result of one run of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The case's full id.
    pub id: String,
    /// Which repetition, from 1.
    pub round: u32,
    /// The verdict of the last try.
    pub verdict: Verdict,
    /// The tries before the last, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub discarded: Vec<DiscardedTry>,
    /// What it rests on; nothing for a skip or an error.
    pub seen: Observed,
    /// The wire as a pcapng file. It travels apart from the rest.
    #[serde(skip)]
    pub pcapng: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Whether it failed in a discarded try, and not in the last one.
    pub fn is_flaky(&self) -> bool {
        discarded::is_flaky(&self.verdict, &self.discarded)
    }
}

/// What a case saw: its observation and the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Facts.
    pub observation: Observation,
    /// Segments and acts.
    pub trace: Trace,
    /// Waits that were in vain, and whether they were shorter than usual.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub vain_waits: Vec<RanOut>,
}
