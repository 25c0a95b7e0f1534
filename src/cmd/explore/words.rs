//! What was explored, for people.

use std::fmt::Write;
use std::time::Duration;

use explore::drive::{Played, Taken};
use explore::model::{CallResult, Seen};
use explore::run::{Plan, Total};
use harness::kernel::Kernel;

use scenarios::report::counted;

use crate::cmd::explore::document::{
    CoverageDocument, DifferenceDocument, ExploreDocument, FindingDocument, ReplayDocument,
    differences,
};
use crate::cmd::machine_log;

/// More situations that nobody met than this are only counted.
const NOT_MET_SHOWN: usize = 12;

pub(in crate::cmd) fn known(bugs: &[&str]) -> String {
    match bugs {
        [] => "known bugs that the model has, too: none".to_owned(),
        bugs => format!("known bugs that the model has, too: {}", bugs.join(", ")),
    }
}

pub(super) fn heading(kernel: &Kernel, plan: &Plan) -> String {
    let bugs: Vec<&str> = plan.recipe.bugs.iter().map(|bug| bug.id()).collect();
    let (seed, bugs) = (plan.seed, known(&bugs));
    let coverage = if plan.is_guided { "; coverage: KCOV" } else { "" };
    format!("{kernel}\nhistories from number {seed} on; {bugs}{coverage}\n\n")
}

fn rate(histories: u64, seconds: f64) -> f64 {
    histories as f64 / seconds.max(0.001)
}

fn counted_histories(count: u64) -> String {
    let plural = if count == 1 { "history" } else { "histories" };
    format!("{count} {plural}")
}

pub(super) fn progress(total: &Total, took: Duration) -> String {
    let rate = rate(total.histories, took.as_secs_f64());
    let (histories, findings) = (total.histories, total.findings.len());
    format!("{histories} histories, {rate:.0} a second; disagreements: {findings}")
}

pub(super) fn result(document: &ExploreDocument) -> String {
    let mut text = String::new();
    for left in &document.left {
        let (first, last, sockets) = (left.first, left.last, left.sockets);
        let _ = writeln!(
            text,
            "LEFT  {sockets} sockets or requests after histories {first} to {last}\n"
        );
    }
    let ExploreDocument { histories, steps, seconds, too_slow, .. } = document;
    let rate = rate(*histories, *seconds);
    let played = counted_histories(*histories);
    let acts = counted(*steps, "act");
    let _ = writeln!(text, "{played} with {acts} in {seconds:.1} s: {rate:.0} a second");
    if *too_slow > 0 {
        let _ = writeln!(
            text,
            "{too_slow} more were too slow for the kernel's timers, and say nothing"
        );
    }
    let (met, not_met) = (document.met.len(), document.not_met.len());
    let _ = writeln!(text, "situations of the model that were met: {met}; not met: {not_met}");
    if (1..=NOT_MET_SHOWN).contains(&not_met) {
        for situation in &document.not_met {
            let _ = writeln!(text, "  {situation}");
        }
    }
    if let Some(CoverageDocument { places, histories }) = &document.coverage {
        let kept = counted_histories(*histories);
        let places = counted(*places, "place");
        let _ = writeln!(text, "reached in the kernel: {places}; something new: by {kept}");
    }
    let _ = match document.disagreements.len() {
        0 if *histories == 0 => writeln!(text, "nothing was played"),
        0 => writeln!(text, "the kernel did what the model says"),
        1 => writeln!(text, "1 disagreement:"),
        count => writeln!(text, "{count} disagreements:"),
    };
    for FindingDocument { signature, times, .. } in &document.disagreements {
        let _ = writeln!(text, "  {signature} (met {})", counted(*times, "time"));
    }
    text.push_str(&machine_log::words(&document.complaints));
    if document.interrupted {
        text.push_str("interrupted\n");
    }
    text
}

/// A disagreement, when it was found.
pub(super) fn disagreement(finding: &FindingDocument) -> String {
    let FindingDocument { signature, number, verified, step, is_changed, .. } = finding;
    let mut text = format!("DISAGREES  {signature}\n");
    indented(&mut text, finding.history.lines());
    let _ = writeln!(text, "  at `{step}`");
    differing(&mut text, &finding.differences);
    // Its number does not make it again.
    let changed = if *is_changed { ", a changed one" } else { "" };
    let _ = writeln!(
        text,
        "  first met in history {number}{changed}; reduced, it disagrees {verified} of 3 times"
    );
    if let Some(file) = &finding.file {
        let _ = writeln!(text, "  sockmig replay {file}");
    }
    text.push('\n');
    text
}

fn indented<'a>(text: &mut String, lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        let _ = writeln!(text, "    {line}");
    }
}

/// What is known of a kernel that panicked.
pub(super) fn panicked(document: &ExploreDocument) -> String {
    let Some(panic) = &document.panic else { return String::new() };
    let mut text = format!("PANICS  {}: {}\n", document.kernel, panic.line);
    match &panic.history {
        Some(history) => indented(&mut text, history.lines()),
        None => text.push_str("  it panics again at none of the histories that were begun last\n"),
    }
    text.push_str("  the console's last lines:\n");
    indented(&mut text, panic.console.iter().map(String::as_str));
    for file in &panic.files {
        let _ = writeln!(text, "  sockmig replay {file} --kernel …");
    }
    let _ = writeln!(text, "  begun before: {} histories", document.histories);
    text
}

fn differing(text: &mut String, differences: &[DifferenceDocument]) {
    for DifferenceDocument { of, model, kernel } in differences {
        let _ = writeln!(text, "    {of}: model {model}; kernel {kernel}");
    }
}

/// Each act, and what was seen of it.
pub(super) fn replay(document: &ReplayDocument) -> String {
    let mut text = format!("{}\n{}\n\n", document.kernel, known(&document.known_bugs));
    for Taken { step, kernel, .. } in &document.taken {
        let _ = writeln!(text, "{:<43} {}", step.to_string(), seen(kernel));
    }
    text.push('\n');
    match &document.played {
        Played::Agrees => text.push_str("the kernel did what the model says\n"),
        Played::TooSlow => text.push_str("too slow\n"),
        Played::Disagrees(met) => {
            for disagreement in met {
                let step = document.history.steps.get(disagreement.at);
                let step = step.map(ToString::to_string).unwrap_or_default();
                let like = disagreement.like.map(|bug| format!(", as with the known bug {bug}"));
                let _ = writeln!(text, "DISAGREES at `{step}`{}", like.unwrap_or_default());
                differing(&mut text, &differences(&disagreement.differences));
            }
        }
    }
    text
}

fn seen(seen: &Seen) -> String {
    let mut parts = Vec::new();
    if seen.result != CallResult::Done {
        parts.push(seen.result.to_string());
    }
    parts.extend(seen.answers.iter().map(|(client, answer)| format!("to {client}: {answer}")));
    parts.extend(seen.woken.iter().map(|listener| format!("epoll({listener})")));
    parts.extend(seen.counters.iter().map(|(counter, grown)| format!("{counter} +{grown}")));
    parts.join("; ")
}
