//! A verdict in words: the block that explains a failure, and the trace that shows it.

use std::fmt::Write;
use std::path::Path;

use harness::kernel::Kernel;
use harness::lab::{MULTIPATH_WATCHED, WATCHED};
use harness::process::Broken;
use harness::trace::Line;
use harness::trace::observation::Value;

use crate::case::Selected;
use crate::engine::Outcome;
use crate::judge::{Mismatch, Verdict};

/// How wide sentences run after their labels.
const COLUMNS: usize = 68;

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
    let mut block = format!("{} on {kernel}\n", outcome.id);
    let mut say = |label: &str, text: &str| {
        let text = text.replace('\n', "\n            ");
        let _ = writeln!(block, "{}", format!("  {label:<9} {text}").trim_end());
    };
    let wrapped = |text: &str| wrap(text, COLUMNS).join("\n");
    say("does", &wrapped(selected.case.does));
    say("must", &wrapped(selected.case.must));
    say("source", &wrapped(&selected.case.sources()));
    let mismatches: &[Mismatch] = match &outcome.verdict {
        Verdict::Fail { mismatches } => mismatches,
        Verdict::KnownBug { mismatches, reason, fix } => {
            say("known", &wrapped(reason));
            say("fix", fix.as_deref().unwrap_or("none is known"));
            mismatches
        }
        Verdict::Error { reason } => {
            say("error", reason);
            say("", "The laboratory broke; nothing was learned about the kernel.");
            &[]
        }
        Verdict::Skip { reason } => {
            say("skipped", &reason.to_string());
            &[]
        }
        Verdict::Pass { .. } => &[],
    };
    for mismatch in mismatches {
        say("in", &mismatch.what);
        say("expected", &mismatch.expected.join("\nor "));
        say("actual", &mismatch.actual);
    }
    if !outcome.seen.observation.facts.is_empty() {
        say("witness", &witnesses(outcome, mismatches).join("\n"));
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

/// Whether a fact is one of the kernel's counters, which a lab reads all of.
pub fn is_counter(name: &str) -> bool {
    WATCHED.contains(&name) || MULTIPATH_WATCHED.contains(&name)
}

/// Whether a fact is a counter that has not moved, or does not exist: those are many and say
/// little. Any other fact is worth a line, also if it is 0.
pub fn is_idle_counter(name: &str, value: &Value) -> bool {
    is_counter(name) && matches!(value, Value::Number(0) | Value::Text(_))
}

/// Every fact that was observed but for [idle counters](is_idle_counter), the wrong ones
/// marked.
pub fn witnesses(outcome: &Outcome, mismatches: &[Mismatch]) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    for fact in &outcome.seen.observation.facts {
        let wrong = mismatches.iter().any(|mismatch| mismatch.what == fact.name);
        if wrong || !is_idle_counter(&fact.name, &fact.value) {
            let mark = if wrong { "  <- wrong" } else { "" };
            shown.push(format!("{}: {}{mark}", fact.name, fact.value));
        }
    }
    shown
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

/// Why there can be no lab on this machine, and what to do about it.
pub fn no_lab(broken: &Broken) -> String {
    let advice = match broken {
        Broken::Namespaces(_) => {
            "\nsockmig needs namespaces of its own. Run it as root, or allow unprivileged user \
             namespaces:\nsysctl user.max_user_namespaces must not be 0, and where they exist \
             kernel.unprivileged_userns_clone\nmust be 1 and \
             kernel.apparmor_restrict_unprivileged_userns 0. A container may forbid them too."
        }
        Broken::Start(_) if !Path::new("/proc/self/exe").exists() => {
            "\n/proc is not mounted, and sockmig reads the kernel's counters there: mount -t proc \
             proc /proc"
        }
        _ => "",
    };
    format!("{broken}{advice}")
}
