//! What is known to differ by kernel, as data: `known-bugs.toml`, and a user's own list.

use std::fmt;

use harness::kernel::{Base, Kernel, Version};

use crate::judge::expectation::Acceptable;
use crate::judge::releases::{Releases, VersionSays};
use crate::judge::verdict::NamedBug;

/// Everything that is known to differ.
#[derive(Debug, Clone, Default)]
pub struct KnownList {
    /// What is wrong.
    pub bugs: Vec<Bug>,
    /// What is right for a kernel of its age.
    pub history: Vec<History>,
}

/// A bug of the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bug {
    /// Its name in the list.
    pub id: String,
    /// What is wrong, in a few words.
    pub title: String,
    /// What is wrong and why, in a sentence.
    pub cause: String,
    /// The mainline commits that brought it.
    pub brought_by: Vec<Commit>,
    /// The mainline commits that fix it; none where no fix is known.
    pub fixed_by: Vec<Commit>,
    /// Its number in the list of vulnerabilities, as `CVE-2026-46015`.
    pub cve: Option<String>,
    /// Which releases have it.
    pub releases: Releases,
    /// Where to read about it.
    pub link: Option<String>,
    /// The pairs of acts of `sockmig race` that show it.
    pub pairs: Vec<String>,
    /// The cases that show it. A bug without any can be reported by its version alone.
    pub cases: Vec<CaseFacts>,
    /// The user's file that lists it; nothing for sockmig's own list.
    pub listed_in: Option<String>,
}

/// What was different before something was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What, in a sentence.
    pub reason: String,
    /// Which releases are so.
    pub releases: Releases,
    /// The cases that show it.
    pub cases: Vec<CaseFacts>,
}

/// What cases observe of a bug, or of a kernel of its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFacts {
    /// The ids of the cases, by their first parts; `*` stands for any one part.
    pub id: String,
    /// The bug depends on what happens to be in memory: a run without it says nothing.
    pub by_chance: bool,
    /// The machines on which they observe it, as `uname -m` has them; all where there is none.
    pub machines: Vec<String>,
    /// What is in the first line of the complaints that the kernel's log may have then.
    pub log: Vec<String>,
    /// The facts that differ, by name.
    pub observed: Vec<(String, Acceptable)>,
}

/// A commit of Linux, by its hash; by its title as long as no hash of mainline is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Commit {
    /// The first digits of the hash, at least twelve.
    Hash(String),
    /// The first line of its message.
    Title(String),
}

/// A row of the list that may be about a case on a kernel.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'l> {
    /// What it is about.
    pub what: What<'l>,
    /// What the case observes then.
    pub facts: &'l CaseFacts,
    /// What the kernel's version says of it.
    pub version: VersionSays,
}

/// What a row is about.
#[derive(Debug, Clone, Copy)]
pub enum What<'l> {
    /// A bug.
    Bug(&'l Bug),
    /// The kernel's age.
    History(&'l History),
}

impl KnownList {
    /// This list with `other`'s rows in front of its own: who adds rows knows their kernel.
    #[must_use]
    pub fn with(&self, other: Self) -> Self {
        let mut all = self.clone();
        all.bugs.splice(0..0, other.bugs);
        all.history.splice(0..0, other.history);
        all
    }

    /// What may be about a case on a kernel. Several may, and the facts decide.
    pub fn about(&self, id: &str, kernel: &Kernel) -> Vec<Candidate<'_>> {
        let about = self.about_base(id, &kernel.base, kernel.version);
        about.into_iter().filter(|row| row.facts.are_of(&kernel.machine)).collect()
    }

    /// The same of a kernel with this base, and the features of `floor`, whichever machine it is
    /// on.
    pub fn about_base(&self, id: &str, base: &Base, floor: Version) -> Vec<Candidate<'_>> {
        let bugs = self
            .bugs
            .iter()
            .filter_map(|bug| Some((What::Bug(bug), &bug.cases, bug.releases.say(base)?)));
        let history = self.history.iter().filter_map(|history| {
            let says = history.says(base, floor)?;
            Some((What::History(history), &history.cases, says))
        });
        bugs.chain(history)
            .flat_map(|(what, cases, version)| {
                let about = cases.iter().filter(|facts| facts.names(id));
                about.map(move |facts| Candidate { what, facts, version })
            })
            .collect()
    }

    /// The bugs that no case can show and that kernels of this base have.
    pub fn only_by_version<'l>(&'l self, base: &Base) -> impl Iterator<Item = &'l Bug> {
        self.bugs.iter().filter(move |bug| {
            bug.cases.is_empty() && bug.releases.say(base) == Some(VersionSays::HasIt)
        })
    }
}

impl Bug {
    /// As a result names it.
    pub fn named(&self) -> NamedBug {
        NamedBug {
            id: self.id.clone(),
            title: self.title.clone(),
            reason: self.cause.clone(),
            fix: (!self.fixed_by.is_empty()).then(|| joined(&self.fixed_by)),
            cve: self.cve.clone(),
            listed_in: self.listed_in.clone(),
        }
    }

    /// Whether one of its commits has this hash, or the beginning of it.
    pub fn has_commit(&self, hash: &str) -> bool {
        self.brought_by.iter().chain(&self.fixed_by).any(|commit| commit.is(hash))
    }
}

impl History {
    /// What a kernel's version says of it. Features of a version are in every kernel that is
    /// called so, whatever else is.
    fn says(&self, base: &Base, floor: Version) -> Option<VersionSays> {
        let over = base.version().is_none() && self.releases.are_over_for(floor);
        if over { None } else { self.releases.say(base) }
    }
}

impl CaseFacts {
    /// Whether they are about this case, on some kernel.
    pub fn names(&self, id: &str) -> bool {
        let mut parts = id.split('/');
        self.id.split('/').all(|named| parts.next().is_some_and(|p| named == p || named == "*"))
    }

    /// Whether they are about this machine, as `uname -m` has it.
    pub fn are_of(&self, machine: &str) -> bool {
        self.machines.is_empty() || self.machines.iter().any(|name| name == machine)
    }

    /// Whether no fact differs there: what shows the bug is the kernel's log.
    pub fn show_in_log_alone(&self) -> bool {
        self.observed.is_empty() && !self.log.is_empty()
    }
}

impl Commit {
    /// Whether its hash is this one, as far as both are known.
    pub fn is(&self, hash: &str) -> bool {
        match self {
            Self::Hash(own) => own.starts_with(hash) || hash.starts_with(own.as_str()),
            Self::Title(_) => false,
        }
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(hash) => f.write_str(hash),
            Self::Title(title) => write!(f, "`{title}`"),
        }
    }
}

/// Commits, as a sentence has them.
pub fn joined(commits: &[Commit]) -> String {
    commits.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
