//! JSON: everything that a run found, as one document.

use std::io::{self, Write};

use scenarios::engine::Ending;
use scenarios::judge::Verdict;
use serde::Serialize;
use serde_json::Value;

use crate::consumer::{Consumer, End, Environment, Finished, Run};
use crate::totals::Totals;

/// The version of the document's form. A reader refuses those that it does not know.
pub const SCHEMA: u32 = 1;

/// Gathers results, and writes the document at the end.
pub struct Json<W> {
    to: W,
    cases: Vec<CaseDocument>,
}

#[derive(Serialize)]
struct Document<'r> {
    schema: u32,
    sockmig: &'static str,
    environment: &'r Environment,
    rounds: u32,
    complete: bool,
    totals: &'r Totals,
    took_ms: u128,
    cases: &'r [CaseDocument],
}

#[derive(Serialize)]
struct CaseDocument {
    id: String,
    round: u32,
    #[serde(flatten)]
    verdict: Verdict,
    took_ms: u128,
    does: &'static str,
    must: &'static str,
    source: &'static str,
    facts: Value,
    trace: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capture: Option<String>,
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
        let facts = outcome.seen.observation.facts.iter();
        // Later rounds that went as expected would only repeat the first one's trace.
        let worth_it = outcome.round == 1 || !matches!(outcome.verdict, Verdict::Pass { .. });
        let lines = if worth_it { outcome.seen.trace.lines() } else { vec![] };
        let trace = lines.iter().map(ToString::to_string).collect();
        self.cases.push(CaseDocument {
            id: outcome.id.clone(),
            round: outcome.round,
            verdict: outcome.verdict.clone(),
            took_ms: outcome.took.as_millis(),
            does: case.map_or("", |case| case.does),
            must: case.map_or("", |case| case.must),
            source: case.map_or("", |case| case.source),
            facts: facts
                .map(|fact| Ok((fact.name.clone(), serde_json::to_value(&fact.value)?)))
                .collect::<serde_json::Result<serde_json::Map<_, _>>>()?
                .into(),
            trace,
            capture: finished.capture.as_ref().ok().map(|path| path.display().to_string()),
        });
        Ok(())
    }

    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()> {
        let document = Document {
            schema: SCHEMA,
            sockmig: env!("CARGO_PKG_VERSION"),
            environment: &run.environment,
            rounds: run.rounds,
            complete: *end.ending == Ending::Complete,
            totals: end.totals,
            took_ms: end.took.as_millis(),
            cases: &self.cases,
        };
        serde_json::to_writer_pretty(&mut self.to, &document)?;
        writeln!(self.to)?;
        self.to.flush()
    }
}
