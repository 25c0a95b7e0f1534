//! Runs a selection, one after the other or several at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use harness::Resource;
use harness::kernel::Kernel;
use harness::process::interrupt;
use harness::process::thread::spawn_scoped;
use harness::process::{Broken, Labs};
use serde::{Deserialize, Serialize};

use crate::case::Selected;
use crate::engine::failure_limit::FailureCount;
use crate::engine::once::run_after;
use crate::engine::outcome::Outcome;
use crate::engine::plan::RunPlan;
use crate::engine::queue::{Queue, Queues, Task};
use crate::engine::vain_waits::VainWaits;

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
    /// There was no room for as many labs at a time as planned. Once, before the end.
    Lacking {
        /// How many there was room for; 0 if there was none even for one.
        at_a_time: usize,
        /// What there was too little of.
        of: Resource,
        /// The call that was refused, with its arguments, and the kernel's answer.
        call: String,
    },
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
    /// As many failures as the plan allows; the rest was not begun.
    EnoughFailed {
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
/// With one job, a case begins only when `listen` has returned from everything before it. Where
/// there is no room for as many labs at a time as planned, fewer run.
pub fn run(
    labs: &Labs,
    kernel: &Kernel,
    selection: &[Selected],
    plan: RunPlan,
    listen: impl FnMut(Event),
) {
    let queues = Queues::new(selection, plan);
    let failures = FailureCount::up_to(plan.failure_limit);
    let vain_waits = VainWaits::default();
    let work = Work {
        queues: &queues,
        failures: &failures,
        jobs: plan.jobs,
        waiting: plan.waiting,
        id: &|task| selection[task.index].id(),
        run: &|task| {
            let selected = &selection[task.index];
            run_after(&vain_waits, labs, kernel, selected, task.round, plan)
        },
        until_nothing_is_left: &|| labs.wait(),
    };
    let mut listener = InOrder::new(listen);
    let stopped = work.do_all(&mut listener);
    // A run is over when nothing is left of it.
    labs.wait();
    let (finished, mut listen) = listener.end();
    let not_run = queues.len() - finished;
    listen(Event::Ended(match stopped {
        Some(Broken::Setup(why) | Broken::Exhausted { call: why, .. }) if !interrupt::caught() => {
            Ending::NoLab { why, not_run }
        }
        Some(Broken::Namespaces(why)) if !interrupt::caught() => {
            Ending::NoLab { why: why.to_string(), not_run }
        }
        _ if not_run == 0 => Ending::Complete,
        _ if failures.is_reached() && !interrupt::caught() => Ending::EnoughFailed { not_run },
        _ => Ending::Interrupted { not_run },
    }));
}

/// What is to be done, and how.
struct Work<'w> {
    queues: &'w Queues,
    failures: &'w FailureCount,
    jobs: usize,
    waiting: usize,
    id: &'w (dyn Fn(&Task) -> String + Sync),
    run: &'w (dyn Fn(&Task) -> Result<Outcome, Broken> + Sync),
    until_nothing_is_left: &'w (dyn Fn() + Sync),
}

/// Why a thread, or a run, begins nothing more.
#[derive(Debug)]
enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// There is no room for this one, and there may be for fewer.
    Lacks(Resource, String),
    /// There are no labs.
    Broken(Broken),
}

impl Work<'_> {
    /// Does all of it, as many at a time as there is room for. Says what stopped it, if it was
    /// stopped.
    fn do_all(&self, listener: &mut InOrder<impl FnMut(Event)>) -> Option<Broken> {
        let mut lacks = None;
        if self.jobs > 1 {
            let (stopped, lacking) = self.at_once(listener);
            if stopped.is_some() {
                return stopped;
            }
            lacks = lacking;
        }
        // What is left then is left by those who had no room for it.
        let stopped = self.in_turn(listener);
        if let Some(Broken::Exhausted { of, call }) = &stopped {
            lacks = Some(Lacking { at_a_time: 0, of: *of, call: call.clone() });
        }
        if let Some(Lacking { at_a_time, of, call }) = lacks {
            listener.pass_on(Event::Lacking { at_a_time, of, call });
        }
        stopped
    }

    /// One after the other, on this thread.
    fn in_turn(&self, listener: &mut InOrder<impl FnMut(Event)>) -> Option<Broken> {
        for queue in [&self.queues.ready, &self.queues.waiting] {
            let stopped = self.work_off(queue, &mut |progress| listener.hear(progress), true);
            match stopped {
                Ok(()) => {}
                Err(Stop::Interrupted) => return Some(Broken::Interrupted),
                Err(Stop::Lacks(of, call)) => return Some(Broken::Exhausted { of, call }),
                Err(Stop::Broken(broken)) => return Some(broken),
            }
        }
        None
    }

    /// Several at a time, each on a thread of its own. A thread that finds no room for its lab
    /// leaves the task to the others, and ends.
    fn at_once(
        &self,
        listener: &mut InOrder<impl FnMut(Event)>,
    ) -> (Option<Broken>, Option<Lacking>) {
        let broken: Mutex<Option<Broken>> = Mutex::new(None);
        let lacks: Mutex<Option<Lacking>> = Mutex::new(None);
        let threads = AtomicUsize::new(0);
        let one_less = |of, call| {
            // The last one leaves what there is to this thread, which does it alone.
            let at_a_time = (threads.fetch_sub(1, Ordering::AcqRel) - 1).max(1);
            *lock(&lacks) = Some(Lacking { at_a_time, of, call });
        };
        let (report, reported) = mpsc::channel();
        let work_off = |queues: &[&Queue], report: &mpsc::Sender<Progress>| {
            let mut report = |progress| drop(report.send(progress));
            for queue in queues {
                match self.work_off(queue, &mut report, false) {
                    Ok(()) => {}
                    Err(Stop::Interrupted) => return,
                    Err(Stop::Lacks(of, call)) => return one_less(of, call),
                    Err(Stop::Broken(e)) => {
                        self.queues.stop();
                        lock(&broken).get_or_insert(e);
                        return;
                    }
                }
            }
        };
        thread::scope(|scope| {
            let (work_off, Queues { ready, waiting }) = (&work_off, self.queues);
            let its: [(usize, Vec<&Queue>); 2] = [
                (self.jobs.min(self.queues.len()), vec![ready, waiting]),
                (self.waiting.min(waiting.tasks.len()), vec![waiting]),
            ];
            for (count, queues) in its {
                for _ in 0..count {
                    let (report, queues) = (report.clone(), queues.clone());
                    threads.fetch_add(1, Ordering::AcqRel);
                    if let Err(e) = spawn_scoped(scope, move || work_off(&queues, &report)) {
                        one_less(e.lacks().unwrap_or(Resource::Processes), e.to_string());
                        break;
                    }
                }
            }
            drop(report);
            reported.iter().for_each(|progress| listener.hear(progress));
        });
        (into_inner(broken), into_inner(lacks))
    }

    /// Takes tasks of a queue until it is empty. Where there is no room for a lab, waits until
    /// nothing is left of any other if this thread is `alone`, and tries once more.
    fn work_off(
        &self,
        queue: &Queue,
        report: &mut dyn FnMut(Progress),
        alone: bool,
    ) -> Result<(), Stop> {
        while let Some(taken) = queue.next() {
            if interrupt::caught() {
                return Err(Stop::Interrupted);
            }
            let task = taken.task;
            if !taken.again {
                report(Progress::Started { id: (self.id)(task), round: task.round });
            }
            let mut outcome = (self.run)(task);
            if alone && matches!(outcome, Err(Broken::Exhausted { .. })) {
                (self.until_nothing_is_left)();
                outcome = (self.run)(task);
            }
            match outcome {
                Ok(outcome) => {
                    self.failures.count(&outcome.verdict);
                    if self.failures.is_reached() {
                        self.queues.stop();
                    }
                    report(Progress::Finished(task.place, Box::new(outcome)));
                }
                Err(Broken::Exhausted { of, call }) => {
                    queue.put_back(&taken);
                    return Err(Stop::Lacks(of, call));
                }
                Err(broken) => return Err(Stop::Broken(broken)),
            }
        }
        Ok(())
    }
}

/// As [`Event::Lacking`].
struct Lacking {
    at_a_time: usize,
    of: Resource,
    call: String,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_inner<T>(of: Mutex<T>) -> T {
    of.into_inner().unwrap_or_else(PoisonError::into_inner)
}

enum Progress {
    Started { id: String, round: u32 },
    Finished(usize, Box<Outcome>),
}

/// Passes outcomes on in the order of their places; those after a gap come at the end.
struct InOrder<L> {
    listen: L,
    held: BTreeMap<usize, Box<Outcome>>,
    place: usize,
    finished: usize,
}

impl<L: FnMut(Event)> InOrder<L> {
    fn new(listen: L) -> Self {
        Self { listen, held: BTreeMap::new(), place: 0, finished: 0 }
    }

    fn pass_on(&mut self, event: Event) {
        (self.listen)(event);
    }

    fn hear(&mut self, progress: Progress) {
        match progress {
            Progress::Started { id, round } => self.pass_on(Event::Started { id, round }),
            Progress::Finished(at, outcome) => {
                self.finished += 1;
                self.held.insert(at, outcome);
                while let Some(outcome) = self.held.remove(&self.place) {
                    self.pass_on(Event::Finished(outcome));
                    self.place += 1;
                }
            }
        }
    }

    /// Passes on what was held back. Says how many outcomes there were.
    fn end(mut self) -> (usize, L) {
        for outcome in std::mem::take(&mut self.held).into_values() {
            self.pass_on(Event::Finished(outcome));
        }
        (self.finished, self.listen)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use harness::wait;

    use super::*;
    use crate::catalogue;
    use crate::engine::failure_limit::{Counted, FailureLimit};
    use crate::engine::outcome::Observed;
    use crate::judge::Verdict;

    const TASKS: usize = 12;

    fn outcome(task: &Task) -> Outcome {
        Outcome {
            id: task.index.to_string(),
            round: task.round,
            verdict: Verdict::pass(),
            discarded: vec![],
            seen: Observed::default(),
            pcapng: vec![],
            took: Duration::ZERO,
        }
    }

    fn no_room() -> Broken {
        Broken::Exhausted { of: Resource::Processes, call: "fork(): EAGAIN".into() }
    }

    /// What a listener hears of a run with these many jobs, and what stopped it.
    fn heard(
        jobs: usize,
        run: &(dyn Fn(&Task) -> Result<Outcome, Broken> + Sync),
        until_nothing_is_left: &(dyn Fn() + Sync),
    ) -> (Vec<Event>, usize, Option<Broken>) {
        heard_up_to(None, jobs, run, until_nothing_is_left)
    }

    fn heard_up_to(
        limit: Option<FailureLimit>,
        jobs: usize,
        run: &(dyn Fn(&Task) -> Result<Outcome, Broken> + Sync),
        until_nothing_is_left: &(dyn Fn() + Sync),
    ) -> (Vec<Event>, usize, Option<Broken>) {
        let selection = &catalogue::all()[..TASKS];
        let plan = RunPlan { jobs, waiting: jobs, ..RunPlan::default() };
        let queues = Queues::new(selection, plan);
        let id = &|task: &Task| task.index.to_string();
        let failures = &FailureCount::up_to(limit);
        let queues = &queues;
        let work = Work { queues, failures, jobs, waiting: jobs, id, run, until_nothing_is_left };
        let mut events = vec![];
        let mut listener = InOrder::new(|event| events.push(event));
        let stopped = work.do_all(&mut listener);
        let (finished, _) = listener.end();
        (events, finished, stopped)
    }

    fn ids(events: &[Event]) -> Vec<String> {
        let ids = events.iter().filter_map(|event| match event {
            Event::Finished(outcome) => Some(outcome.id.clone()),
            _ => None,
        });
        ids.collect()
    }

    fn lacking(events: &[Event]) -> Option<usize> {
        events.iter().find_map(|event| match event {
            Event::Lacking { at_a_time, .. } => Some(*at_a_time),
            _ => None,
        })
    }

    #[test]
    fn where_there_is_room_for_few_fewer_run_and_each_runs_once_in_order() {
        let running = AtomicUsize::new(0);
        let refused = AtomicUsize::new(0);
        let (events, finished, stopped) = heard(
            6,
            &|task| {
                if running.fetch_add(1, Ordering::AcqRel) >= 2 {
                    running.fetch_sub(1, Ordering::AcqRel);
                    refused.fetch_add(1, Ordering::AcqRel);
                    return Err(no_room());
                }
                let first = wait::until("a lab without room", || {
                    Ok((refused.load(Ordering::Acquire) > 0).then_some(()))
                });
                first.expect("others try");
                running.fetch_sub(1, Ordering::AcqRel);
                Ok(outcome(task))
            },
            &|| (),
        );
        assert!(stopped.is_none(), "{stopped:?}");
        assert_eq!(finished, TASKS);
        assert!(ids(&events).into_iter().eq((0..TASKS).map(|index| index.to_string())));
        let started = events.iter().filter(|event| matches!(event, Event::Started { .. }));
        assert_eq!(started.count(), TASKS, "it is begun once");
        assert!(lacking(&events).is_some_and(|at_a_time| at_a_time >= 1), "{events:?}");
    }

    #[test]
    fn where_there_is_room_for_none_nothing_is_run_and_the_reason_is_known() {
        for jobs in [1, 4] {
            let (events, finished, stopped) = heard(jobs, &|_| Err(no_room()), &|| ());
            assert_eq!((finished, stopped, lacking(&events)), (0, Some(no_room()), Some(0)));
        }
    }

    #[test]
    fn when_enough_have_failed_nothing_more_is_begun() {
        let failed = |task: &Task| Outcome {
            verdict: Verdict::Fail { mismatches: vec![] },
            ..outcome(task)
        };
        let limit = Some(FailureLimit::first(Counted::Failures));
        let (events, finished, stopped) = heard_up_to(
            limit,
            1,
            &|task| Ok(if task.index == 2 { failed(task) } else { outcome(task) }),
            &|| (),
        );
        assert!(stopped.is_none(), "{stopped:?}");
        assert_eq!((finished, ids(&events)), (3, ["0", "1", "2"].map(str::to_owned).to_vec()));
        // Several at a time each finish what they have begun.
        let (events, finished, _) = heard_up_to(limit, 4, &|task| Ok(failed(task)), &|| ());
        let threads = 4 + 4;
        assert!((1..=threads).contains(&finished), "{finished}");
        let started = events.iter().filter(|event| matches!(event, Event::Started { .. }));
        assert_eq!((started.count(), ids(&events).len()), (finished, finished));
    }

    #[test]
    fn what_is_left_of_others_is_waited_for_before_the_last_try() {
        let left = AtomicUsize::new(1);
        let (events, finished, stopped) = heard(
            1,
            &|task| match left.load(Ordering::Acquire) {
                0 => Ok(outcome(task)),
                _ => Err(no_room()),
            },
            &|| left.store(0, Ordering::Release),
        );
        assert_eq!((finished, stopped, lacking(&events)), (TASKS, None, None));
    }
}
