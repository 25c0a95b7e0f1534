//! What a ladder is: its columns, and its rungs from top to bottom.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// What happened in a case, from top to bottom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ladder {
    /// The server's columns: listeners by name, after `S` if segments are drawn to no
    /// listener. `S` alone if there are too many listeners.
    pub columns: Vec<String>,
    /// What happened.
    pub rungs: Vec<Rung>,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rung {
    /// Time since the trace's first event.
    #[serde(rename = "microseconds", serialize_with = "microseconds")]
    pub since_start: Duration,
    /// The index of the trace's line, or of the first of several.
    pub line: usize,
    /// What it was.
    pub what: What,
    /// Which listener has each connection that has changed hands from here on, and which of the
    /// kernel's timers made it happen.
    pub notes: Vec<Note>,
    /// Whether it is to be looked at.
    pub mark: Mark,
}

/// As the acts of a trace have it in documents.
fn microseconds<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// What a rung shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A segment.
    Segment {
        /// The client's name.
        client: String,
        /// Sent by the client.
        to_server: bool,
        /// Flags and relative numbers, as packetdrill writes them.
        notation: String,
        /// Window and options.
        detail: String,
        /// The column that it goes to or comes from.
        column: usize,
        /// It is on the wire, and the gate dropped it before a listener saw it.
        dropped: bool,
    },
    /// Something that the laboratory did.
    Act {
        /// Its words, without dashes.
        act: String,
        /// The columns that begin or end here, and which of the two.
        columns: Vec<(usize, Change)>,
    },
    /// Several lines that say nothing about the case's own connections.
    Folded {
        /// How many, and what they are about.
        text: String,
    },
    /// The trace ends here, which is wrong.
    End,
}

/// What happens to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It begins to listen.
    Begins,
    /// It is closed, or listens no more.
    Ends,
}

/// A remark next to a rung.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "text", rename_all = "kebab-case")]
pub enum Note {
    /// Which listener has a connection from here on.
    Owner(String),
    /// The timer that sent it, or that it is sent again.
    Timer(String),
}

impl Note {
    /// Its words.
    pub fn text(&self) -> &str {
        match self {
            Self::Owner(text) | Self::Timer(text) => text,
        }
    }
}

/// Why a rung is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// For no reason.
    None,
    /// It is not what must be.
    Wrong,
    /// It is not on the other ladder.
    Differs,
}
