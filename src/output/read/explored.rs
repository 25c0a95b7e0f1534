//! Documents of `sockmig explore`, as the page reads them.

use serde::Deserialize;

/// The newest version of these documents that is read.
pub(super) const VERSION: u64 = 1;

/// What histories showed of a kernel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Explored {
    /// The kernel's release.
    pub kernel: String,
    /// The number of the first history.
    pub seed: u64,
    /// Known bugs that the model had, too.
    pub known_bugs: Vec<String>,
    /// How many histories were played in time.
    pub histories: u64,
    /// How many acts these had.
    pub steps: u64,
    /// How many were too slow for the kernel's timers.
    pub too_slow: u64,
    /// How long it took.
    pub seconds: f64,
    /// Acts in situations that were met, and what came of them.
    pub met: Vec<String>,
    /// Those of the model that were not.
    pub not_met: Vec<String>,
    /// In what kernel and model differ.
    pub disagreements: Vec<Disagreement>,
    /// After which histories something was left.
    pub left: Vec<Left>,
    /// It was interrupted.
    pub interrupted: bool,
    /// The kernel panicked.
    #[serde(default)]
    pub panic: Option<Panic>,
}

/// A kernel that panicked while histories were played.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Panic {
    /// Its own line about it.
    pub line: String,
    /// The shortest history at which it does so again.
    pub history: Option<String>,
}

/// Something in which kernel and model differ.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Disagreement {
    /// The kind of act, and in what they differ.
    pub signature: String,
    /// How often it was met.
    pub times: u64,
    /// The shortest history that shows it.
    pub history: String,
    /// The act at which it shows.
    pub step: String,
    /// What each says.
    pub differences: Vec<Difference>,
}

/// What model and kernel say of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Difference {
    /// Of what.
    pub of: String,
    /// The model.
    pub model: String,
    /// The kernel.
    pub kernel: String,
}

/// Sockets or requests that were left.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Left {
    /// After histories from this number on.
    pub first: u64,
    /// To this one.
    pub last: u64,
    /// How many.
    pub sockets: u64,
}

/// What these documents alone have, whatever their version.
#[derive(Deserialize)]
pub(super) struct ExploredHeader {
    pub(super) schema: u64,
    #[expect(dead_code, reason = "that it is there says what the document is")]
    histories: u64,
    #[expect(dead_code, reason = "that it is there says what the document is")]
    not_met: serde::de::IgnoredAny,
}
