//! In what model and kernel do not agree, and why a record is not played to its end.

use std::fmt;

use crate::model::Counter;
use crate::recorded::left_out::LeftOut;

/// One thing in which model and kernel do not agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What it is.
    pub of: Fact,
    /// What the model says, as it is shown.
    pub model: String,
    /// What the record has, as it is shown.
    pub kernel: String,
}

/// A kind of fact that both model and record have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// What a call returned.
    Result,
    /// What the server sent.
    Answer,
    /// A counter.
    Counter(Counter),
    /// The length of an accept queue, and its backlog.
    Queue,
    /// How many listeners there are.
    Listeners,
    /// Whether who waits was woken.
    Waiter,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result => f.write_str("the call"),
            Self::Answer => f.write_str("the server sends"),
            Self::Counter(counter) => counter.fmt(f),
            Self::Queue => f.write_str("the accept queue"),
            Self::Listeners => f.write_str("listeners"),
            Self::Waiter => f.write_str("who waits"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: model {}; kernel {}", self.of, self.model, self.kernel)
    }
}

/// Why a record was not played to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The model does not know something.
    LeftOut(LeftOut),
    /// Model and kernel do not agree.
    Disagrees {
        /// The index of the line.
        line: usize,
        /// In what.
        in_what: Mismatch,
    },
}
