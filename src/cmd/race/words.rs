//! What was raced, for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use explore::drive::orders::{Neither, Order, Possibility};
use explore::model::{Between, Difference};
use explore::race::job::PairReport;
use explore::race::pair::Pair;
use explore::race::run::{PairResult, RacePlan};
use harness::kernel::Kernel;

use crate::cmd::explore::words::known;
use crate::cmd::race::document::RaceDocument;
use crate::exit::Exit;

/// The longest name of a pair.
const NAME: usize = 26;

pub(super) fn list(pairs: &[Pair]) -> String {
    let mut text = String::new();
    for Pair { name, about, .. } in pairs {
        let _ = writeln!(text, "{name:NAME$} {about}");
    }
    text
}

pub(super) fn heading(kernel: &Kernel, plan: &RacePlan) -> String {
    let bugs: Vec<&str> = plan.bugs.iter().map(|bug| bug.id()).collect();
    format!(
        "{kernel}\n{}\n\n\
         {:NAME$} {:<3} {:>3} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>9}\n",
        known(&bugs),
        "pair",
        "of",
        "on",
        "rounds",
        "first",
        "second",
        "either",
        "between",
        "neither",
        "window"
    )
}

/// A window, or a gap, between the orders.
fn window(report: &PairReport) -> String {
    match report.window {
        None => "-".to_owned(),
        Some(window) if window.wide() >= 0 => format!("{} ns", window.wide()),
        Some(_) => "sharp".to_owned(),
    }
}

pub(super) fn row(result: &PairResult) -> String {
    let PairResult { pair, family, report, .. } = result;
    let on = on(result);
    let neither: u64 = report.neither.values().map(|one| one.times).sum();
    let between: u64 = report.between.values().sum();
    let PairReport { rounds, first, second, either, .. } = report;
    format!(
        "{:NAME$} {family:<3} {on:>3} {rounds:>7} {first:>7} {second:>7} {either:>7} {between:>7} {neither:>7} \
         {:>9}\n",
        pair.name,
        window(report)
    )
}

pub(super) fn result(document: &RaceDocument, results: &[PairResult]) -> String {
    let mut text = String::new();
    text.push_str(&between(results));
    for result in results {
        told(&mut text, result);
    }
    let never_both: Vec<String> = results.iter().filter_map(never_both).collect();
    if !never_both.is_empty() {
        let _ = writeln!(
            text,
            "\nnot seen in both orders, so that they prove nothing: {}",
            never_both.join(", ")
        );
    }
    text.push_str(match document.exit() {
        Exit::Expected => "\nevery round is one that a healthy kernel has\n",
        Exit::Interrupted => "\ninterrupted\n",
        _ => "",
    });
    text
}

/// The pair, if nothing was learned of it.
fn never_both(result: &PairResult) -> Option<String> {
    let PairReport { rounds, first, second, either, .. } = result.report;
    let one_alone = (first == 0) != (second == 0) && either == 0;
    (rounds == 0 || one_alone).then(|| named(result))
}

fn on(result: &PairResult) -> &'static str {
    if result.migrates { "on" } else { "off" }
}

/// A pair with its family and its setting: `close/ack v6 on`.
fn named(result: &PairResult) -> String {
    format!("{} {} {}", result.pair.name, result.family, on(result))
}

/// What happened between the acts of pairs, and how often.
fn between(results: &[PairResult]) -> String {
    let mut rounds: BTreeMap<Between, Vec<String>> = BTreeMap::new();
    for result in results {
        let report = &result.report;
        for (between, times) in &report.between {
            let is_lost = between.loses() && result.migrates;
            let lost = if is_lost { "; each time a client was lost" } else { "" };
            let line = format!("{}: {times} of {} rounds{lost}", named(result), report.rounds);
            rounds.entry(*between).or_default().push(line);
        }
    }
    let mut text = String::new();
    for (between, lines) in rounds {
        let _ = writeln!(text, "\nbetween the acts: {}", between.about());
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

/// What is wrong.
fn told(text: &mut String, result: &PairResult) {
    let PairResult { pair, report, .. } = result;
    let name = named(result);
    let [first, second] = pair.acts();
    if let Some((step, differences)) = &report.before {
        let _ = writeln!(
            text,
            "\n{name}: no race, since the kernel disagrees with the model before, at `{step}`"
        );
        differing(text, "  ", differences);
    }
    for (like, one) in &report.neither {
        let (least, most) = one.apart;
        let _ = writeln!(
            text,
            "\n{name}: {} of {} rounds are explained by neither order ({like})\n  `{second}` began \
             {least} to {most} ns after `{first}`",
            one.times, report.rounds
        );
        if let Some((apart, neither)) = one.kept.first() {
            example(text, *apart, neither, [first, second]);
        }
    }
    if report.left > 0 {
        let _ = writeln!(text, "\n{name}: {} sockets or requests were left", report.left);
    }
}

fn differing(text: &mut String, indent: &str, differences: &[Difference]) {
    for Difference { of, model, kernel } in differences {
        let _ = writeln!(text, "{indent}{of}: {kernel}, and the model says {model}");
    }
}

fn example(text: &mut String, apart: i64, neither: &Neither, [first, second]: [&str; 2]) {
    let at = neither.at.map(|step| format!(", seen at `{step}` afterwards")).unwrap_or_default();
    let _ = writeln!(text, "  one of them, {apart} ns apart{at}:");
    for (what, differences) in &neither.possible {
        let what = match what {
            Possibility::Order(Order::FirstBeforeSecond) => {
                format!("`{first}` and then `{second}`")
            }
            Possibility::Order(Order::SecondBeforeFirst) => {
                format!("`{second}` and then `{first}`")
            }
            Possibility::Between(between) => between.about().to_owned(),
        };
        let _ = writeln!(text, "    not this: {what}");
        differing(text, "      ", differences);
    }
}
