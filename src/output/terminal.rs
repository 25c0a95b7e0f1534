//! A line per case, for people; and what went wrong, where it went wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use harness::trace::Line;
use scenarios::engine::{Ending, Outcome};
use scenarios::judge::Verdict;
use scenarios::report::{self, Retried};

use crate::cli::TraceStyle;
use crate::ladder::rung::Ladder;
use crate::ladder::text;
use crate::output::consumer::{Consumer, End, Finished, Run};
use crate::output::fixes::{self, Fixes};
use crate::output::progress::Progress;
use crate::output::totals::Totals;
use crate::style::Style;

/// Columns that an id gets.
const ID_COLUMNS: usize = 40;

/// What the terminal of a narrower one breaks is broken between words instead.
const ROOMY: usize = 80;

/// Writes for people.
pub struct Terminal<W> {
    to: W,
    style: Style,
    /// Show every trace, and how.
    trace: Option<TraceStyle>,
    /// Columns of the terminal.
    width: usize,
    progress: Progress,
    /// By id, in a run of several rounds.
    by_id: BTreeMap<String, Totals>,
    /// Runs that deviated or broke, to be named again at the end.
    wrong: Vec<String>,
    /// Those that failed in a try before the last, likewise.
    flaky: Vec<String>,
    fixes: Fixes,
}

impl<W: Write> Terminal<W> {
    /// Writes to `to`.
    pub fn new(
        to: W,
        style: Style,
        trace: Option<TraceStyle>,
        width: usize,
        progress: Progress,
    ) -> Self {
        Self {
            to,
            style,
            trace,
            width,
            progress,
            by_id: BTreeMap::new(),
            wrong: vec![],
            flaky: vec![],
            fixes: Fixes::default(),
        }
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let Self { to, progress, .. } = self;
        progress.aside(|| to.write_all(text.as_bytes()).and_then(|()| to.flush()))
    }

    /// The line of a case, and what follows it.
    fn shown(&self, run: &Run, finished: &Finished<'_>) -> String {
        let outcome = finished.outcome;
        let title = run.title(outcome);
        let (word, remark) = self.word(outcome);
        let needs_no_words = matches!(outcome.verdict, Verdict::Pass { .. } | Verdict::Skip { .. });
        if !needs_no_words && let Some(selected) = run.selected(outcome) {
            let capture = finished.capture();
            let kernel = &run.environment.kernel;
            let draw = |lines: &[Line], wrong: &[usize]| match self.trace {
                Some(TraceStyle::Plain) => report::trace(lines, wrong),
                Some(TraceStyle::Ladder) | None => {
                    let ladder = Ladder::new(lines, wrong);
                    text::around(&ladder, report::CONTEXT, self.width, self.style)
                }
            };
            let columns = self.width.saturating_sub(12).clamp(20, report::COLUMNS);
            let block = report::explain_in(columns, selected, kernel, outcome, capture, draw);
            return format!("{word} {block}\n\n");
        }
        let mut shown = format!("{word} {title:<ID_COLUMNS$} {remark}").trim_end().to_owned();
        // A line for each case, but in a terminal that would break it anywhere.
        if self.width < ROOMY && shown.chars().count() > self.width {
            let below = report::wrap(&remark, self.width.saturating_sub(6));
            shown = format!("{word} {title}");
            below.iter().for_each(|line| shown.push_str(&format!("\n      {line}")));
        }
        shown.push('\n');
        if let Some(retried) = Retried::of(&outcome.verdict, &outcome.discarded) {
            for line in retried.to_string().lines() {
                let _ = writeln!(shown, "      {line}");
            }
        }
        if let Some(how) = self.trace {
            let lines = outcome.seen.trace.lines();
            match how {
                TraceStyle::Plain => {
                    for line in lines {
                        let _ = writeln!(shown, "    {line}");
                    }
                }
                TraceStyle::Ladder if lines.is_empty() => {}
                TraceStyle::Ladder => {
                    let ladder = Ladder::new(&lines, &[]);
                    shown.push_str(&text::drawn(&ladder, self.width, self.style));
                }
            }
            if let Ok(path) = &finished.capture {
                let _ = writeln!(shown, "    capture: {}", path.display());
            }
            shown.push('\n');
        }
        shown
    }

    fn word(&self, outcome: &Outcome) -> (String, String) {
        let style = self.style;
        match &outcome.verdict {
            Verdict::Pass { .. } => {
                (style.green("ok   "), format!("{:>5} ms", outcome.took.as_millis()))
            }
            Verdict::Fail { .. } => (style.red("FAIL "), String::new()),
            Verdict::Skip { reason } => (style.yellow("skip "), reason.to_string()),
            Verdict::KnownBug { .. } => (style.yellow("known"), String::new()),
            Verdict::Error { .. } => (style.red("error"), String::new()),
        }
    }
}

impl<W: Write> Consumer for Terminal<W> {
    fn begin(&mut self, run: &Run) -> io::Result<()> {
        let environment = &run.environment;
        let who = if environment.root { "as root" } else { "in a user namespace" };
        let (cases, jobs) = (run.selection.len(), run.jobs);
        let rounds = match run.rounds {
            1 => String::new(),
            rounds => format!(", {rounds} times"),
        };
        self.progress.begin(cases * run.rounds as usize);
        let cases = report::counted(cases as u64, "case");
        let kernel = &environment.kernel;
        let base = report::wrap(&format!("base {}", kernel.base), self.width).join("\n");
        let gate = match &kernel.gate {
            Ok(gate) => format!("final ACKs held by {gate}\n"),
            Err(_) => String::new(),
        };
        let head = format!("{kernel}, {who}: {cases}{rounds}, {jobs} at a time");
        let head = match self.width < ROOMY {
            true => report::wrap(&head, self.width).join("\n"),
            false => head,
        };
        self.write(&format!("{head}\n{base}\n{gate}\n"))
    }

    fn started(&mut self, id: &str) {
        self.progress.started(id);
    }

    fn finished(&mut self, run: &Run, finished: &Finished<'_>) -> io::Result<()> {
        let outcome = finished.outcome;
        self.progress.finished(&outcome.id);
        if matches!(outcome.verdict, Verdict::Fail { .. } | Verdict::Error { .. }) {
            self.wrong.push(run.title(outcome));
        }
        self.fixes.note(&outcome.verdict);
        if outcome.is_flaky() {
            self.flaky.push(run.title(outcome));
        }
        self.by_id
            .entry(outcome.id.clone())
            .or_default()
            .count(&outcome.verdict, &outcome.discarded);
        let shown = self.shown(run, finished);
        // In a run of several rounds, only what is remarkable.
        let quiet = run.rounds > 1
            && outcome.discarded.is_empty()
            && matches!(
                outcome.verdict,
                Verdict::Pass { .. } | Verdict::Skip { .. } | Verdict::KnownBug { .. }
            );
        if quiet { Ok(()) } else { self.write(&shown) }
    }

    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()> {
        self.progress.end();
        let mut shown = String::new();
        if run.rounds > 1 {
            for selected in &run.selection {
                if let Some(totals) = self.by_id.get(&selected.id()) {
                    let _ = writeln!(shown, "{:<ID_COLUMNS$} {}", selected.id(), totals.brief());
                }
            }
        }
        if !self.flaky.is_empty() {
            let _ = writeln!(shown, "\nFlaky, failed in a try before the last:");
            for title in &self.flaky {
                let _ = writeln!(shown, "  {title}");
            }
        }
        let fixes = self.fixes.all();
        if !fixes.is_empty() {
            let _ = writeln!(shown, "\n{}", fixes::heading(&run.environment.kernel));
            for bug in fixes {
                let _ = writeln!(shown, "  {}", bug.with_fix());
            }
        }
        if !self.wrong.is_empty() {
            let _ = writeln!(shown, "\nNot as expected:");
            for title in &self.wrong {
                let _ = writeln!(shown, "  {title}");
            }
        }
        match end.ending {
            Ending::Complete => {}
            Ending::Interrupted { not_run } => {
                let _ = writeln!(shown, "\nInterrupted; {not_run} not run.");
            }
            Ending::EnoughFailed { not_run } => {
                let _ = writeln!(shown, "\nStopped by --max-fail; {not_run} not run.");
            }
            Ending::NoLab { why, not_run } => {
                let _ = writeln!(shown, "\n{why}; {not_run} not run.");
            }
        }
        if !end.tainted.is_none() {
            let _ = writeln!(
                shown,
                "\nThe kernel was tainted meanwhile, by a case or by another program: {}.",
                end.tainted
            );
        }
        let totals = end.totals;
        let (runs, took) = (totals.finished(), end.took.as_secs_f64());
        let word = if run.rounds == 1 { "case" } else { "run" };
        let sum = format!("{}: {totals}; {took:.2} s", report::counted(runs as u64, word));
        let sum = match self.width < ROOMY {
            true => report::wrap(&sum, self.width).join("\n"),
            false => sum,
        };
        let _ = writeln!(shown, "\n{sum}");
        self.write(&shown)
    }
}
