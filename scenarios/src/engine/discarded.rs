//! Tries of a case that were not believed, because their labs were slow.

use harness::json::Fields;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::judge::{Mismatch, Verdict};

/// A try of a case after which it was tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum DiscardedTry {
    /// The lab was too slow to do what the case does.
    TooSlow {
        /// What came too late.
        what: String,
    },
    /// The case failed, in a lab so slow that a timer of the kernel may have fired.
    Failed {
        /// In what it failed.
        mismatches: Vec<Mismatch>,
    },
    /// For a reason that only a later version knows.
    #[serde(untagged)]
    #[schemars(skip)]
    Later(Fields),
}

impl DiscardedTry {
    /// Whether the case failed in it.
    pub fn failed(&self) -> bool {
        matches!(self, Self::Failed { .. })
    }
}

/// Whether a case is flaky: it failed in a discarded try, and not in the last one. A case that
/// failed in the last one too has failed, and one whose labs were only too slow is no
/// different from others.
pub fn is_flaky(verdict: &Verdict, discarded: &[DiscardedTry]) -> bool {
    discarded.iter().any(DiscardedTry::failed) && !matches!(verdict, Verdict::Fail { .. })
}
