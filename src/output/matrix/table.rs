//! The matrix on the terminal: a row as soon as its kernel has ended, and at the end the
//! whole table with everything that wants an explanation.

use std::io::{self, Write};

use scenarios::engine::Outcome;

use crate::output::document::{KernelDocument, MatrixDocument};
use crate::output::matrix::event::{Matrix, MatrixConsumer, Stage};
use crate::output::matrix::live::Live;
use crate::output::matrix::text::text;
use crate::output::word::{CaseResult, Tally, Word, coloured, row};
use crate::style::Style;

/// Writes for people.
pub struct Table<W> {
    to: W,
    style: Style,
    width: usize,
    live: Live,
    names: usize,
    cases: Vec<String>,
}

impl<W: Write> Table<W> {
    /// Writes to `to`, which is `width` columns wide.
    pub fn new(to: W, style: Style, width: usize, live: Live) -> Self {
        Self { to, style, width, live, names: 0, cases: vec![] }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let Self { to, live, .. } = self;
        live.aside(|| to.write_all(text.as_bytes()).and_then(|()| to.flush()))
    }
}

impl<W: Write> MatrixConsumer for Table<W> {
    fn begin(&mut self, matrix: &Matrix) -> io::Result<()> {
        self.names = matrix.kernels.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        self.cases = matrix.selection.iter().map(scenarios::case::Selected::id).collect();
        let (kernels, cases, jobs) = (matrix.kernels.len(), self.cases.len(), matrix.jobs);
        self.live.begin(&matrix.kernels, cases);
        let shard = matrix.shard.as_ref().map(|shard| format!(" (shard {shard})"));
        let shard = shard.unwrap_or_default();
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (ks, cs) = (plural(kernels), plural(cases));
        let at_a_time = match kernels {
            1 => String::new(),
            _ => format!(", {} machines at a time", jobs.min(kernels)),
        };
        self.write(&format!("{kernels} kernel{ks}{shard}, {cases} case{cs}{at_a_time}\n\n"))
    }

    fn stage(&mut self, kernel: usize, stage: &Stage) -> io::Result<()> {
        self.live.stage(kernel, stage);
        Ok(())
    }

    fn finished(&mut self, kernel: usize, outcome: &Outcome) -> io::Result<()> {
        let (word, flaky) = (Word::of(&outcome.verdict), outcome.is_flaky());
        self.live.finished(kernel, CaseResult { word, flaky });
        Ok(())
    }

    fn ended(&mut self, kernel: usize, found: &KernelDocument) -> io::Result<()> {
        self.live.ended(kernel);
        let tally: Tally = row(found, &self.cases).into_iter().collect();
        let brief = match tally.worst() {
            Some(worst) => coloured(self.style, worst, &tally.brief()),
            None => tally.brief(),
        };
        let took = found.machine.as_ref().map(|machine| machine.took_ms);
        let took = took.map_or(String::new(), |ms| format!("; {:.1} s", ms as f64 / 1000.0));
        let (name, names, end) = (&found.name, self.names, found.end.word());
        let complaints = match found.complaints.len() {
            0 => String::new(),
            1 => "; 1 complaint in its log".into(),
            many => format!("; {many} complaints in its log"),
        };
        self.write(&format!("{name:<names$}  {end:<13}  {brief}{complaints}{took}\n"))
    }

    fn end(&mut self, _matrix: &Matrix, found: &MatrixDocument) -> io::Result<()> {
        self.live.end();
        let text = text(found, self.style, self.width);
        self.write(&format!("\n{text}"))
    }
}
