//! A verdict in words: the block that explains a failure, and the trace that shows it.

use std::fmt::{self, Write};
use std::path::Path;

use harness::json::shown_fields;
use harness::kernel::Kernel;
use harness::trace::Line;
use harness::wait::RanOut;

use crate::case::Selected;
use crate::engine::{DiscardedTry, Outcome, is_flaky};
use crate::judge::expectation::Expectation;
use crate::judge::{Mismatch, Verdict};

/// How wide sentences run after their labels.
pub const COLUMNS: usize = 68;

/// How many lines of a trace are shown before and after a wrong one.
pub const CONTEXT: usize = 12;

/// What a reader needs to understand that an outcome is not a pass, from the id down to
/// the command that runs it again. Ends without a line break.
///
/// `draw` shows the trace, whose lines at the given indices are wrong: [`trace`], or better.
pub fn explain(
    selected: &Selected,
    kernel: &Kernel,
    outcome: &Outcome,
    capture: Result<&Path, &str>,
    draw: impl FnOnce(&[Line], &[usize]) -> String,
) -> String {
    explain_in(COLUMNS, selected, kernel, outcome, capture, draw)
}

/// A wait that was in vain, and shorter than usual.
fn shorter_wait(wait: &RanOut) -> String {
    format!(
        "{} ms for {}, shorter than usual: other cases that fail had waited for that in vain \
         before. Run alone, this case waits as long as usual.",
        wait.waited.as_millis(),
        wait.awaited.words()
    )
}

/// As [`explain`], with sentences that take so many columns after their labels.
pub fn explain_in(
    columns: usize,
    selected: &Selected,
    kernel: &Kernel,
    outcome: &Outcome,
    capture: Result<&Path, &str>,
    draw: impl FnOnce(&[Line], &[usize]) -> String,
) -> String {
    let mut block = format!("{} on {kernel}\n", outcome.id);
    let mut say = |label: &str, text: &str| {
        let text = text.replace('\n', "\n            ");
        let _ = writeln!(block, "{}", format!("  {label:<9} {text}").trim_end());
    };
    let wrapped = |text: &str| wrap(text, columns).join("\n");
    say("does", &wrapped(selected.case.does));
    say("must", &wrapped(selected.case.must));
    say("source", &wrapped(&selected.case.sources()));
    let mismatches: &[Mismatch] = match &outcome.verdict {
        Verdict::Fail { mismatches } => mismatches,
        Verdict::KnownBug { mismatches, bug, version } => {
            say("known", &wrapped(&bug.reason));
            if let Some(doubt) = bug.doubt(*version) {
                say("", &wrapped(doubt));
            }
            say("fix", bug.fix.as_deref().unwrap_or("no fix known"));
            let cve = bug.cve.as_deref().into_iter().map(|cve| ("see", cve));
            let listed = bug.listed_in.as_deref().into_iter().map(|file| ("listed in", file));
            cve.chain(listed).for_each(|(label, text)| say(label, text));
            mismatches
        }
        Verdict::Error { reason } => {
            say("error", reason);
            say("", &wrapped("The laboratory broke; nothing was learned about the kernel."));
            &[]
        }
        Verdict::Skip { reason } => {
            say("skipped", &wrapped(&reason.to_string()));
            &[]
        }
        Verdict::Pass { .. } => &[],
    };
    for mismatch in mismatches {
        say("in", &mismatch.what);
        say("expected", &mismatch.expected.join("\nor "));
        say("actual", &mismatch.actual);
    }
    for wait in outcome.seen.vain_waits.iter().filter(|wait| wait.shortened) {
        say("waited", &wrapped(&shorter_wait(wait)));
    }
    if let Some(retried) = Retried::of(&outcome.verdict, &outcome.discarded) {
        say(retried.word(), &format!("{}\n{}", retried.often(), retried.tries().join("\n")));
    }
    if !outcome.seen.observation.facts.is_empty() {
        say("witness", &witnesses(&selected.expectation(), outcome, mismatches).join("\n"));
    }
    if !outcome.seen.trace.events.is_empty() {
        say("trace", "");
        block.push_str(&draw(&outcome.seen.trace.lines(), &wrong_lines(mismatches)));
    }
    let mut say = |label: &str, text: &str| {
        let _ = writeln!(block, "  {label:<9} {text}");
    };
    match capture {
        Ok(path) => say("capture", &path.display().to_string()),
        Err(why) if !outcome.pcapng.is_empty() => say("capture", why),
        Err(_) => {}
    }
    say("again", &format!("sockmig run {} --trace --out DIR", outcome.id));
    block.trim_end().to_owned()
}

/// What is to be said of a case that was tried more than once: how often, and what the
/// discarded tries saw. As text it has a line for each.
#[derive(Debug, Clone, Copy)]
pub struct Retried<'d> {
    discarded: &'d [DiscardedTry],
    flaky: bool,
}

impl<'d> Retried<'d> {
    /// What is to be said of a case with these discarded tries; nothing if there are none.
    pub fn of(verdict: &Verdict, discarded: &'d [DiscardedTry]) -> Option<Self> {
        let flaky = is_flaky(verdict, discarded);
        (!discarded.is_empty()).then_some(Self { discarded, flaky })
    }

    /// Whether it failed in a discarded try, and not in the last one.
    pub fn is_flaky(&self) -> bool {
        self.flaky
    }

    /// `flaky`, or `retried` for a case that is not.
    pub fn word(&self) -> &'static str {
        if self.flaky { "flaky" } else { "retried" }
    }

    /// `failed in 1 of 3 tries`; `2 tries, the first in a slow lab` where the case is not
    /// flaky.
    pub fn often(&self) -> String {
        let tries = self.discarded.len() + 1;
        let failed = self.discarded.iter().filter(|discarded| discarded.failed()).count();
        match (self.flaky, self.discarded.len()) {
            (true, _) => format!("failed in {failed} of {tries} tries, in a slow lab"),
            (false, 1) => "2 tries, the first in a slow lab".into(),
            (false, before) => format!("{tries} tries, the first {before} in slow labs"),
        }
    }

    /// What each discarded try saw, a line for each deviation.
    pub fn tries(&self) -> Vec<String> {
        let sentences = self.discarded.iter().enumerate().flat_map(|(at, discarded)| {
            let seen = match discarded {
                DiscardedTry::TooSlow { what } => vec![format!("was too slow: {what}")],
                DiscardedTry::Failed { mismatches } => {
                    mismatches.iter().map(|mismatch| format!("failed: {mismatch}")).collect()
                }
                DiscardedTry::Later(fields) => {
                    vec![format!("was discarded: {}", shown_fields(fields))]
                }
            };
            seen.into_iter().map(move |seen| format!("try {} {seen}", at + 1))
        });
        sentences.collect()
    }

    /// In what each discarded try failed that did.
    pub fn failed(&self) -> impl Iterator<Item = &'d [Mismatch]> {
        self.discarded.iter().filter_map(|discarded| match discarded {
            DiscardedTry::Failed { mismatches } => Some(mismatches.as_slice()),
            DiscardedTry::TooSlow { .. } | DiscardedTry::Later(_) => None,
        })
    }
}

impl fmt::Display for Retried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.word(), self.often())?;
        self.tries().iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// In what a case failed, in a few words: the names of what is wrong.
pub fn wrong_names(mismatches: &[Mismatch]) -> String {
    let names: Vec<&str> = mismatches.iter().map(|mismatch| mismatch.what.as_str()).collect();
    names.join(", ")
}

/// Every fact that was observed but for [idle counters](Expectation::is_idle), which are counted
/// in the last line; the wrong ones are marked.
pub fn witnesses(must: &Expectation, outcome: &Outcome, mismatches: &[Mismatch]) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    let mut idle = 0;
    for fact in &outcome.seen.observation.facts {
        let wrong = mismatches.iter().any(|mismatch| mismatch.what == fact.name);
        if !wrong && must.is_idle(&fact.name, &fact.value) {
            idle += 1;
            continue;
        }
        let mark = if wrong { "  <- wrong" } else { "" };
        shown.push(format!("{}: {}{mark}", fact.name, fact.value));
    }
    shown.extend(not_moved(idle));
    shown
}

/// How many idle counters there are, in words; nothing if there is none.
pub fn not_moved(idle: usize) -> Option<String> {
    match idle {
        0 => None,
        1 => Some("1 counter that did not move".into()),
        many => Some(format!("{many} counters that did not move")),
    }
}

/// Where in the trace the mismatches are.
pub fn wrong_lines(mismatches: &[Mismatch]) -> Vec<usize> {
    mismatches.iter().filter_map(|mismatch| mismatch.trace_line).collect()
}

/// The lines of a trace around the first wrong one, the wrong ones marked. A trace without
/// a wrong line is shown from its start.
pub fn trace(lines: &[Line], wrong: &[usize]) -> String {
    let first = wrong.first().map_or(0, |at| at.saturating_sub(CONTEXT));
    let mut shown = String::new();
    if first > 0 {
        let _ = writeln!(shown, "      ... {first} lines before");
    }
    for (at, line) in lines.iter().enumerate().skip(first).take(2 * CONTEXT) {
        let mark = if wrong.contains(&at) { '>' } else { ' ' };
        let _ = writeln!(shown, "    {mark} {line}");
    }
    if wrong.contains(&lines.len()) {
        let _ = writeln!(shown, "    > (the trace ends here)");
    }
    let left = lines.len().saturating_sub(first + 2 * CONTEXT);
    if left > 0 {
        let _ = writeln!(shown, "      ... {left} lines more");
    }
    shown
}

/// `1 reload`, `2 reloads`: a number of things with a regular plural.
pub fn counted(count: impl Into<u64>, thing: &str) -> String {
    match count.into() {
        1 => format!("1 {thing}"),
        many => format!("{many} {thing}s"),
    }
}

/// Breaks a text into lines of at most `columns` characters, between words.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
