//! Discarded tries in JUnit's XML, as a run and a matrix have them.

use quick_junit::{FlakyOrRerun, NonSuccessKind, TestCase, TestRerun};
use scenarios::engine::DiscardedTry;
use scenarios::judge::Verdict;
use scenarios::report::{Retried, wrong_names};

use crate::output::xml::ResultType;

/// Adds what discarded tries saw to a test case: each that failed as a `flakyFailure`, or as a
/// `rerunFailure` where the last try failed too, as surefire and nextest do. The format has
/// neither for a case that is `skipped`, and nothing for a lab that was too slow, so that all
/// of it is in the case's output too.
pub fn add(case: &mut TestCase, verdict: &Verdict, discarded: &[DiscardedTry]) {
    let Some(retried) = Retried::of(verdict, discarded) else { return };
    if retried.is_flaky() {
        case.status.set_rerun_kind(FlakyOrRerun::Flaky);
    }
    for mismatches in retried.failed() {
        let mut rerun = TestRerun::new(NonSuccessKind::Failure);
        rerun.set_type(ResultType::Deviation.name());
        rerun.set_message(format!("the kernel deviates in: {}", wrong_names(mismatches)));
        let sentences: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
        rerun.set_description(sentences.join("\n"));
        case.status.add_rerun(rerun);
    }
    case.set_system_out(retried.to_string());
}
