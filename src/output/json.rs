//! JSON: everything that a run found, as one document.

use std::io::{self, Write};

use crate::output::consumer::{Consumer, End, Finished, Run};
use crate::output::document::{CaseDocument, RunDocument};

/// Gathers results, and writes the document at the end.
pub struct Json<W> {
    to: W,
    cases: Vec<CaseDocument>,
}

impl<W: Write> Json<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self { to, cases: vec![] }
    }
}

impl<W: Write> Consumer for Json<W> {
    fn finished(&mut self, run: &Run, finished: &Finished<'_>) -> io::Result<()> {
        let outcome = finished.outcome;
        let case = run.selected(outcome).map(|selected| selected.case);
        let capture = finished.capture.as_ref().ok().map(|path| path.display().to_string());
        self.cases.push(CaseDocument::of(outcome, case, capture));
        Ok(())
    }

    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()> {
        let document = RunDocument::of(run, end, std::mem::take(&mut self.cases));
        serde_json::to_writer_pretty(&mut self.to, &document)?;
        writeln!(self.to)?;
        self.to.flush()
    }
}
