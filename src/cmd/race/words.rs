//! What was raced, for people.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;

use explore::drive::orders::{Order, Possibility};
use explore::model::{Between, Difference};
use explore::race::job::{KeptRound, PairReport};
use explore::race::pair::Pair;
use explore::race::run::{PairResult, RacePlan};
use harness::kernel::Kernel;

use crate::cmd::explore::words::known;
use crate::cmd::machine_log;
use crate::cmd::race::document::{NeitherDocument, PairDocument, RaceDocument, RoundDocument};
use crate::exit::Exit;
use crate::ladder::rung::Ladder;
use crate::ladder::text::drawn;
use crate::output::{fold, stdout};
use crate::style::Style;

/// What stands before the lines of a ladder.
const INDENT: &str = "    ";

/// The longest name of a pair.
const NAME: usize = 26;

pub(super) fn list(pairs: &[Pair]) -> String {
    let mut text = String::new();
    for Pair { name, about, .. } in pairs {
        let _ = writeln!(text, "{name:NAME$} {about}");
    }
    text
}

/// The columns of numbers.
const HEADINGS: [&str; 8] =
    ["rounds", "first", "second", "either", "between", "known", "neither", "window"];

/// How wide a line of the table is.
const TABLE: usize = 100;

pub(super) fn heading(kernel: &Kernel, plan: &RacePlan, width: Option<usize>) -> String {
    let bugs: Vec<&str> = plan.bugs.iter().map(|bug| bug.id()).collect();
    let known = known(&bugs);
    let headings = match width {
        Some(width) if width < TABLE => String::new(),
        _ => line("pair", "of", "on", &HEADINGS.map(str::to_owned)),
    };
    format!("{kernel}\n{known}\n\n{headings}")
}

fn line(name: &str, family: &str, on: &str, numbers: &[String; 8]) -> String {
    let [others @ .., window] = numbers;
    let others: String = others.iter().map(|number| format!(" {number:>7}")).collect();
    format!("{name:NAME$} {family:<3} {on:>3}{others} {window:>9}\n")
}

/// A window, or a gap, between the orders.
fn window(report: &PairReport) -> String {
    match report.window {
        None => "-".to_owned(),
        Some(window) if window.wide() >= 0 => format!("{} ns", window.wide()),
        Some(_) => "sharp".to_owned(),
    }
}

pub(super) fn row(result: &PairResult, width: Option<usize>) -> String {
    let PairResult { pair, family, report, .. } = result;
    let on = on(result);
    let neither: u64 = report.neither.values().map(|one| one.times).sum();
    let rounds_between = |is_bug: bool| -> u64 {
        let rounds = report.between.iter();
        let its = rounds.filter(|(between, _)| between.bug().is_some() == is_bug);
        its.map(|(_, times)| times).sum()
    };
    let (between, known) = (rounds_between(false), rounds_between(true));
    let PairReport { rounds, first, second, either, .. } = report;
    let counts = [*rounds, *first, *second, *either, between, known, neither];
    let [rounds, first, second, either, between, known, neither] =
        counts.map(|count| count.to_string());
    let numbers = [rounds, first, second, either, between, known, neither, window(report)];
    match width {
        Some(width) if width < TABLE => fold::cells(&named(result), &HEADINGS, &numbers, width),
        _ => line(pair.name, &family.to_string(), on, &numbers),
    }
}

pub(super) fn result(document: &RaceDocument, results: &[PairResult]) -> String {
    let mut text = String::new();
    text.push_str(&between(document, results));
    for (result, document) in results.iter().zip(&document.pairs) {
        told(&mut text, result, document);
    }
    text.push_str(&machine_log::words(&document.complaints));
    let never_both: Vec<String> = results.iter().filter_map(never_both).collect();
    if !never_both.is_empty() {
        let _ = writeln!(
            text,
            "\nnot seen in both orders, so that they prove nothing: {}",
            never_both.join(", ")
        );
    }
    let not_reached = document.not_reached();
    if !not_reached.is_empty() {
        let names = not_reached.join(", ");
        let _ = writeln!(text, "\nnot raced, since the time was over (--time): {names}");
    }
    text.push_str(match document.exit() {
        Exit::Expected if document.meets_known_bugs() => {
            "\nevery round is one that a healthy kernel has, or a known bug\n"
        }
        Exit::Expected => "\nevery round is one that a healthy kernel has\n",
        Exit::Interrupted => "\ninterrupted\n",
        _ => "",
    });
    text
}

/// The pair, if nothing was learned of it.
fn never_both(result: &PairResult) -> Option<String> {
    let PairReport { rounds, first, second, either, .. } = result.report;
    // Each of these rounds has shown both.
    let some_timers = result.report.between.contains_key(&Between::SomeTimers);
    let one_alone = (first == 0) != (second == 0) && either == 0 && !some_timers;
    (rounds == 0 || one_alone).then(|| named(result))
}

fn on(result: &PairResult) -> &'static str {
    if result.migrates { "on" } else { "off" }
}

/// A pair with its family and its setting: `close/ack v6 on`.
pub(super) fn named(result: &PairResult) -> String {
    format!("{} {} {}", result.pair.name, result.family, on(result))
}

/// What happened between the acts of pairs, and how often; of a known bug, a round.
fn between(document: &RaceDocument, results: &[PairResult]) -> String {
    let mut rounds: BTreeMap<Between, Vec<String>> = BTreeMap::new();
    let mut shown: BTreeMap<Between, &RoundDocument> = BTreeMap::new();
    for (result, document) in results.iter().zip(&document.pairs) {
        let report = &result.report;
        for (between, times) in &report.between {
            let is_lost = between.loses() && result.migrates;
            let lost = if is_lost { "; each time a client was lost" } else { "" };
            let line = format!("{}: {times} of {} rounds{lost}", named(result), report.rounds);
            rounds.entry(*between).or_default().push(line);
            if let Some(round) = document.examples.get(between.name()) {
                shown.entry(*between).or_insert(round);
            }
        }
    }
    let mut text = String::new();
    for (between, lines) in rounds {
        let _ = match between.bug() {
            Some(bug) => writeln!(text, "\nknown bug {bug}: {}", between.about()),
            None => writeln!(text, "\nbetween the acts: {}", between.about()),
        };
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
        if let Some(round) = shown.get(&between).filter(|_| between.bug().is_some()) {
            let _ = writeln!(text, "  one of them:");
            ladder(&mut text, round);
        }
    }
    text
}

/// What was done and sent in a round, and where it is kept.
fn ladder(text: &mut String, round: &RoundDocument) {
    let ladder = Ladder::new(&round.trace, &round.seen_at);
    let width = stdout::text_width().saturating_sub(INDENT.len());
    for line in drawn(&ladder, width, Style::of(&io::stdout())).lines() {
        let _ = writeln!(text, "{INDENT}{line}");
    }
    if let Some(capture) = &round.capture {
        let _ = writeln!(text, "{INDENT}capture: {}", capture.display());
    }
}

/// What is wrong.
fn told(text: &mut String, result: &PairResult, document: &PairDocument) {
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
    for ((like, one), shown) in report.neither.iter().zip(&document.neither) {
        let (least, most) = one.apart;
        let _ = writeln!(
            text,
            "\n{name}: {} of {} rounds are explained by neither order ({like})\n  `{second}` began \
             {least} to {most} ns after `{first}`",
            one.times, report.rounds
        );
        if let Some(kept) = one.kept.first() {
            example(text, kept, shown, [first, second]);
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

fn example(
    text: &mut String,
    kept: &KeptRound,
    shown: &NeitherDocument,
    [first, second]: [&str; 2],
) {
    let KeptRound { apart, neither, .. } = kept;
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
    if let Some(example) = shown.examples.first() {
        ladder(text, &example.round);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use explore::drive::record::Recorded;
    use explore::model::{Aspect, ModelBug};
    use explore::race::job::NeitherReport;
    use explore::race::pair::chosen;
    use harness::Family;
    use harness::trace::{Act, Actor, CloseCall, Event, Trace};
    use std::path::PathBuf;
    use std::time::Duration;

    fn recorded() -> Recorded {
        let close = Act::Close {
            socket: Actor::Listener("A".into()),
            by: CloseCall::Close,
            last: true,
            at_scope_end: false,
        };
        let listen = Act::Listen { listener: "A".into(), backlog: 8 };
        let events =
            [listen, close].map(|act| Event::Act { at: Duration::ZERO, act, refused: None });
        let trace = Trace { events: events.into(), names: vec![] };
        Recorded { trace, pcapng: vec![1], seen_at: vec![1] }
    }

    fn result(report: PairReport) -> PairResult {
        let pair = chosen(&["close/ack".to_owned()])[0];
        PairResult { pair, family: Family::V6, migrates: true, report }
    }

    fn shown(result: PairResult, bugs: &[ModelBug]) -> String {
        let mut keep = |title: &str, _, _: &Recorded| Some(PathBuf::from(format!("out/{title}")));
        let pair = PairDocument::of(&result, &named(&result), &mut keep);
        let plan = RacePlan {
            pairs: vec![result.pair],
            families: vec![Family::V6],
            time: Duration::ZERO,
            until: None,
            waiting_time: Duration::ZERO,
            seed: 1,
            bugs: bugs.iter().copied().collect(),
        };
        let kernel = Kernel::with_everything(harness::kernel::Version::new(6, 18, 44));
        let document = RaceDocument::of(&kernel, &plan, vec![pair], &[], vec![], false);
        row(&result, None) + &super::result(&document, &[result])
    }

    /// The facts that neither order allows, how far apart the acts began, and a ladder.
    #[test]
    fn a_round_that_neither_order_explains_is_drawn() {
        let differences = vec![Difference {
            of: Aspect::Answers,
            model: "nothing".to_owned(),
            kernel: "C1: R. 1:1(0) ack 1".to_owned(),
        }];
        let order = Possibility::Order(Order::FirstBeforeSecond);
        let neither =
            explore::drive::orders::Neither { at: None, possible: vec![(order, differences)] };
        let kept = vec![KeptRound { apart: -120, neither, recorded: Some(recorded()) }];
        let like = NeitherReport { times: 3, apart: (-200, 40), kept };
        let neither = BTreeMap::from([("the two: the server sends".to_owned(), like)]);
        let text = shown(result(PairReport { rounds: 9, neither, ..PairReport::default() }), &[]);
        for line in [
            "close/ack v6 on: 3 of 9 rounds are explained by neither order (the two: the server sends)",
            "  `ack C1` began -200 to 40 ns after `close A`",
            "  one of them, -120 ns apart:",
            "    not this: `close A` and then `ack C1`",
            "      the server sends: C1: R. 1:1(0) ack 1, and the model says nothing",
            "    capture: out/close/ack v6 on 1",
        ] {
            assert!(text.lines().any(|other| other == line), "`{line}` is not in\n{text}");
        }
        let drawn: Vec<&str> = text.lines().filter(|line| line.ends_with('x')).collect();
        assert_eq!(drawn.len(), 1, "{text}");
        assert!(drawn[0].starts_with("    >") && drawn[0].contains("close(A)"), "{text}");
    }

    #[test]
    fn a_known_bug_has_its_name_and_is_no_finding() {
        let between = BTreeMap::from([(Between::ChildShutDown, 2)]);
        let examples = BTreeMap::from([(Between::ChildShutDown, (70, recorded()))]);
        let report = PairReport { rounds: 9, first: 7, between, examples, ..PairReport::default() };
        let text = shown(result(report), &[ModelBug::ChildShutDown]);
        assert!(text.contains("\nknown bug child-shut-down: `__tcp_close()` had set"), "{text}");
        assert!(text.contains("  close/ack v6 on: 2 of 9 rounds; each time a client was lost\n"));
        assert!(text.contains("    capture: out/close/ack v6 on child-shut-down\n"), "{text}");
        assert!(text.ends_with("every round is one that a healthy kernel has, or a known bug\n"));
    }

    /// The list of known bugs says by which pairs each is shown: they are there.
    #[test]
    fn pairs_of_known_bugs_exist() {
        let named = scenarios::judge::builtin::builtin().bugs.iter().flat_map(|bug| &bug.pairs);
        let missing: Vec<&String> =
            named.filter(|name| chosen(std::slice::from_ref(name)).is_empty()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
