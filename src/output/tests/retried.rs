//! A case that was tried more than once, in every format of a run.

use harness::trace::Trace;
use quick_junit::{FlakyOrRerun, Report, TestCaseStatus};
use rstest::rstest;
use scenarios::engine::{DiscardedTry, Observed, Outcome};
use scenarios::judge::Verdict;

use crate::fixture::junit_rules;
use crate::fixture::run::{flaky, of_one};
use crate::output::buffer::Buffer;
use crate::output::consumer::Consumer;
use crate::output::json::Json;
use crate::output::junit::Junit;
use crate::output::ktap::{Dialect, Ktap};
use crate::output::markdown::Markdown;
use crate::output::progress::Progress;
use crate::output::terminal::Terminal;
use crate::output::tests::ktap_rules;
use crate::style::Style;

const FAILED: &str = "try 1 failed: accept(B): expected C's connection, actual EAGAIN";
const SLOW: &str = "try 2 was too slow: C's timer fired before the close";

/// Only the slow try of the fixture's case.
fn only_slow() -> Outcome {
    let mut outcome = flaky();
    outcome.discarded.retain(|discarded| !discarded.failed());
    outcome
}

fn terminal(to: Buffer) -> Box<dyn Consumer> {
    Box::new(Terminal::new(to, Style::PLAIN, None, 80, Progress::hidden()))
}

#[test]
fn terminal_has_lines_below_the_case_and_a_count() {
    let text = of_one(&flaky(), terminal);
    let below = format!("      flaky: failed in 1 of 3 tries, in a slow lab\n        {FAILED}\n");
    assert!(text.contains(&format!("12 ms\n{below}        {SLOW}\n")), "{text}");
    assert!(text.contains("\nFlaky, failed in a try before the last:\n  sysctl/range\n"), "{text}");
    assert!(text.contains("0 errors, 1 flaky; "), "{text}");

    let text = of_one(&only_slow(), terminal);
    assert!(text.contains("      retried: 2 tries, the first in a slow lab\n"), "{text}");
    assert!(text.contains("0 errors, 1 retried; ") && !text.contains("flaky"), "{text}");
}

/// What has a block has it there.
#[test]
fn a_failure_s_block_has_the_tries_before_it() {
    let DiscardedTry::Failed { mismatches } = flaky().discarded.remove(0) else {
        panic!("the first try failed");
    };
    let failed = Outcome { verdict: Verdict::Fail { mismatches }, ..flaky() };
    let text = of_one(&failed, terminal);
    let block = format!("  retried   3 tries, the first 2 in slow labs\n            {FAILED}\n");
    assert!(text.contains(&block), "{text}");
    let text = of_one(&failed, |to| Box::new(Ktap::new(to, Dialect::Ktap, false)));
    assert!(text.contains(&format!("#             {SLOW}\n")), "{text}");
}

#[rstest]
#[case(Dialect::Ktap)]
#[case(Dialect::Tap13)]
fn tap_has_diagnostics_before_the_result(#[case] dialect: Dialect) {
    let text = of_one(&flaky(), |to| Box::new(Ktap::new(to, dialect, false)));
    let expected =
        format!("# flaky: failed in 1 of 3 tries, in a slow lab\n#   {FAILED}\n#   {SLOW}\nok 1 ");
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("# flaky: 1, retried: 0\n# Totals: pass:1 "), "{text}");
    let results = ktap_rules::parse(&text).expect("the kernel's parser would accept this");
    assert_eq!(results[0].outcome, "pass");
}

fn junit(outcome: &Outcome) -> (String, TestCaseStatus) {
    let xml = of_one(outcome, |to| Box::new(Junit::new(to)));
    assert_eq!(junit_rules::check(&xml), Ok(()));
    let mut report = Report::deserialize_from_str(&xml).expect("XML");
    (xml, report.test_suites.remove(0).test_cases.remove(0).status)
}

#[test]
fn junit_has_a_flaky_failure_and_all_of_it_as_output() {
    let (xml, status) = junit(&flaky());
    let TestCaseStatus::Success { flaky_runs } = status else { panic!("it passed: {xml}") };
    let message = flaky_runs[0].message.as_ref().expect("a message").as_str();
    assert_eq!((flaky_runs.len(), message), (1, "the kernel deviates in: accept(B)"));
    assert!(xml.contains("<flakyFailure message=\"the kernel deviates in: accept(B)\""), "{xml}");
    assert!(xml.contains(&FAILED[..12]) && xml.contains("try 2 was too slow"), "{xml}");

    let (xml, status) = junit(&only_slow());
    assert_eq!(status, TestCaseStatus::success(), "nothing failed");
    assert!(xml.contains("<system-out>retried: 2 tries, the first in a slow lab"), "{xml}");
}

#[test]
fn junit_has_a_rerun_where_the_last_try_failed_too() {
    let DiscardedTry::Failed { mismatches } = flaky().discarded.remove(0) else {
        panic!("the first try failed");
    };
    let (xml, status) = junit(&Outcome { verdict: Verdict::Fail { mismatches }, ..flaky() });
    let TestCaseStatus::NonSuccess { reruns, .. } = status else { panic!("it failed: {xml}") };
    assert_eq!((reruns.kind, reruns.runs.len()), (FlakyOrRerun::Rerun, 1));
}

#[test]
fn json_has_the_tries() {
    let text = of_one(&flaky(), |to| Box::new(Json::new(to)));
    let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let case = &document["cases"][0];
    assert_eq!(case["tries"], 3);
    assert_eq!(case["discarded"][0]["why"], "failed");
    assert_eq!(case["discarded"][0]["mismatches"][0]["actual"], "EAGAIN");
    assert_eq!(case["discarded"][1]["why"], "too-slow");
    assert_eq!(case["discarded"][1]["what"], "C's timer fired before the close");
    assert_eq!(
        (&document["totals"]["flaky"], &document["totals"]["retried"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn markdown_has_a_mark_and_a_section() {
    let text = of_one(&flaky(), |to| Box::new(Markdown::new(to)));
    assert!(text.contains(r"✅ ok\*"), "{text}");
    assert!(text.contains("1 ok; 1 flaky"), "{text}");
    assert!(text.contains("### Flaky: failed in a slow lab, and not when tried again"), "{text}");
    assert!(text.contains(FAILED) && text.contains(SLOW), "{text}");

    let text = of_one(&only_slow(), |to| Box::new(Markdown::new(to)));
    assert!(text.contains("### Tried again after a slow lab"), "{text}");
    assert!(!text.contains("flaky"), "{text}");
}

/// An outcome of a guest whose sockmig knows nothing of tries.
#[test]
fn an_outcome_without_tries_is_read() {
    let earlier = serde_json::json!({
        "id": "sysctl/range", "round": 1, "verdict": { "verdict": "pass" },
        "seen": Observed { trace: Trace::default(), ..Observed::default() },
        "took": { "secs": 1, "nanos": 0 },
    });
    let outcome: Outcome = serde_json::from_value(earlier).expect("an outcome");
    assert_eq!((outcome.discarded.len(), outcome.is_flaky()), (0, false));
}
