//! `sockmig` alone: what this kernel does, and what to do about it, in plain words.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::io::{self, Write};

use scenarios::catalogue;
use scenarios::engine::{Ending, Outcome, RunPlan};
use scenarios::judge::builtin::builtin;
use scenarios::judge::{NamedBug, SkipReason, Verdict};
use scenarios::report::{Retried, counted, wrap};

use crate::cmd::run::{Consumers, execute};
use crate::exit::{Denied, Exit};
use crate::output::consumer::{Consumer, End, Finished, Run};
use crate::output::fixes::{self, Fixes};
use crate::output::plain::Plain;
use crate::output::progress::Progress;
use crate::output::stdout::{self, Stdout};
use crate::style::Style;

/// The widest that the answer becomes.
pub const COLUMNS: usize = 78;

/// Runs everything and answers.
pub fn answer() -> Exit {
    let style = Style::of(&io::stdout());
    let mut consumers = Consumers::default();
    let width = stdout::width().min(COLUMNS);
    consumers.add(Answer::new(Stdout::new(), style, width, Progress::on_stderr()));
    match execute(catalogue::all(), RunPlan::default(), &mut consumers) {
        Ok(totals) => consumers.exit(&totals, Denied::default()),
        Err(exit) => exit,
    }
}

/// Gathers verdicts, and writes the answer at the end.
pub struct Answer<W> {
    to: W,
    style: Style,
    width: usize,
    progress: Progress,
    verdicts: Vec<(String, Verdict)>,
    /// Cases that failed in a discarded try and not in the last one, and how often.
    flaky: Vec<String>,
}

impl<W: Write> Answer<W> {
    /// Writes to `to`, in so many columns.
    pub fn new(to: W, style: Style, width: usize, progress: Progress) -> Self {
        Self { to, style, width, progress, verdicts: vec![], flaky: vec![] }
    }
}

impl<W: Write> Consumer for Answer<W> {
    fn begin(&mut self, run: &Run) -> io::Result<()> {
        self.progress.begin(run.selection.len());
        Ok(())
    }

    fn started(&mut self, id: &str) {
        self.progress.started(id);
    }

    fn finished(&mut self, _: &Run, finished: &Finished<'_>) -> io::Result<()> {
        let Outcome { id, verdict, discarded, .. } = finished.outcome;
        self.progress.finished(id);
        if let Some(retried) = Retried::of(verdict, discarded).filter(Retried::is_flaky) {
            let tries = retried.tries().join("; ");
            self.flaky.push(format!("{id}: {}: {tries}", retried.often()));
        }
        self.verdicts.push((id.clone(), verdict.clone()));
        Ok(())
    }

    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()> {
        self.progress.end();
        let Self { verdicts, flaky, style, width, .. } = &*self;
        let text = Text { run, verdicts, flaky, style: *style, width: *width }.whole(end);
        self.to.write_all(text.as_bytes())?;
        self.to.flush()
    }
}

struct Text<'r> {
    run: &'r Run,
    verdicts: &'r [(String, Verdict)],
    flaky: &'r [String],
    style: Style,
    width: usize,
}

impl Text<'_> {
    fn whole(&self, end: &End<'_>) -> String {
        let kernel = &self.run.environment.kernel;
        let mut text = format!("{}\n", self.style.bold(&kernel.to_string()));
        // The first sentence is as wide as an ordinary terminal.
        let wide = if self.width < COLUMNS { self.width } else { COLUMNS + 2 };
        let _ = writeln!(text, "{}\n", wrap(&format!("base {}", kernel.base), wide).join("\n"));
        let first = "When a listener of an SO_REUSEPORT group closes, as at a server's reload, and \
                     other listeners on the same port stay, this kernel";
        let _ = writeln!(text, "{}\n", wrap(first, wide).join("\n"));
        let plain = Plain::of(&self.run.environment, self.verdicts);
        let off = format!("with net.ipv4.tcp_migrate_req = 0 (the default{})", plain.off_here);
        text.push_str(&indented(&off, "  ", "    ", self.width));
        plain.off.iter().for_each(|sentence| text.push_str(&self.bullet(sentence)));
        let on = format!("with net.ipv4.tcp_migrate_req = 1{}", plain.on_here);
        text.push_str(&indented(&on, "  ", "    ", self.width));
        plain.on.iter().for_each(|sentence| text.push_str(&self.bullet(sentence)));
        let _ = writeln!(text, "\n{}", self.style.bold("What to do"));
        plain.advice.iter().for_each(|advice| text.push_str(&self.item(advice)));
        text.push_str(&self.deviations());
        if !self.flaky.is_empty() {
            let _ = writeln!(text, "\n{}", self.style.yellow("Flaky"));
            self.flaky.iter().for_each(|line| text.push_str(&self.item(line)));
        }
        text.push_str(&self.known_bugs());
        text.push_str(&self.by_version());
        text.push_str(&self.fixes());
        text.push_str(&self.not_checked(end));
        let (totals, took) = (end.totals, end.took.as_secs_f64());
        let cases = counted(totals.finished() as u64, "case");
        let sum = format!("{cases}: {totals}; {took:.2} s");
        let more = "`sockmig run quiz1 quiz2 --trace` shows the packets, `sockmig run` every case.";
        for sentence in [sum.as_str(), more] {
            let wide = if self.width < COLUMNS { self.width } else { usize::MAX };
            let lines = wrap(sentence, wide).join("\n");
            let _ = writeln!(text, "{}{lines}", if sentence == more { "" } else { "\n" });
        }
        text
    }

    fn deviations(&self) -> String {
        let mut text = String::new();
        for (id, verdict) in self.verdicts {
            if let Verdict::Fail { mismatches } = verdict {
                let wrong: Vec<&str> = mismatches.iter().map(|m| m.what.as_str()).collect();
                text.push_str(&self.item(&format!("{id}: {}", wrong.join(", "))));
            }
        }
        match text.is_empty() {
            true => text,
            false => format!("\n{}\n{text}", self.style.red("Deviations")),
        }
    }

    /// The bugs that this kernel is known for, each once. The lost wake-up is shown above.
    fn known_bugs(&self) -> String {
        let mut shown: Vec<&NamedBug> = Vec::new();
        let mut text = String::new();
        for (id, verdict) in self.verdicts {
            let Verdict::KnownBug { bug, version, .. } = verdict else { continue };
            if shown.contains(&&**bug) || id.starts_with("wake-up/") {
                continue;
            }
            shown.push(bug);
            let (shown, case) = (bug.shown(*version), self.case(id));
            text.push_str(&self.item(&format!("{shown} (sockmig explain {case})")));
        }
        match text.is_empty() {
            true => text,
            false => format!("\n{}\n{text}", self.style.bold("Known bugs of this kernel")),
        }
    }

    /// Bugs that no case can show, and that kernels of this base have.
    fn by_version(&self) -> String {
        let base = &self.run.environment.kernel.base;
        let text: String = builtin()
            .only_by_version(base)
            .map(|bug| {
                self.item(&format!("{}: sockmig explain {}", bug.named().with_fix(), bug.id))
            })
            .collect();
        match text.is_empty() {
            true => text,
            false => {
                let heading = self.style.bold("Known by its version, not shown");
                format!("\n{heading}\n{text}")
            }
        }
    }

    /// Fixes that the kernel has and its version has not.
    fn fixes(&self) -> String {
        let fixes: Fixes = self.verdicts.iter().map(|(_, verdict)| verdict).collect();
        let text: String = fixes.all().iter().map(|bug| self.item(&bug.with_fix())).collect();
        match text.is_empty() {
            true => text,
            false => {
                let heading = fixes::heading(&self.run.environment.kernel);
                format!("\n{}\n{text}", self.style.bold(heading.trim_end_matches(':')))
            }
        }
    }

    /// The case's name without its setting.
    fn case<'i>(&self, id: &'i str) -> &'i str {
        let selected = self.run.selection.iter().find(|selected| selected.id() == *id);
        selected.map_or(id, |selected| &id[..selected.case.name.len()])
    }

    /// What was not checked, by reason.
    fn not_checked(&self, end: &End<'_>) -> String {
        let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
        for (id, verdict) in self.verdicts {
            let reason = match verdict {
                Verdict::Skip { reason: SkipReason::LongTimers { .. } } => {
                    "long timers; sockmig run --long waits for them".to_owned()
                }
                Verdict::Skip { reason } => reason.to_string(),
                Verdict::Error { reason } => reason.clone(),
                Verdict::Pass { .. } | Verdict::Fail { .. } | Verdict::KnownBug { .. } => continue,
            };
            match reasons.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, ids)) => ids.push(id),
                None => reasons.push((reason, vec![id])),
            }
        }
        let mut text = String::new();
        for (reason, ids) in reasons {
            let more = match ids.len() {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            let reason = reason.trim_end_matches('.');
            text.push_str(&self.item(&format!("{}{more}: {reason}", ids[0])));
        }
        match end.ending {
            Ending::Complete => {}
            Ending::Interrupted { not_run } => {
                let cases = counted(*not_run as u64, "case");
                text.push_str(&self.item(&format!("{cases}: interrupted")));
            }
            Ending::EnoughFailed { not_run } => {
                text.push_str(&self.item(&format!("{not_run} cases: enough had failed")));
            }
            Ending::NoLab { why, not_run } => {
                let cases = counted(*not_run as u64, "case");
                text.push_str(&self.item(&format!("{cases}: {why}")));
            }
        }
        match text.is_empty() {
            true => text,
            false => format!("\n{}\n{text}", self.style.bold("Not checked")),
        }
    }

    fn bullet(&self, text: &str) -> String {
        indented(text, "    - ", "      ", self.width)
    }

    fn item(&self, text: &str) -> String {
        indented(text, "  - ", "    ", self.width)
    }
}

fn indented(text: &str, first: &str, others: &str, width: usize) -> String {
    let mut indent = first;
    let mut shown = String::new();
    for line in wrap(text, width.saturating_sub(first.len())) {
        let _ = writeln!(shown, "{indent}{line}");
        indent = others;
    }
    shown
}
