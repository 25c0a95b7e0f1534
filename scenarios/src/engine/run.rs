//! Runs a selection, one after the other or several at a time.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use harness::kernel::Kernel;
use harness::process::interrupt;
use harness::process::{Broken, Labs};
use serde::{Deserialize, Serialize};

use crate::case::Selected;
use crate::engine::once::run_once;
use crate::engine::outcome::Outcome;
use crate::engine::plan::RunPlan;
use crate::engine::queue::{Queue, Queues, Task};

/// What a run reports while it goes.
#[derive(Debug, Clone)]
pub enum Event {
    /// A case was started.
    Started {
        /// Its id.
        id: String,
        /// Which repetition, from 1.
        round: u32,
    },
    /// A case has ended. In the order of the selection, round by round.
    Finished(Box<Outcome>),
    /// No case will follow.
    Ended(Ending),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Every selected case was run.
    Complete,
    /// Ctrl-C; some runs were not begun or not finished.
    Interrupted {
        /// How many.
        not_run: usize,
    },
    /// The machine stopped giving labs.
    NoLab {
        /// Why.
        why: String,
        /// How many runs there would have been.
        not_run: usize,
    },
}

/// Runs `selection` as planned and reports to `listen`.
///
/// With one job, a case begins only when `listen` has returned from everything before it.
pub fn run(
    labs: &Labs,
    kernel: &Kernel,
    selection: &[Selected],
    plan: RunPlan,
    mut listen: impl FnMut(Event),
) {
    let queues = Queues::new(selection, plan);
    let all = queues.len();
    let run_task = |task: &Task| run_once(labs, kernel, &selection[task.index], task.round, plan);
    let started = |task: &Task| (selection[task.index].id(), task.round);
    let (finished, broken) = match plan.jobs {
        1 => in_turn(&queues.ready, started, run_task, &mut listen),
        _ => at_once(plan, &queues, started, run_task, &mut listen),
    };
    // A run is over when nothing is left of it.
    labs.wait();
    let not_run = all - finished;
    listen(Event::Ended(match broken {
        Some(Broken::Setup(why)) if !interrupt::caught() => Ending::NoLab { why, not_run },
        Some(Broken::Namespaces(why)) if !interrupt::caught() => {
            Ending::NoLab { why: why.to_string(), not_run }
        }
        _ if not_run > 0 => Ending::Interrupted { not_run },
        _ => Ending::Complete,
    }));
}

/// One after the other. Says how many were finished, and what stopped the rest.
fn in_turn(
    queue: &Queue,
    started: impl Fn(&Task) -> (String, u32),
    run_task: impl Fn(&Task) -> Result<Outcome, Broken>,
    listen: &mut impl FnMut(Event),
) -> (usize, Option<Broken>) {
    for (finished, task) in queue.tasks.iter().enumerate() {
        if interrupt::caught() {
            return (finished, None);
        }
        let (id, round) = started(task);
        listen(Event::Started { id, round });
        match run_task(task) {
            Ok(outcome) => listen(Event::Finished(Box::new(outcome))),
            Err(broken) => return (finished, Some(broken)),
        }
    }
    (queue.tasks.len(), None)
}

/// As [`in_turn`], several at a time.
fn at_once(
    plan: RunPlan,
    queues: &Queues,
    started: impl Fn(&Task) -> (String, u32) + Sync,
    run_task: impl Fn(&Task) -> Result<Outcome, Broken> + Sync,
    listen: &mut impl FnMut(Event),
) -> (usize, Option<Broken>) {
    let broken: Mutex<Option<Broken>> = Mutex::new(None);
    let (report, reported) = mpsc::channel();
    let work_off = |queue: &Queue, report: &mpsc::Sender<Progress>| {
        while let Some(task) = queue.next() {
            if interrupt::caught() {
                return;
            }
            let (id, round) = started(task);
            let _ = report.send(Progress::Started { id, round });
            match run_task(task) {
                Ok(outcome) => {
                    let _ = report.send(Progress::Finished(task.place, Box::new(outcome)));
                }
                Err(e) => {
                    queues.stop();
                    broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                    return;
                }
            }
        }
    };
    let finished = thread::scope(|scope| {
        let work_off = &work_off;
        for _ in 0..plan.waiting.min(queues.waiting.tasks.len()) {
            let report = report.clone();
            scope.spawn(move || work_off(&queues.waiting, &report));
        }
        for _ in 0..plan.jobs.min(queues.len()) {
            let report = report.clone();
            scope.spawn(move || {
                work_off(&queues.ready, &report);
                work_off(&queues.waiting, &report);
            });
        }
        drop(report);
        in_order(reported, listen)
    });
    (finished, broken.into_inner().unwrap_or_else(PoisonError::into_inner))
}

enum Progress {
    Started { id: String, round: u32 },
    Finished(usize, Box<Outcome>),
}

/// Passes outcomes on in the order of their places; those after a gap come at the end.
/// Says how many there were.
fn in_order(reported: mpsc::Receiver<Progress>, listen: &mut impl FnMut(Event)) -> usize {
    let mut held: BTreeMap<usize, Box<Outcome>> = BTreeMap::new();
    let mut place = 0;
    let mut finished = 0;
    for progress in reported {
        match progress {
            Progress::Started { id, round } => listen(Event::Started { id, round }),
            Progress::Finished(at, outcome) => {
                finished += 1;
                held.insert(at, outcome);
                while let Some(outcome) = held.remove(&place) {
                    listen(Event::Finished(outcome));
                    place += 1;
                }
            }
        }
    }
    held.into_values().for_each(|outcome| listen(Event::Finished(outcome)));
    finished
}
