//! A run as Markdown, for pull requests: what `sockmig matrix` has for many kernels.

use std::io::{self, Write};

use crate::output::consumer::{Consumer, End, Finished, Run};
use crate::output::document::{CaseDocument, RunDocument};
use crate::output::matrix::markdown::markdown;
use crate::output::read::Document;

/// Gathers results, and writes the page at the end.
pub struct Markdown<W> {
    to: W,
    cases: Vec<CaseDocument>,
}

impl<W: Write> Markdown<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self { to, cases: vec![] }
    }
}

impl<W: Write> Consumer for Markdown<W> {
    fn finished(&mut self, run: &Run, finished: &Finished<'_>) -> io::Result<()> {
        let case = run.selected(finished.outcome).map(|selected| selected.case);
        self.cases.push(CaseDocument::of(finished.outcome, case, None));
        Ok(())
    }

    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()> {
        let document = RunDocument::of(run, end, std::mem::take(&mut self.cases));
        let found = Document::Run(Box::new(document)).into_matrix();
        self.to.write_all(markdown(&found).as_bytes())?;
        self.to.flush()
    }
}
