//! What a page is made of.

use crate::html::combine::Combined;
use crate::html::digest::Mechanism;
use crate::output::matrix::findings::{self, Findings};
use crate::output::word::{Tally, Word};

/// Where a capture is from the page's place, if it is there: by the document's place, and
/// what the document calls it.
pub type Links<'l> = &'l dyn Fn(usize, &str) -> Option<String>;

/// Everything that the parts of a page are made of.
pub struct Page<'d> {
    /// What was found.
    pub combined: &'d Combined,
    /// Its cases, what is alike shown once.
    pub mechanisms: Vec<Mechanism<'d>>,
    /// What wants an explanation.
    pub findings: Findings<'d>,
    /// Every cell, counted.
    pub all: Tally,
    /// Where captures are.
    pub links: Links<'d>,
    /// How much of what is long is shown.
    pub limits: Limits,
}

/// How much a case may show at length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Ladders.
    pub ladders: usize,
    /// Results side by side.
    pub pairs: usize,
    /// Links to captures of a result.
    pub captures: usize,
}

impl Page<'_> {
    /// The verdicts of a column, by the ids of their cases.
    pub fn verdicts(&self, column: usize) -> Vec<(String, scenarios::judge::Verdict)> {
        let run = self.combined.found.kernels[column].run.as_ref();
        let cases = run.iter().flat_map(|run| &run.cases);
        cases.map(|case| (case.id.clone(), case.verdict.clone())).collect()
    }

    /// Whether some case has a result, which is what a legend is about.
    pub fn occurs(&self, word: Word) -> bool {
        self.all.of(word) > 0
    }

    /// The command that runs a case again on a column's kernel.
    pub fn again(&self, column: usize, id: &str) -> String {
        let kernel = &self.combined.found.kernels[column];
        let id = findings::shell_word(id);
        match &kernel.machine {
            None => format!("sockmig run {id} --trace --out DIR"),
            Some(machine) => {
                let options = machine.option_for_guests();
                let name = findings::shell_word(&self.combined.columns[column].kernel);
                format!("sockmig matrix --kernel {name}{options} {id} --out DIR")
            }
        }
    }
}
