//! The cases of a page; what is alike is shown once. Pure.
//!
//! An id is a case's name and a setting: `quiz1` in `v4/on`. The runs of a case, in all
//! settings and on all kernels, have few results that differ in more than times and
//! port numbers; each of these is shown once, with the places where it was seen.

use std::cmp::Ordering;
use std::collections::HashMap;

use harness::Family;
use harness::trace::Line;
use scenarios::catalogue;
use scenarios::judge::Verdict;

use crate::html::combine::Combined;
use crate::output::document::CaseDocument;
use crate::output::word::{CaseResult, Tally, Word};

/// Cases of one mechanism.
#[derive(Debug)]
pub struct Mechanism<'d> {
    /// The first part of their ids.
    pub name: &'d str,
    /// What they are about, if the catalogue knows it.
    pub about: Option<&'static str>,
    /// The cases.
    pub cases: Vec<Case<'d>>,
}

/// A case in all its settings.
#[derive(Debug)]
pub struct Case<'d> {
    /// Its id without the setting.
    pub name: &'d str,
    /// The first document of it, which says what it does and must; nothing if it ran
    /// nowhere.
    pub description: Option<&'d CaseDocument>,
    /// Its settings.
    pub settings: Vec<Setting<'d>>,
    /// Its results, in the order of the first places.
    pub results: Vec<Outcome<'d>>,
}

/// A case's setting.
#[derive(Debug)]
pub struct Setting<'d> {
    /// The full id.
    pub id: &'d str,
    /// What stands after the case's name: `v4/on`; nothing for a case with one setting.
    pub name: &'d str,
    /// A cell for each column.
    pub cells: Vec<Cell>,
}

/// A case in a setting on a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// The column's document was not asked for this case.
    NotAsked,
    /// It was, and has no verdict.
    NotRun,
    /// The result, by its place among the case's.
    Result {
        /// The place.
        at: usize,
        /// Its word.
        word: Word,
        /// Some round failed in a discarded try, and not in the last one.
        flaky: bool,
    },
}

/// A result, and where it was seen.
#[derive(Debug)]
pub struct Outcome<'d> {
    /// Its word.
    pub word: Word,
    /// The first run with it.
    pub first: &'d CaseDocument,
    /// That run's trace.
    pub lines: &'d [Line],
    /// Every run, in the order of the settings and then of the columns.
    pub places: Vec<Place<'d>>,
}

/// A run that has a result.
#[derive(Debug, Clone, Copy)]
pub struct Place<'d> {
    /// The setting, by its place among the case's.
    pub setting: usize,
    /// The column.
    pub column: usize,
    /// In how many rounds of how many it was so.
    pub rounds: (u32, u32),
    /// The run.
    pub run: &'d CaseDocument,
}

impl Cell {
    /// What tables have of it; nothing where nobody asked.
    pub fn result(self) -> Option<CaseResult> {
        match self {
            Self::NotAsked => None,
            Self::NotRun => Some(Word::NotRun.into()),
            Self::Result { word, flaky, .. } => Some(CaseResult { word, flaky }),
        }
    }
}

impl Case<'_> {
    /// The results of its settings on a kernel.
    pub fn tally(&self, column: usize) -> Tally {
        self.settings.iter().filter_map(|setting| setting.cells[column].result()).collect()
    }

    /// An earlier result of the same word in all settings of this one: only what differs
    /// from it is worth showing.
    pub fn model_of(&self, at: usize) -> Option<usize> {
        let outcome = &self.results[at];
        let covers = |known: &Outcome<'_>| {
            let mut places = outcome.places.iter();
            places.all(|place| known.places.iter().any(|known| known.setting == place.setting))
        };
        let mut earlier = self.results[..at].iter();
        earlier.position(|known| known.word == outcome.word && covers(known))
    }
}

impl Mechanism<'_> {
    /// The results of its cases on a kernel.
    pub fn tally(&self, column: usize) -> Tally {
        let mut tally = Tally::default();
        self.cases.iter().for_each(|case| tally.add(&case.tally(column)));
        tally
    }
}

/// An id's name and setting. The setting begins with an address family.
pub fn split(id: &str) -> (&str, &str) {
    let mut from = 0;
    for part in id.split('/') {
        let is_family = Family::ALL.iter().any(|family| family.to_string() == part);
        if from > 0 && is_family {
            return (&id[..from - 1], &id[from..]);
        }
        from += part.len() + 1;
    }
    (id, "")
}

/// Sorts everything that was found.
pub fn digest(combined: &Combined) -> Vec<Mechanism<'_>> {
    let runs = worst_rounds(combined);
    let mut mechanisms: Vec<Mechanism<'_>> = vec![];
    for id in &combined.found.cases {
        let (name, setting) = split(id);
        let first = name.split('/').next().unwrap_or(name);
        let mechanism = match mechanisms.iter().position(|mechanism| mechanism.name == first) {
            Some(at) => &mut mechanisms[at],
            None => {
                let about = catalogue::prefixes().iter().find(|prefix| prefix.id == first);
                let about = about.map(|prefix| prefix.about);
                mechanisms.push(Mechanism { name: first, about, cases: vec![] });
                mechanisms.last_mut().expect("one was pushed")
            }
        };
        let case = match mechanism.cases.iter().position(|case| case.name == name) {
            Some(at) => &mut mechanism.cases[at],
            None => {
                mechanism.cases.push(Case {
                    name,
                    description: None,
                    settings: vec![],
                    results: vec![],
                });
                mechanism.cases.last_mut().expect("one was pushed")
            }
        };
        case.take(id, setting, combined, &runs);
    }
    mechanisms
}

/// The rounds of a case on a column.
#[derive(Clone, Copy)]
struct Rounds<'d> {
    /// The first with the worst word.
    worst: &'d CaseDocument,
    /// That word.
    word: Word,
    /// How many have it, of how many.
    of: (u32, u32),
    /// Some of them failed in a discarded try, and not in the last one.
    flaky: bool,
}

/// The rounds of every case on every column.
type Runs<'d> = HashMap<(usize, &'d str), Rounds<'d>>;

fn worst_rounds(combined: &Combined) -> Runs<'_> {
    let mut runs: Runs<'_> = HashMap::new();
    for (column, kernel) in combined.found.kernels.iter().enumerate() {
        let Some(run) = &kernel.run else { continue };
        for case in &run.cases {
            let word = Word::of(&case.verdict);
            let flaky = case.is_flaky();
            let new = Rounds { worst: case, word, of: (1, run.rounds), flaky };
            runs.entry((column, case.id.as_str()))
                .and_modify(|known| match word.cmp(&known.word) {
                    Ordering::Greater => *known = Rounds { flaky: flaky || known.flaky, ..new },
                    Ordering::Equal => {
                        known.of.0 += 1;
                        known.flaky |= flaky;
                    }
                    Ordering::Less => known.flaky |= flaky,
                })
                .or_insert(new);
        }
    }
    runs
}

impl<'d> Case<'d> {
    fn take(&mut self, id: &'d str, name: &'d str, combined: &'d Combined, runs: &Runs<'d>) {
        let setting = self.settings.len();
        let mut cells = vec![];
        for (column, origin) in combined.columns.iter().enumerate() {
            let Some(Rounds { worst: run, word, of: rounds, flaky }) =
                runs.get(&(column, id)).copied()
            else {
                let asked = origin.selected.contains(id);
                cells.push(if asked { Cell::NotRun } else { Cell::NotAsked });
                continue;
            };
            if self.description.is_none_or(|description| description.does.is_empty()) {
                self.description = Some(run);
            }
            let lines = &run.trace;
            let at = self.results.iter().position(|known| known.is_like(run, lines));
            let at = at.unwrap_or_else(|| {
                self.results.push(Outcome { word, first: run, lines, places: vec![] });
                self.results.len() - 1
            });
            self.results[at].places.push(Place { setting, column, rounds, run });
            cells.push(Cell::Result { at, word, flaky });
        }
        self.settings.push(Setting { id, name, cells });
    }
}

impl Outcome<'_> {
    /// Whether a run has this result, in all that matters: times and windows do not.
    fn is_like(&self, run: &CaseDocument, lines: &[Line]) -> bool {
        match (&self.first.verdict, &run.verdict) {
            // There is nothing to report a skip but its reason.
            (Verdict::Skip { reason }, Verdict::Skip { reason: other }) => reason == other,
            (one, other) => {
                one == other
                    && self.first.facts == run.facts
                    && self.lines.iter().map(|line| &line.what).eq(lines.iter().map(|l| &l.what))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("quiz1/v4/on", "quiz1", "v4/on")]
    #[case("accept-queue/close/v4-mapped/off", "accept-queue/close", "v4-mapped/off")]
    #[case("sysctl/range", "sysctl/range", "")]
    #[case("v4", "v4", "")]
    #[case("", "", "")]
    fn an_id_is_a_name_and_a_setting(#[case] id: &str, #[case] name: &str, #[case] setting: &str) {
        assert_eq!(split(id), (name, setting));
    }
}
