//! KTAP, and the TAP 13 that kernel CI reads best.
//!
//! The rules are those of the kernel's `Documentation/dev-tools/ktap.rst`: a version
//! line, a plan, one result line per test; diagnostics start with `#` and come before the
//! result they belong to; a description has no `#`.

use std::io::{self, Write};

use scenarios::engine::Ending;
use scenarios::judge::{NamedBug, Verdict};
use scenarios::report::{self, Retried};

use crate::output::consumer::{Consumer, End, Finished, Run};
use crate::output::fixes::{self, Fixes};
use crate::output::not_run::NotRun;
use crate::output::totals::Totals;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `KTAP version 1`.
    Ktap,
    /// `TAP version 13`, with durations, and silent about its version under a test
    /// runner that has said it already (`KSFT_TAP_LEVEL`).
    Tap13,
}

/// Writes results as they come.
pub struct Ktap<W> {
    to: W,
    dialect: Dialect,
    nested: bool,
    number: usize,
    fixes: Fixes,
    not_run: NotRun,
}

impl<W: Write> Ktap<W> {
    /// `nested`: a version line was written by somebody else.
    pub fn new(to: W, dialect: Dialect, nested: bool) -> Self {
        let (fixes, not_run) = (Fixes::default(), NotRun::default());
        Self { to, dialect, nested, number: 0, fixes, not_run }
    }

    fn diagnostics(&mut self, text: &str) -> io::Result<()> {
        text.lines().try_for_each(|line| writeln!(self.to, "# {line}"))
    }
}

impl<W: Write> Consumer for Ktap<W> {
    fn begin(&mut self, run: &Run) -> io::Result<()> {
        match self.dialect {
            Dialect::Ktap => writeln!(self.to, "KTAP version 1")?,
            Dialect::Tap13 if self.nested => {}
            Dialect::Tap13 => writeln!(self.to, "TAP version 13")?,
        }
        writeln!(self.to, "1..{}", run.selection.len() * run.rounds as usize)?;
        let kernel = &run.environment.kernel;
        self.diagnostics(&kernel.to_string())?;
        self.diagnostics(&format!("base {}", kernel.base))?;
        match &kernel.gate {
            Ok(gate) => self.diagnostics(&format!("final ACKs held by {gate}")),
            Err(_) => Ok(()),
        }
    }

    fn finished(&mut self, run: &Run, finished: &Finished<'_>) -> io::Result<()> {
        let outcome = finished.outcome;
        let retried = Retried::of(&outcome.verdict, &outcome.discarded);
        // The block about anything else has it.
        if let (Verdict::Pass { .. } | Verdict::Skip { .. }, Some(retried)) =
            (&outcome.verdict, retried)
        {
            self.diagnostics(&retried.to_string())?;
        }
        if let Some(selected) = run.selected(outcome) {
            let capture = finished.capture();
            let explained = || {
                report::explain(selected, &run.environment.kernel, outcome, capture, report::trace)
            };
            match &outcome.verdict {
                Verdict::Pass { .. } | Verdict::Skip { .. } => {}
                _ => self.diagnostics(&explained())?,
            }
        }
        self.fixes.note(&outcome.verdict);
        self.not_run.finished(outcome);
        self.number += 1;
        let result = TapResult::of(&outcome.verdict);
        let duration = match (self.dialect, &result) {
            (Dialect::Tap13, TapResult::Ok | TapResult::NotOk) => {
                format!(" # time={}ms", outcome.took.as_millis())
            }
            _ => String::new(),
        };
        let line = result.line(self.number, &run.title(outcome));
        writeln!(self.to, "{line}{duration}")?;
        self.to.flush()
    }

    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()> {
        match end.ending {
            Ending::Complete => {}
            Ending::Interrupted { not_run } => {
                self.diagnostics(&format!("interrupted: {not_run} not run"))?;
            }
            Ending::EnoughFailed { not_run } => {
                self.diagnostics(&format!("stopped by --max-fail: {not_run} not run"))?;
                for title in self.not_run.titles(run) {
                    self.number += 1;
                    writeln!(self.to, "ok {} {title} # SKIP not run", self.number)?;
                }
            }
            Ending::NoLab { why, not_run } => {
                self.diagnostics(&format!("{why}: {not_run} not run"))?;
            }
        }
        let fixes: Vec<String> = self.fixes.all().into_iter().map(NamedBug::with_fix).collect();
        if !fixes.is_empty() {
            self.diagnostics(&fixes::heading(&run.environment.kernel))?;
            self.diagnostics(&fixes.join("\n"))?;
        }
        let Totals { passed, failed, known_bugs, skipped, errors, flaky, retried, .. } = end.totals;
        if flaky + retried > 0 {
            self.diagnostics(&format!("flaky: {flaky}, retried: {retried}"))?;
        }
        self.diagnostics(&format!(
            "Totals: pass:{passed} fail:{failed} xfail:{known_bugs} xpass:0 \
             skip:{skipped} error:{errors}"
        ))?;
        self.to.flush()
    }
}

/// The result of a test, with why where TAP has a directive for that.
pub enum TapResult {
    /// As expected.
    Ok,
    /// The kernel deviates.
    NotOk,
    /// It says nothing about this kernel.
    Skip(String),
    /// The kernel deviates as it is known to.
    Xfail(String),
    /// The laboratory broke.
    Error(String),
}

impl TapResult {
    /// What becomes of a verdict.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass { .. } => Self::Ok,
            Verdict::Fail { .. } => Self::NotOk,
            Verdict::Skip { reason } => Self::Skip(reason.to_string()),
            Verdict::KnownBug { bug, version, .. } => Self::Xfail(bug.shown(*version)),
            Verdict::Error { reason } => Self::Error(reason.clone()),
        }
    }

    /// The line of a test, without a line end.
    pub fn line(&self, number: usize, title: &str) -> String {
        let (result, directive) = match self {
            Self::Ok => ("ok", String::new()),
            Self::NotOk => ("not ok", String::new()),
            Self::Skip(why) => ("ok", format!(" # SKIP {}", one_line(why))),
            Self::Xfail(why) => ("ok", format!(" # XFAIL {}", one_line(why))),
            Self::Error(why) => ("not ok", format!(" # ERROR {}", one_line(why))),
        };
        format!("{result} {number} {title}{directive}")
    }
}

/// A description, which must have no `#`.
pub fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().replace('#', "no.")
}
