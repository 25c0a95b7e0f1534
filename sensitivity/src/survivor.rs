//! Why a change was not noticed, as somebody has found out.

use std::fmt;

use anyhow::Context;
use serde::Deserialize;

use crate::change::Change;

/// What kind of survivor a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// No program can see a difference.
    Equivalent,
    /// Only two processors at once could see one.
    TwoProcessors,
    /// It is about something else than listeners that close.
    OutsideTheSubject,
    /// A program could see it, and no case does.
    Gap,
    /// Nobody has looked yet.
    Unknown,
}

impl Class {
    /// Whether it counts against the suite.
    pub fn counts(self) -> bool {
        matches!(self, Self::Gap | Self::Unknown)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equivalent => "equivalent",
            Self::TwoProcessors => "not visible on one processor",
            Self::OutsideTheSubject => "outside the subject",
            Self::Gap => "gap",
            Self::Unknown => "not looked at",
        })
    }
}

/// One that was looked at.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survivor {
    file: String,
    function: String,
    /// What stood there, in one line, as a report has it.
    was: String,
    /// What stands there; any change of that text, if nothing is said.
    is: Option<String>,
    /// In which line, where a function has the same text twice.
    line: Option<usize>,
    /// What it is.
    pub class: Class,
    /// Why.
    pub reason: String,
}

/// All of them, as `sensitivity/survivors.toml` lists them.
///
/// # Errors
/// The list is not of that form.
pub fn survivors() -> anyhow::Result<Vec<Survivor>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        survivor: Vec<Survivor>,
    }
    let list: List =
        toml::from_str(include_str!("../survivors.toml")).context("sensitivity/survivors.toml")?;
    Ok(list.survivor)
}

/// What a change that survived is, if somebody has looked.
pub fn of<'a>(change: &Change, survivors: &'a [Survivor]) -> Option<&'a Survivor> {
    survivors.iter().find(|survivor| {
        survivor.file == change.file
            && survivor.function == change.function
            && survivor.was == change.was
            && survivor.is.as_ref().is_none_or(|is| *is == change.is)
            && survivor.line.is_none_or(|line| line == change.line)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_list_is_whole_and_each_has_its_reason() {
        let survivors = super::survivors().expect("a list");
        assert!(survivors.iter().all(|survivor| !survivor.reason.is_empty()));
    }
}
