//! What a run of a case results in.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::judge::releases::VersionSays;
use crate::judge::skip::SkipReason;
use crate::judge::skip_written;

/// The result of a run of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// As expected.
    Pass {
        /// Bugs that kernels of its version have and that the case does not show: this one has
        /// their fixes.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        has_fix: Vec<NamedBug>,
    },
    /// The kernel deviates.
    Fail {
        /// In what.
        mismatches: Vec<Mismatch>,
    },
    /// The case says nothing about this kernel.
    Skip {
        /// Why; a claim that was checked.
        #[serde(flatten, with = "skip_written")]
        #[schemars(with = "skip_written::Out<'static>")]
        reason: SkipReason,
    },
    /// The kernel deviates as it is known to.
    KnownBug {
        /// The bug.
        #[serde(flatten)]
        bug: Box<NamedBug>,
        /// What the kernel's version says of it.
        #[serde(default)]
        version: VersionSays,
        /// In what.
        mismatches: Vec<Mismatch>,
    },
    /// The laboratory broke. Nothing was learned about the kernel.
    Error {
        /// How.
        reason: String,
    },
}

/// A known bug as a result has it, with what it takes to look it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedBug {
    /// Its name in the list of known bugs; empty in documents that are older than that.
    #[serde(rename = "bug", default)]
    pub id: String,
    /// What is wrong, in a few words.
    #[serde(default)]
    pub title: String,
    /// What is wrong and why, in a sentence.
    pub reason: String,
    /// The mainline commits that fix it, if there are any.
    #[serde(default)]
    pub fix: Option<String>,
    /// Its number in the list of vulnerabilities.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cve: Option<String>,
    /// The user's file that lists it; nothing for sockmig's own list.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listed_in: Option<String>,
}

impl NamedBug {
    /// What fixes it, and where it is listed: `Fixed by 3864c6ba1e04 (CVE-2026-46015).`
    pub fn fix_sentence(&self) -> String {
        let cve = self.cve.as_ref().map_or(String::new(), |cve| format!(" ({cve})"));
        let fixed = match &self.fix {
            Some(fix) => format!("Fixed by {fix}{cve}."),
            None => format!("No fix is known{cve}."),
        };
        match &self.listed_in {
            Some(file) => format!("{fixed} Listed in {file}."),
            None => fixed,
        }
    }

    /// What is to be added where the kernel's version says nothing of it: nothing where no version
    /// has a fix.
    pub fn doubt(&self, version: VersionSays) -> Option<&'static str> {
        (version == VersionSays::CannotTell && self.fix.is_some()).then_some(CANNOT_TELL)
    }

    /// The whole of what is said of a kernel that shows it.
    pub fn shown(&self, version: VersionSays) -> String {
        match self.doubt(version) {
            Some(doubt) => format!("{self} {doubt}"),
            None => self.to_string(),
        }
    }

    /// What it is in a few words; in a sentence where those are not known.
    pub fn in_short(&self) -> &str {
        if self.title.is_empty() { self.reason.trim_end_matches('.') } else { &self.title }
    }

    /// The bug in a few words, and what fixes it: `A listener is not woken (fixed by
    /// 3864c6ba1e04, CVE-2026-46015)`.
    pub fn with_fix(&self) -> String {
        let fix = self.fix.as_ref().map(|fix| format!("fixed by {fix}"));
        let listed = self.listed_in.as_ref().map(|file| format!("listed in {file}"));
        let notes: Vec<String> = [fix, self.cve.clone(), listed].into_iter().flatten().collect();
        match notes.is_empty() {
            true => self.in_short().to_owned(),
            false => format!("{} ({})", self.in_short(), notes.join(", ")),
        }
    }
}

impl fmt::Display for NamedBug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.reason, self.fix_sentence())
    }
}

/// What is said of a known bug that a case shows, where the kernel's version says nothing.
const CANNOT_TELL: &str = "The version cannot tell; the facts are those of this bug.";

impl Verdict {
    /// The words that documents have for them. There are no others: a further one would make a
    /// further version of the documents.
    pub const TAGS: [&str; 5] = ["pass", "fail", "skip", "known-bug", "error"];

    /// As expected, and nothing besides.
    pub fn pass() -> Self {
        Self::Pass { has_fix: vec![] }
    }

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
            Self::Error { reason } => Some(reason.into()),
            Self::KnownBug { bug, .. } => Some((&bug.reason).into()),
            Self::Pass { .. } | Self::Fail { .. } => None,
        }
    }
}

/// One deviation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
