//! Every consumer, fed with one of every verdict, against its snapshot.

mod ktap_rules;
mod retried;

use rstest::rstest;
use scenarios::engine::Ending;

use crate::cli::TraceStyle;
use crate::fixture::junit_rules;
use crate::fixture::run::{all, run, written};
use crate::output::buffer::Buffer;
use crate::output::consumer::{Consumer, Run};
use crate::output::json::Json;
use crate::output::junit::Junit;
use crate::output::ktap::{Dialect, Ktap};
use crate::output::markdown::Markdown;
use crate::output::progress::Progress;
use crate::output::terminal::Terminal;
use crate::style::Style;

fn terminal(to: Buffer, trace: Option<TraceStyle>) -> Box<dyn Consumer> {
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
    let run = Run { rounds: 2, ..run() };
    let ending = Ending::Interrupted { not_run: 7 };
    insta::assert_snapshot!(written(&run, &ending, |to| terminal(to, None)));
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
    let xml = all(|to| Box::new(Junit::new(to)));
    assert_eq!(junit_rules::check(&xml), Ok(()));
    insta::assert_snapshot!(xml);
}

#[test]
fn markdown() {
    insta::assert_snapshot!(all(|to| Box::new(Markdown::new(to))));
}

#[test]
fn json() {
    let text = all(|to| Box::new(Json::new(to)));
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(document["schema"], crate::output::document::SCHEMA);
    insta::assert_snapshot!(text);
}
