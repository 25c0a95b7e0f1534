//! Runs one case, as often as it takes, and judges it.

use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use harness::kernel::Kernel;
use harness::process::{Broken, Labs};

use crate::case::Selected;
use crate::engine::discarded::DiscardedTry;
use crate::engine::lab::{CaseWork, FailureKind, LabFailure, LabResult, LabRun};
use crate::engine::outcome::{Observed, Outcome};
use crate::engine::plan::{RunPlan, default_deadline};
use crate::engine::requirement::{Met, runs};
use crate::engine::vain_waits::VainWaits;
use crate::judge::compare::judge;
use crate::judge::verdict::Verdict;

/// How often a case is tried whose labs are too slow: those that say so, and those that were
/// slow and found something wrong. A machine that is slower than that says nothing about its
/// kernel.
const TRIES: usize = 4;

/// The exclusive lock: shared by every case that runs, held alone by one that must run alone.
static EXCLUSIVE: RwLock<()> = RwLock::new(());

/// Runs a case once and judges it.
///
/// A case that needs a machine of its own and has one ([`Need::OwnMachine`]) runs when no
/// other of this process does, and nothing is left of their labs.
///
/// # Errors
/// [`Broken::Interrupted`], [`Broken::Setup`], [`Broken::Namespaces`] and [`Broken::Exhausted`];
/// anything else is a verdict.
pub fn run_once(
    labs: &Labs,
    kernel: &Kernel,
    selected: &Selected,
    round: u32,
    plan: RunPlan,
) -> Result<Outcome, Broken> {
    run_after(&VainWaits::default(), labs, kernel, selected, round, plan)
}

/// As [`run_once`], after cases that have waited in vain for these.
pub(crate) fn run_after(
    vain_waits: &VainWaits,
    labs: &Labs,
    kernel: &Kernel,
    selected: &Selected,
    round: u32,
    plan: RunPlan,
) -> Result<Outcome, Broken> {
    let deadline = plan.deadline.unwrap_or_else(|| default_deadline(selected));
    let alone = selected.is_alone() && kernel.machine_is_ours;
    let _exclusive = alone.then(|| EXCLUSIVE.write().unwrap_or_else(PoisonError::into_inner));
    let _shared = (!alone).then(|| EXCLUSIVE.read().unwrap_or_else(PoisonError::into_inner));
    if alone {
        labs.wait();
    }
    let started = Instant::now();
    let id = selected.id();
    let (verdict, seen, pcapng, discarded) = match runs(selected, kernel, plan.patience) {
        Met::No(verdict) => (verdict, Observed::default(), vec![], vec![]),
        Met::Yes => {
            let known = plan.known.about(&id, kernel);
            let (last, discarded) = tried(plan.jobs, || {
                let work = CaseWork { id: id.clone(), shortened: vain_waits.to_shorten() };
                let returned = match labs.run(&work.work(), deadline) {
                    Ok(returned) => returned,
                    Err(
                        broken @ (Broken::Interrupted
                        | Broken::Setup(_)
                        | Broken::Namespaces(_)
                        | Broken::Exhausted { .. }),
                    ) => return Err(broken),
                    Err(broken) => return Ok(Try::Broken(broken.to_string())),
                };
                Ok(match returned.parse::<LabResult>() {
                    Ok(Ok(LabRun { seen, slow })) => {
                        let verdict =
                            judge(&selected.expectation(), &known, &seen.observation, &seen.trace);
                        let seen = Box::new(seen);
                        Try::Judged { verdict, seen, pcapng: returned.pcapng, slow }
                    }
                    Ok(Err(LabFailure { reason, kind })) => match kind {
                        FailureKind::TooSlow => Try::TooSlow(reason),
                        FailureKind::Broke => Try::Broken(reason),
                        FailureKind::Lacks(of) => {
                            return Err(Broken::Exhausted { of, call: reason });
                        }
                    },
                    Err(e) => Try::Broken(e.to_string()),
                })
            })?;
            match last {
                Try::Judged { verdict, seen, pcapng, .. } => (verdict, *seen, pcapng, discarded),
                Try::TooSlow(reason) | Try::Broken(reason) => {
                    (Verdict::Error { reason }, Observed::default(), vec![], discarded)
                }
            }
        }
    };
    vain_waits.note(&verdict, &seen.vain_waits);
    Ok(Outcome { id, round, verdict, discarded, seen, pcapng, took: started.elapsed() })
}

/// What came of a case in one lab.
#[derive(Debug, PartialEq, Eq)]
enum Try {
    /// It was done, and `slow` says whether a timer may have fired that it has no part for.
    Judged { verdict: Verdict, seen: Box<Observed>, pcapng: Vec<u8>, slow: bool },
    /// The lab was too slow for it, and says how.
    TooSlow(String),
    /// There was no lab, or it broke.
    Broken(String),
}

impl Try {
    /// What is kept of it if it is not believed; nothing if it is. A failure in a slow lab is
    /// the kernel's doing if it comes again. A case that has the machine to itself (one of
    /// `jobs`) was in nobody's way.
    fn not_believed(&self, jobs: usize) -> Option<DiscardedTry> {
        match self {
            Self::Judged { verdict: Verdict::Fail { mismatches }, slow: true, .. } if jobs > 1 => {
                Some(DiscardedTry::Failed { mismatches: mismatches.clone() })
            }
            Self::TooSlow(what) => Some(DiscardedTry::TooSlow { what: what.clone() }),
            Self::Judged { .. } | Self::Broken(_) => None,
        }
    }
}

/// Tries until a try is believed, [`TRIES`] times at most: the last one always is. The tries
/// before it come with it.
fn tried(
    jobs: usize,
    mut one: impl FnMut() -> Result<Try, Broken>,
) -> Result<(Try, Vec<DiscardedTry>), Broken> {
    let mut discarded = vec![];
    loop {
        let this = one()?;
        match this.not_believed(jobs) {
            Some(doubtful) if discarded.len() + 1 < TRIES => discarded.push(doubtful),
            _ => return Ok((this, discarded)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::discarded::is_flaky;
    use crate::judge::Mismatch;
    use rstest::rstest;

    fn judged(verdict: Verdict, slow: bool) -> Try {
        Try::Judged { verdict, seen: Box::default(), pcapng: vec![], slow }
    }

    fn pass(slow: bool) -> Try {
        judged(Verdict::pass(), slow)
    }

    fn mismatches() -> Vec<Mismatch> {
        vec![Mismatch {
            what: "accept(B)".into(),
            expected: vec!["C's connection".into()],
            actual: "EAGAIN".into(),
            trace_line: None,
        }]
    }

    fn fail(slow: bool) -> Try {
        judged(Verdict::Fail { mismatches: mismatches() }, slow)
    }

    fn too_slow() -> Try {
        Try::TooSlow("the client's timer fired".into())
    }

    /// Those that labs would return, the last of them again and again.
    fn with(jobs: usize, tries: Vec<Try>) -> (Try, Vec<DiscardedTry>) {
        let mut tries = tries.into_iter();
        tried(jobs, || Ok(tries.next().expect("one more try"))).expect("it is not interrupted")
    }

    #[test]
    fn a_failure_that_does_not_come_again_is_kept() {
        let (last, discarded) = with(2, vec![fail(true), too_slow(), pass(true)]);
        assert_eq!(last, pass(true));
        assert_eq!(
            discarded,
            [
                DiscardedTry::Failed { mismatches: mismatches() },
                DiscardedTry::TooSlow { what: "the client's timer fired".into() }
            ]
        );
    }

    #[rstest]
    #[case::in_time(2, fail(false))]
    #[case::alone(1, fail(true))]
    #[case::passes(2, pass(true))]
    #[case::breaks(2, Try::Broken("hung: killed after 30 s".into()))]
    fn what_is_believed_at_once_is_tried_once(#[case] jobs: usize, #[case] only: Try) {
        let (_, discarded) = with(jobs, vec![only]);
        assert_eq!(discarded, []);
    }

    #[test]
    fn the_last_try_is_believed() {
        let (last, discarded) = with(2, (0..TRIES).map(|_| fail(true)).collect());
        assert_eq!(last, fail(true));
        assert_eq!(discarded.len(), TRIES - 1);
        let (last, discarded) = with(1, (0..TRIES).map(|_| too_slow()).collect());
        assert_eq!(last, too_slow());
        assert_eq!(discarded.len(), TRIES - 1);
    }

    #[test]
    fn only_what_failed_and_does_not_fail_any_more_is_flaky() {
        let failed = || DiscardedTry::Failed { mismatches: mismatches() };
        let slow = || DiscardedTry::TooSlow { what: "late".into() };
        let pass = Verdict::pass();
        assert!(is_flaky(&pass, &[slow(), failed()]));
        assert!(is_flaky(&Verdict::Error { reason: "late".into() }, &[failed()]));
        assert!(!is_flaky(&pass, &[slow(), slow()]));
        assert!(!is_flaky(&pass, &[]));
        assert!(!is_flaky(&Verdict::Fail { mismatches: mismatches() }, &[failed()]));
    }
}
