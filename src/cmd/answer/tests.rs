//! The answer, of kernels as they are known, against its snapshots.

use std::time::Duration;

use harness::kernel::taint::Taint;
use rstest::rstest;
use scenarios::engine::{Ending, Outcome};
use scenarios::judge::Verdict;

use crate::cmd::answer::{Answer, COLUMNS};
use crate::fixture::run::{all, all_as_known, as_known, flaky, run};
use crate::output::buffer::Buffer;
use crate::output::consumer::{Consumer, End, Finished, NotKept, Run};
use crate::output::progress::Progress;
use crate::output::totals::Totals;
use crate::style::Style;

#[test]
fn answer_of_a_kernel_with_everything_wrong() {
    insta::assert_snapshot!(all(|to| Box::new(Answer::new(
        to,
        Style::PLAIN,
        COLUMNS,
        Progress::hidden()
    ))));
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
    let (run, outcomes) = as_known(version, counters, here);
    insta::assert_snapshot!(format!("answer-{name}"), answered(&run, &outcomes));
}

/// Where nobody can write a setting, `sysctl -w` is no advice.
#[test]
fn the_answer_in_a_container_says_how_a_container_gets_the_setting() {
    let (mut run, outcomes) = as_known("6.18.44", true, "0");
    run.environment.sysctls_read_only = true;
    let answer = answered(&run, &outcomes);
    let words = answer.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("= 0 (the default and this namespace's value)"), "{answer}");
    for part in
        ["/proc/sys is read-only here", "`--sysctl net.ipv4.tcp_migrate_req=1`", "on the node"]
    {
        assert!(words.contains(part), "{part}: {answer}");
    }
    let (run, outcomes) = as_known("6.18.44", true, "0");
    assert!(!answered(&run, &outcomes).contains("read-only"));
}

/// Of every case there is, whatever their number: each known bug is in the answer once with
/// a case that shows it, and each case is counted.
#[test]
fn the_answer_of_everything_has_every_known_bug_once() {
    let (run, outcomes) = all_as_known("6.1.174", true, "0");
    let answer = answered(&run, &outcomes);
    let words = answer.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut bugs = 0;
    for outcome in &outcomes {
        let Verdict::KnownBug { bug, .. } = &outcome.verdict else { continue };
        bugs += 1;
        if !outcome.id.starts_with("wake-up/") {
            let reason = bug.reason.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(words.matches(&*reason).count(), 1, "{reason}: {answer}");
        }
    }
    let counts = answer.lines().find(|line| line.contains(" cases: ")).expect("the counts");
    assert!(counts.starts_with(&format!("{} cases: ", run.selection.len())), "{counts}");
    assert!(counts.contains(&format!(" {bugs} known bugs, 0 errors")), "{counts}");
    assert!(bugs > 10, "{counts}");
}

#[test]
fn what_is_flaky_is_told() {
    let text = answered(&run(), &[flaky()]);
    let expected = "Flaky\n";
    assert!(text.contains(expected), "{text}");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected =
        "sysctl/range: failed in 1 of 3 tries, in a slow lab: try 1 failed: accept(B): expected";
    assert!(text.contains(expected), "{text}");
}

fn answered(run: &Run, outcomes: &[Outcome]) -> String {
    let bytes = Buffer::default();
    let mut answer = Answer::new(bytes.clone(), Style::PLAIN, COLUMNS, Progress::hidden());
    let mut totals = Totals::default();
    for outcome in outcomes {
        totals.count(&outcome.verdict, &outcome.discarded);
        let finished = Finished { outcome, capture: Err(NotKept::NotAskedFor) };
        answer.finished(run, &finished).expect("finished");
    }
    let took = Duration::from_millis(450);
    let end = End { ending: &Ending::Complete, totals: &totals, took, tainted: Taint::default() };
    answer.end(run, &end).expect("end");
    bytes.text()
}
