//! Counting verdicts.

use std::fmt;

use scenarios::engine::{DiscardedTry, Ending, is_flaky};
use scenarios::judge::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many runs have which verdict.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// As expected.
    pub passed: usize,
    /// The kernel deviates.
    pub failed: usize,
    /// Said nothing about this kernel.
    pub skipped: usize,
    /// The kernel deviates as it is known to.
    pub known_bugs: usize,
    /// The laboratory broke.
    pub errors: usize,
    /// Of all: they failed in a discarded try, and not in the last one.
    #[serde(default)]
    pub flaky: usize,
    /// Of all: they were tried more than once, and are not flaky.
    #[serde(default)]
    pub retried: usize,
    /// Not begun, or not finished.
    pub not_run: usize,
    /// Ctrl-C.
    pub interrupted: bool,
    /// As many had failed as --max-fail allows: the rest was not begun.
    #[serde(default)]
    pub enough_failed: bool,
    /// The machine stopped giving labs.
    pub no_lab: bool,
}

impl Totals {
    /// Counts a verdict, and the tries before the one that it is of.
    pub fn count(&mut self, verdict: &Verdict, discarded: &[DiscardedTry]) {
        let counter = match verdict {
            Verdict::Pass { .. } => &mut self.passed,
            Verdict::Fail { .. } => &mut self.failed,
            Verdict::Skip { .. } => &mut self.skipped,
            Verdict::KnownBug { .. } => &mut self.known_bugs,
            Verdict::Error { .. } => &mut self.errors,
        };
        *counter += 1;
        match is_flaky(verdict, discarded) {
            true => self.flaky += 1,
            false => self.retried += usize::from(!discarded.is_empty()),
        }
    }

    /// Records how the run ended.
    pub fn end(&mut self, ending: &Ending) {
        match ending {
            Ending::Complete => {}
            Ending::Interrupted { not_run } => {
                self.interrupted = true;
                self.not_run = *not_run;
            }
            Ending::EnoughFailed { not_run } => {
                self.enough_failed = true;
                self.not_run = *not_run;
            }
            Ending::NoLab { not_run, .. } => {
                self.no_lab = true;
                self.not_run = *not_run;
            }
        }
    }

    /// The counts that are not zero.
    pub fn brief(&self) -> String {
        let counts = [
            (self.passed, "passed"),
            (self.failed, "failed"),
            (self.skipped, "skipped"),
            (self.known_bugs, "known bug"),
            (self.errors, "error"),
            (self.flaky, "flaky"),
            (self.retried, "retried"),
        ];
        let counted = counts.iter().filter(|(count, _)| *count > 0);
        counted.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
    }

    /// All that have a verdict.
    pub fn finished(&self) -> usize {
        self.passed + self.failed + self.skipped + self.known_bugs + self.errors
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped, known_bugs, errors, not_run, flaky, retried, .. } =
            self;
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let (bugs, errs) = (plural(*known_bugs), plural(*errors));
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")?;
        write!(f, ", {known_bugs} known bug{bugs}, {errors} error{errs}")?;
        if *not_run > 0 {
            write!(f, ", {not_run} not run")?;
        }
        for (count, word) in [(flaky, "flaky"), (retried, "retried")] {
            if *count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        Ok(())
    }
}
