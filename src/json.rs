//! JSON: everything that a run found, as one document.

use std::io::{self, Write};

use scenarios::engine::Ending;
use scenarios::judge::Verdict;
use serde::Serialize;

use crate::consumer::{Consumer, End, Finished, Run};
use crate::document::{CaseDocument, RunDocument, SCHEMA, milliseconds};

/// Gathers results for a document.
#[derive(Default)]
pub struct Gather {
    cases: Vec<CaseDocument>,
}

impl Gather {
    /// Takes a finished run of a case.
    pub fn finished(&mut self, run: &Run, finished: &Finished<'_>) {
        let outcome = finished.outcome;
        let case = run.selected(outcome).map(|selected| selected.case);
        let facts = outcome.seen.observation.facts.iter();
        // Later rounds that went as expected would only repeat the first one's trace.
        let worth_it = outcome.round == 1 || !matches!(outcome.verdict, Verdict::Pass { .. });
        let lines = if worth_it { outcome.seen.trace.lines() } else { vec![] };
        let trace = lines.iter().map(ToString::to_string).collect();
        self.cases.push(CaseDocument {
            id: outcome.id.clone(),
            round: outcome.round,
            verdict: outcome.verdict.clone(),
            took_ms: milliseconds(outcome.took),
            does: case.map_or("", |case| case.does).into(),
            must: case.map_or("", |case| case.must).into(),
            source: case.map_or("", |case| case.source).into(),
            facts: facts.map(|fact| (fact.name.clone(), fact.value.clone())).collect(),
            trace,
            capture: finished.capture.as_ref().ok().map(|path| path.display().to_string()),
        });
    }

    /// The document, when the run is over.
    pub fn document(&mut self, run: &Run, end: &End<'_>) -> RunDocument {
        RunDocument {
            schema: SCHEMA,
            sockmig: env!("CARGO_PKG_VERSION").into(),
            environment: run.environment.clone(),
            rounds: run.rounds,
            complete: *end.ending == Ending::Complete,
            totals: end.totals.clone(),
            took_ms: milliseconds(end.took),
            cases: std::mem::take(&mut self.cases),
        }
    }
}

/// Writes the document at the end.
pub struct Json<W> {
    to: W,
    gather: Gather,
}

impl<W: Write> Json<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        Self { to, gather: Gather::default() }
    }
}

impl<W: Write> Consumer for Json<W> {
    fn finished(&mut self, run: &Run, finished: &Finished<'_>) -> io::Result<()> {
        self.gather.finished(run, finished);
        Ok(())
    }

    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()> {
        write_document(&mut self.to, &self.gather.document(run, end))
    }
}

/// Writes a document, and the end of its line.
pub fn write_document(to: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, document)?;
    writeln!(to)?;
    to.flush()
}
