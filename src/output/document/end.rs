//! How a kernel's machine ended.

use std::fmt;

use harness::json::of_later_version;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a kernel's machine ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(into = "WrittenEnd", try_from = "WrittenEnd")]
pub enum MachineEnd {
    /// The suite ended, and the machine powered itself off.
    Completed,
    /// The kernel could not be had: the mirror no longer has it, or was not reached.
    CannotFetch {
        /// Why.
        why: String,
    },
    /// What was to be booted cannot be: no kernel, another architecture, no QEMU.
    CannotBoot {
        /// Why.
        why: String,
    },
    /// The machine ran, and the suite was never reached.
    NeverBooted {
        /// Why it is thought so.
        why: String,
    },
    /// The kernel panicked.
    Panicked {
        /// The kernel's own line about it.
        why: String,
    },
    /// The guest had no memory left.
    OutOfMemory {
        /// The kernel's own line about it.
        why: String,
    },
    /// The guest sent nothing for too long.
    Hung {
        /// How long.
        why: String,
    },
    /// The machine or its suite ended by itself: killed from outside, or crashed.
    Died {
        /// How.
        why: String,
    },
    /// What came through the port cannot be read.
    Garbage {
        /// What came.
        why: String,
    },
    /// Ctrl-C.
    Interrupted,
    /// As many cases had failed as --max-fail allows, on this kernel or on others.
    EnoughFailed,
    /// As only a later version knows it.
    Later {
        /// The word of that version.
        how: String,
        /// Its reason.
        why: Option<String>,
        /// Both, as they are shown.
        shown: String,
    },
}

impl MachineEnd {
    /// The word for it, as tables have it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::CannotFetch { .. } => "cannot fetch",
            Self::CannotBoot { .. } => "cannot boot",
            Self::NeverBooted { .. } => "never booted",
            Self::Panicked { .. } => "panicked",
            Self::OutOfMemory { .. } => "out of memory",
            Self::Hung { .. } => "hung",
            Self::Died { .. } => "died",
            Self::Garbage { .. } => "garbage",
            Self::Interrupted => "interrupted",
            Self::EnoughFailed => "stopped",
            Self::Later { .. } => "unknown end",
        }
    }

    /// Why it ended so; nothing for a machine that completed.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Completed => None,
            Self::CannotFetch { why }
            | Self::CannotBoot { why }
            | Self::NeverBooted { why }
            | Self::Panicked { why }
            | Self::OutOfMemory { why }
            | Self::Hung { why }
            | Self::Died { why }
            | Self::Garbage { why } => Some(why),
            Self::Interrupted => Some("Ctrl-C"),
            Self::EnoughFailed => Some("enough cases have failed (--max-fail)"),
            Self::Later { shown, .. } => Some(shown),
        }
    }

    /// The cause as it counts for an exit code.
    pub fn counts_as(&self) -> Blame {
        match self {
            Self::Completed => Blame::Nobody,
            Self::CannotFetch { .. } => Blame::Mirror,
            Self::Panicked { .. } => Blame::Kernel,
            Self::Interrupted => Blame::User,
            Self::EnoughFailed => Blame::Limit,
            Self::CannotBoot { .. }
            | Self::NeverBooted { .. }
            | Self::OutOfMemory { .. }
            | Self::Hung { .. }
            | Self::Died { .. }
            | Self::Garbage { .. }
            // Whatever it is, it is no end that says all cases were run.
            | Self::Later { .. } => Blame::Laboratory,
        }
    }
}

/// [`MachineEnd`] as documents have it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WrittenEnd {
    /// How it ended.
    #[serde(alias = "fate")]
    #[schemars(with = "EndKind")]
    how: WrittenHow,
    /// Why it is thought so; nothing where that is clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// How a machine ended, in a document that may be of a later version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenHow {
    /// As this version knows it.
    Known(EndKind),
    /// The word of a later version.
    Later(String),
}

/// [`MachineEnd`], without a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum EndKind {
    /// The suite ended, and the machine powered itself off.
    Completed,
    /// The kernel could not be had.
    CannotFetch,
    /// What was to be booted cannot be.
    CannotBoot,
    /// The machine ran, and the suite was never reached.
    NeverBooted,
    /// The kernel panicked.
    Panicked,
    /// The guest had no memory left.
    OutOfMemory,
    /// The guest sent nothing for too long.
    Hung,
    /// The machine or its suite ended by itself.
    Died,
    /// What came through the port cannot be read.
    Garbage,
    /// Ctrl-C.
    Interrupted,
    /// As many cases had failed as --max-fail allows.
    EnoughFailed,
}

impl From<MachineEnd> for WrittenEnd {
    fn from(end: MachineEnd) -> Self {
        let (how, why) = match end {
            MachineEnd::Completed => (EndKind::Completed, None),
            MachineEnd::CannotFetch { why } => (EndKind::CannotFetch, Some(why)),
            MachineEnd::CannotBoot { why } => (EndKind::CannotBoot, Some(why)),
            MachineEnd::NeverBooted { why } => (EndKind::NeverBooted, Some(why)),
            MachineEnd::Panicked { why } => (EndKind::Panicked, Some(why)),
            MachineEnd::OutOfMemory { why } => (EndKind::OutOfMemory, Some(why)),
            MachineEnd::Hung { why } => (EndKind::Hung, Some(why)),
            MachineEnd::Died { why } => (EndKind::Died, Some(why)),
            MachineEnd::Garbage { why } => (EndKind::Garbage, Some(why)),
            MachineEnd::Interrupted => (EndKind::Interrupted, None),
            MachineEnd::EnoughFailed => (EndKind::EnoughFailed, None),
            MachineEnd::Later { how, why, .. } => return Self { how: WrittenHow::Later(how), why },
        };
        Self { how: WrittenHow::Known(how), why }
    }
}

impl TryFrom<WrittenEnd> for MachineEnd {
    type Error = NoReason;

    fn try_from(WrittenEnd { how, why }: WrittenEnd) -> Result<Self, NoReason> {
        let how = match how {
            WrittenHow::Known(how) => how,
            WrittenHow::Later(how) => {
                let words = why.as_ref().map_or_else(|| how.clone(), |why| format!("{how}: {why}"));
                let shown = of_later_version(&words);
                return Ok(Self::Later { how, why, shown });
            }
        };
        let why = || why.ok_or(NoReason);
        Ok(match how {
            EndKind::Completed => Self::Completed,
            EndKind::CannotFetch => Self::CannotFetch { why: why()? },
            EndKind::CannotBoot => Self::CannotBoot { why: why()? },
            EndKind::NeverBooted => Self::NeverBooted { why: why()? },
            EndKind::Panicked => Self::Panicked { why: why()? },
            EndKind::OutOfMemory => Self::OutOfMemory { why: why()? },
            EndKind::Hung => Self::Hung { why: why()? },
            EndKind::Died => Self::Died { why: why()? },
            EndKind::Garbage => Self::Garbage { why: why()? },
            EndKind::Interrupted => Self::Interrupted,
            EndKind::EnoughFailed => Self::EnoughFailed,
        })
    }
}

/// A document says how a machine ended, and not why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoReason;

impl fmt::Display for NoReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("missing field `why`")
    }
}

/// What the end of a machine is blamed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// It is the end that was wanted.
    Nobody,
    /// The kernel: it panicked.
    Kernel,
    /// The laboratory: nothing can be said about the kernel.
    Laboratory,
    /// Whoever should have had the package.
    Mirror,
    /// Whoever pressed Ctrl-C.
    User,
    /// The limit of failures that was asked for.
    Limit,
}
