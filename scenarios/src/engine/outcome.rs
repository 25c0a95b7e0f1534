//! What one run of one case returns.

use std::time::Duration;

use harness::trace::Trace;
use harness::trace::observation::Observation;
use serde::{Deserialize, Serialize};

use crate::judge::verdict::Verdict;

/// The result of one run of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The case's full id.
    pub id: String,
    /// Which repetition, from 1.
    pub round: u32,
    /// The verdict.
    pub verdict: Verdict,
    /// What it rests on; nothing for a skip or an error.
    pub seen: Observed,
    /// The wire as a pcapng file. It travels apart from the rest.
    #[serde(skip)]
    pub pcapng: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

/// What a case saw: its observation and the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Facts.
    pub observation: Observation,
    /// Segments and acts.
    pub trace: Trace,
}
