//! Every consumer, fed with one of every verdict, against its snapshot.

mod bisect;
mod diff;
pub mod fixture;
mod ktap_rules;
mod ladder;
mod matrix;
mod matrix_fixture;
mod merge;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use harness::taint::Taint;
use rstest::rstest;
use scenarios::engine::Ending;

use crate::answer::Answer;
use crate::cli::TraceStyle;
use crate::consumer::{Consumer, End, Finished, Run};
use crate::json::Json;
use crate::junit::Junit;
use crate::ktap::{Dialect, Ktap};
use crate::markdown::Markdown;
use crate::progress::Progress;
use crate::run::Shared;
use crate::style::Style;
use crate::terminal::Terminal;
use crate::totals::Totals;

/// What a consumer writes about a run of the fixture.
fn written<C: Consumer>(run: &Run, ending: &Ending, make: impl FnOnce(Shared) -> C) -> String {
    let bytes = Shared::default();
    let mut consumer = make(bytes.clone());
    let mut totals = Totals::default();
    consumer.begin(run).expect("begin");
    for outcome in fixture::outcomes() {
        totals.count(&outcome.verdict);
        let capture = match outcome.pcapng.is_empty() {
            true => Err("not kept"),
            false => Ok(PathBuf::from("out/quiz1-v4-off.pcapng")),
        };
        consumer.started(&outcome.id);
        consumer.finished(run, &Finished { outcome: &outcome, capture }).expect("finished");
    }
    totals.end(ending);
    let took = Duration::from_millis(1234);
    // Whoever is interrupted has a kernel that has warned.
    let tainted = if *ending == Ending::Complete { "0" } else { "512" };
    let tainted = serde_json::from_str(tainted).expect("flags");
    let end = End { ending, totals: &totals, took, tainted };
    consumer.end(run, &end).expect("end");
    bytes.text()
}

fn all(make: impl FnOnce(Shared) -> Box<dyn Consumer>) -> String {
    written(&fixture::run(), &Ending::Complete, |to| Boxed(make(to)))
}

struct Boxed(Box<dyn Consumer>);

impl Consumer for Boxed {
    fn begin(&mut self, run: &Run) -> std::io::Result<()> {
        self.0.begin(run)
    }
    fn started(&mut self, id: &str) {
        self.0.started(id);
    }
    fn finished(&mut self, run: &Run, finished: &Finished<'_>) -> std::io::Result<()> {
        self.0.finished(run, finished)
    }
    fn end(&mut self, run: &Run, end: &End<'_>) -> std::io::Result<()> {
        self.0.end(run, end)
    }
}

fn terminal(to: Shared, trace: Option<TraceStyle>) -> Box<dyn Consumer> {
    Box::new(Terminal::new(to, Style::PLAIN, trace, 80, Progress::hidden()))
}

#[test]
fn terminal_shows_what_went_wrong() {
    insta::assert_snapshot!(all(|to| terminal(to, None)));
}

#[test]
fn terminal_shows_traces_when_asked() {
    insta::assert_snapshot!(all(|to| terminal(to, Some(TraceStyle::Plain))));
}

#[test]
fn terminal_draws_ladders_when_asked() {
    insta::assert_snapshot!(all(|to| terminal(to, Some(TraceStyle::Ladder))));
}

#[test]
fn terminal_sums_up_several_rounds() {
    let run = Run { rounds: 2, ..fixture::run() };
    let ending = Ending::Interrupted { not_run: 7 };
    insta::assert_snapshot!(written(&run, &ending, |to| Boxed(terminal(to, None))));
}

#[test]
fn ktap() {
    insta::assert_snapshot!(all(|to| Box::new(Ktap::new(to, Dialect::Ktap, false))));
}

#[test]
fn tap13() {
    insta::assert_snapshot!(all(|to| Box::new(Ktap::new(to, Dialect::Tap13, false))));
}

#[test]
fn tap13_under_a_runner_that_has_said_the_version() {
    let text = all(|to| Box::new(Ktap::new(to, Dialect::Tap13, true)));
    assert!(text.starts_with("1..7\n"), "{text}");
}

#[rstest]
#[case(Dialect::Ktap)]
#[case(Dialect::Tap13)]
fn tap_keeps_the_rules(#[case] dialect: Dialect) {
    let text = all(|to| Box::new(Ktap::new(to, dialect, false)));
    let results = ktap_rules::parse(&text).expect("the kernel's parser would accept this");
    let words: Vec<&str> = results.iter().map(|result| result.outcome).collect();
    assert_eq!(words, ["pass", "pass", "fail", "fail", "skip", "xfail", "error"]);
}

#[rstest]
#[case("1..1\nok 1 a\n", "no version line")]
#[case("KTAP version 1\nok 1 a\n", "no plan")]
#[case("KTAP version 1\n1..2\nok 1 a\n", "1 results, 2 planned")]
#[case("KTAP version 1\n1..1\nok 2 a\n", "not numbered 1")]
#[case("KTAP version 1\n1..1\nfine\n", "neither a result")]
#[case("KTAP version 1\n1..1\nok 1 a#b\n", "bad description")]
#[case("KTAP version 1\n1..1\nnot ok 1 a # SKIP b\n", "SKIP with the wrong result")]
#[case("KTAP version 1\n1..1\n# [FAIL] b\nok 1 a\n", "would be guessed")]
fn broken_output_is_refused(#[case] text: &str, #[case] why: &str) {
    let error = ktap_rules::parse(text).expect_err("broken");
    assert!(error.contains(why), "{error}");
}

#[test]
fn junit() {
    insta::assert_snapshot!(all(|to| Box::new(Junit::new(to))));
}

#[test]
fn markdown() {
    insta::assert_snapshot!(all(|to| Box::new(Markdown::new(to))));
}

#[test]
fn json() {
    let text = all(|to| Box::new(Json::new(to)));
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["schema"], crate::document::SCHEMA);
    insta::assert_snapshot!(text);
}

#[test]
fn answer_of_a_kernel_with_everything_wrong() {
    insta::assert_snapshot!(all(|to| Box::new(Answer::new(to, Style::PLAIN, Progress::hidden()))));
}

#[rstest]
#[case::healthy("healthy", "6.18.44", true, "0")]
#[case::already_on("already-on", "6.18.44", true, "1")]
#[case::lost_wake_up("lost-wake-up", "6.1.174", true, "0")]
#[case::pseudo_sysctl("pseudo-sysctl", "5.10.262", false, "0")]
fn answer_of_a_kernel(
    #[case] name: &str,
    #[case] version: &str,
    #[case] counters: bool,
    #[case] here: &str,
) {
    let (run, outcomes) = fixture::as_known(version, counters, here);
    let bytes = Shared::default();
    let mut answer = Answer::new(bytes.clone(), Style::PLAIN, Progress::hidden());
    let mut totals = Totals::default();
    for outcome in &outcomes {
        totals.count(&outcome.verdict);
        let finished = Finished { outcome, capture: Err("not kept") };
        answer.finished(&run, &finished).expect("finished");
    }
    let took = Duration::from_millis(450);
    let end = End { ending: &Ending::Complete, totals: &totals, took, tainted: Taint::default() };
    answer.end(&run, &end).expect("end");
    insta::assert_snapshot!(format!("answer-{name}"), bytes.text());
}
