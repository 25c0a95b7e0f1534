//! What a run of a case results in.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::judge::skip::{SkipReason, written};

/// The result of a run of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// As expected.
    Pass {
        /// An expectation of a bug that this kernel should have and has not.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        stale: Option<String>,
    },
    /// The kernel deviates.
    Fail {
        /// In what.
        mismatches: Vec<Mismatch>,
    },
    /// The case says nothing about this kernel.
    Skip {
        /// Why; a claim that was checked.
        #[serde(flatten, with = "written")]
        reason: SkipReason,
    },
    /// The kernel deviates as it is known to.
    KnownBug {
        /// What is wrong with it.
        reason: String,
        /// The commit that fixes it, if there is one.
        fix: Option<String>,
        /// In what.
        mismatches: Vec<Mismatch>,
    },
    /// The laboratory broke. Nothing was learned about the kernel.
    Error {
        /// How.
        reason: String,
    },
}

impl Verdict {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "pass",
            Self::Fail { .. } => "fail",
            Self::Skip { .. } => "skip",
            Self::KnownBug { .. } => "known bug",
            Self::Error { .. } => "error",
        }
    }

    /// In what the kernel deviates.
    pub fn mismatches(&self) -> &[Mismatch] {
        match self {
            Self::Fail { mismatches } | Self::KnownBug { mismatches, .. } => mismatches,
            Self::Pass { .. } | Self::Skip { .. } | Self::Error { .. } => &[],
        }
    }

    /// Why, in a sentence, where there is one.
    pub fn reason(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Skip { reason } => Some(reason.to_string().into()),
            Self::Error { reason } | Self::KnownBug { reason, .. } => Some(reason.into()),
            Self::Pass { stale } => stale.as_deref().map(Cow::from),
            Self::Fail { .. } => None,
        }
    }
}

/// One deviation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Of what: a fact's name, or whose wire.
    pub what: String,
    /// Everything that would have been acceptable.
    pub expected: Vec<String>,
    /// What was there.
    pub actual: String,
    /// For a wire: the index in the whole trace of the first wrong line; the trace's
    /// length when it ended too early.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_line: Option<usize>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, expected, actual, .. } = self;
        write!(f, "{what}: expected {}, actual {actual}", expected.join(" or "))
    }
}
