//! Runs one case, as often as it takes, and judges it.

use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use harness::kernel::Kernel;
use harness::process::{Broken, Labs};

use crate::case::Selected;
use crate::engine::lab::{LabResult, LabRun};
use crate::engine::outcome::{Observed, Outcome};
use crate::engine::plan::{RunPlan, default_deadline};
use crate::judge::compare::judge;
use crate::judge::known;
use crate::judge::requirement::{Met, runs};
use crate::judge::verdict::Verdict;

/// How often a case is tried whose labs are too slow: those that say so, and those that were
/// slow and found something wrong. A machine that is slower than that says nothing about its
/// kernel.
const TRIES: u32 = 4;

/// The exclusive lock: shared by every case that runs, held alone by one that must run alone.
static EXCLUSIVE: RwLock<()> = RwLock::new(());

/// Runs a case once and judges it.
///
/// A case that needs a machine of its own and has one ([`Need::OwnMachine`]) runs when no
/// other of this process does, and nothing is left of their labs.
///
/// # Errors
/// [`Broken::Interrupted`], [`Broken::Setup`] and [`Broken::Namespaces`]; anything else is a verdict.
pub fn run_once(
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
    let mut tries = 1..=TRIES;
    let (verdict, seen, pcapng) = match runs(selected, kernel, plan.patience) {
        Met::No(verdict) => (verdict, Observed::default(), vec![]),
        Met::Yes => loop {
            let left = tries.next().is_some_and(|this| this < TRIES);
            match labs.run(&id, deadline) {
                Err(broken @ (Broken::Interrupted | Broken::Setup(_) | Broken::Namespaces(_))) => {
                    return Err(broken);
                }
                Err(broken) => break failed(broken.to_string()),
                Ok(returned) => match returned.parse::<LabResult>() {
                    Ok(Ok(LabRun { seen, slow })) => {
                        let known = known::about(&id, kernel.version);
                        let verdict =
                            judge(&selected.expectation(), &known, &seen.observation, &seen.trace);
                        // What is the kernel's doing comes again; the last word is believed.
                        // A case that has the machine to itself was in nobody's way.
                        let failed = matches!(verdict, Verdict::Fail { .. });
                        let doubtful = failed && slow && plan.jobs > 1;
                        if !(doubtful && left) {
                            break (verdict, seen, returned.pcapng);
                        }
                    }
                    Ok(Err(failure)) if failure.again && left => {}
                    Ok(Err(failure)) => break failed(failure.reason),
                    Err(e) => break failed(e.to_string()),
                },
            }
        },
    };
    Ok(Outcome { id, round, verdict, seen, pcapng, took: started.elapsed() })
}

fn failed(reason: String) -> (Verdict, Observed, Vec<u8>) {
    (Verdict::Error { reason }, Observed::default(), vec![])
}
