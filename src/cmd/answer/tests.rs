//! The answer, of kernels as they are known, against its snapshots.

use std::time::Duration;

use harness::taint::Taint;
use rstest::rstest;
use scenarios::engine::Ending;

use crate::cmd::answer::Answer;
use crate::fixture::run::{all, as_known};
use crate::output::buffer::Buffer;
use crate::output::consumer::{Consumer, End, Finished};
use crate::output::progress::Progress;
use crate::output::totals::Totals;
use crate::style::Style;

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
    let (run, outcomes) = as_known(version, counters, here);
    let bytes = Buffer::default();
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
