//! What cases or histories said of a broken kernel.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What cases or histories said of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Some failed: these, of which there may be more.
    Noticed {
        /// Their ids; of histories, in what they disagreed with the model.
        cases: Vec<String>,
    },
    /// The kernel warned in its log, or panicked, without any case that failed.
    Complained {
        /// Its first line.
        line: String,
    },
    /// It did not end in time, and nothing had failed by then. Nobody takes such a kernel for well.
    Hung,
    /// No case failed, but the laboratory broke: a broken kernel, told as something else.
    Broke {
        /// Ids of the cases, or how the machine ended.
        cases: Vec<String>,
    },
    /// Everything was as on the whole kernel.
    Survived,
    /// The compiler made the same of it.
    SameCode,
    /// It cannot be compiled.
    DoesNotCompile,
}

impl Outcome {
    /// Of a machine that ended before its document was written: by what was said to people.
    pub fn without_document(said: &str, is_late: bool) -> Self {
        match said.lines().find(|line| !line.trim().is_empty()) {
            Some(line) if !is_late => Self::Complained { line: line.to_owned() },
            _ => Self::Hung,
        }
    }

    /// Whether it counts at all, as one that is noticed or not.
    pub fn is_scored(&self) -> bool {
        !matches!(self, Self::SameCode | Self::DoesNotCompile)
    }

    /// Whether a suite that has the same cases and more would say the same.
    pub fn outlasts_the_suite(&self) -> bool {
        !matches!(self, Self::Survived | Self::Broke { .. })
    }

    /// Whether a user would know that something is wrong with the kernel.
    pub fn is_noticed(&self) -> bool {
        matches!(self, Self::Noticed { .. } | Self::Complained { .. } | Self::Hung)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noticed { cases } => write!(f, "noticed by {}", cases.join(", ")),
            Self::Complained { line } => write!(f, "noticed: the kernel says: {line}"),
            Self::Hung => f.write_str("noticed: the kernel hangs"),
            Self::Broke { cases } => write!(f, "only the laboratory broke: {}", cases.join(", ")),
            Self::Survived => f.write_str("SURVIVED"),
            Self::SameCode => f.write_str("the same code"),
            Self::DoesNotCompile => f.write_str("does not compile"),
        }
    }
}
