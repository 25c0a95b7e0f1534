//! Runs cases in labs and tells what happens, as events. Prints nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use harness::inside;
use harness::kernel::Kernel;
use harness::lab::Lab;
use harness::observation::Observation;
use harness::process::{Broken, Labs, Returned};
use harness::sysctl::MIGRATE_REQ;
use harness::trace::Trace;
use harness::{interrupt, wait, witness};
use serde::{Deserialize, Serialize};

use crate::case::{Migration, Need, Selected};
use crate::judge::{Verdict, judge};
use crate::requirement::{Met, Patience, runs};
use crate::{catalogue, known};

mod queue;

use queue::{Queue, Queues, Task};

/// The work that probes the kernel instead of running a case. No case has this id.
const PROBE: &str = "?";

/// A case that takes longer than this beyond the timers it waits for hangs. Three waits
/// of a case may run into their own deadlines before.
pub fn default_deadline(selected: &Selected) -> Duration {
    selected.case.waits_for + wait::deadline() * 3
}

/// Does a lab's work if this process is a lab, and never returns then. Must be the first
/// thing in `main` of every program that runs cases.
pub fn enter_if_lab() {
    inside::enter(lab_work);
}

/// What a lab does that was told `work`.
pub fn lab_work(work: &str) -> Returned {
    match work {
        PROBE => Returned::json(&Kernel::probe().map_err(|e| e.to_string()), vec![]),
        id => match catalogue::all().into_iter().find(|selected| selected.id() == id) {
            Some(selected) => match perform(&selected) {
                Ok((seen, pcapng)) => {
                    let slow = witness::awake() >= SHORTEST_TIMER;
                    Returned::json(&LabTold::Ok(Sight { seen, slow }), pcapng)
                }
                Err(e) => {
                    let again = matches!(e, harness::Error::TooSlow { .. });
                    let unseen = Unseen { reason: e.to_string(), again };
                    Returned::json(&LabTold::Err(unseen), vec![])
                }
            },
            None => {
                let unseen = Unseen { reason: format!("no case {id}"), again: false };
                Returned::json(&LabTold::Err(unseen), vec![])
            }
        },
    }
}

/// What a case saw: its observation and the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Facts.
    pub observation: Observation,
    /// Segments and acts.
    pub trace: Trace,
}

/// What a lab returns.
type LabTold = Result<Sight, Unseen>;

/// What was seen, and how well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sight {
    seen: Seen,
    /// The lab worked, or waited for a processor, for so long that a timer of the kernel may
    /// have fired which the case has no part for. A kernel that keeps it waiting does not make
    /// it slow.
    slow: bool,
}

/// The shortest timer of the kernel that a connection has (TCP_RTO_MIN).
const SHORTEST_TIMER: Duration = Duration::from_millis(200);

/// Why nothing was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Unseen {
    reason: String,
    /// The lab was too slow, which another one need not be.
    again: bool,
}

/// How often a case is tried whose labs are too slow: those that say so, and those that were
/// slow and found something wrong. A machine that is slower than that says nothing about its
/// kernel.
const TRIES: u32 = 4;

/// Runs a case in the lab that this process is.
fn perform(selected: &Selected) -> harness::Result<(Seen, Vec<u8>)> {
    let mut lab = Lab::open(selected.setting.family)?;
    if selected.setting.migration == Migration::On {
        lab.sysctl(MIGRATE_REQ, "1")?;
    }
    let stopped = match (selected.case.run)(&mut lab, selected.setting) {
        Ok(()) => None,
        Err(e) if e.blames_the_kernel() => Some(e.to_string()),
        Err(e) => return Err(e),
    };
    if selected.case.needs.contains(&Need::Programs) {
        lab.observe_programs_left()?;
    }
    let (observation, trace, pcapng) = lab.finish(stopped)?;
    Ok((Seen { observation, trace }, pcapng))
}

/// Probes the kernel in a lab of its own.
///
/// # Errors
/// There can be no lab here.
pub fn probe(labs: &Labs) -> Result<Kernel, Broken> {
    let returned = labs.run(PROBE, wait::deadline())?;
    let probed: Result<Kernel, String> =
        returned.parse().map_err(|e| Broken::Setup(e.to_string()))?;
    probed.map_err(Broken::Setup)
}

/// What came of one run of one case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The case's full id.
    pub id: String,
    /// Which repetition, from 1.
    pub round: u32,
    /// The verdict.
    pub verdict: Verdict,
    /// What it rests on; nothing for a skip or an error.
    pub seen: Seen,
    /// The wire as a pcapng file. It travels apart from the rest.
    #[serde(skip)]
    pub pcapng: Vec<u8>,
    /// How long it took.
    pub took: Duration,
}

/// Held by every case that runs, and by one alone that must be.
static COMPANY: RwLock<()> = RwLock::new(());

/// Runs a case once and judges it.
///
/// A case that needs a machine of its own and has one ([`Need::OwnMachine`]) runs when no
/// other of this process does, and nothing is left of their labs.
///
/// # Errors
/// [`Broken::Interrupted`] and [`Broken::Setup`]; anything else is a verdict.
pub fn run_once(
    labs: &Labs,
    kernel: &Kernel,
    selected: &Selected,
    round: u32,
    plan: Plan,
) -> Result<Outcome, Broken> {
    let deadline = plan.deadline.unwrap_or_else(|| default_deadline(selected));
    let alone = selected.is_alone() && kernel.machine_is_ours;
    let _alone = alone.then(|| COMPANY.write().unwrap_or_else(PoisonError::into_inner));
    let _together = (!alone).then(|| COMPANY.read().unwrap_or_else(PoisonError::into_inner));
    if alone {
        labs.wait();
    }
    let started = Instant::now();
    let id = selected.id();
    let mut tries = 1..=TRIES;
    let (verdict, seen, pcapng) = match runs(selected, kernel, plan.patience) {
        Met::No(verdict) => (verdict, Seen::default(), vec![]),
        Met::Yes => loop {
            let left = tries.next().is_some_and(|this| this < TRIES);
            match labs.run(&id, deadline) {
                Err(broken @ (Broken::Interrupted | Broken::Setup(_))) => return Err(broken),
                Err(broken) => break failed(broken.to_string()),
                Ok(returned) => match returned.parse::<LabTold>() {
                    Ok(Ok(Sight { seen, slow })) => {
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
                    Ok(Err(unseen)) if unseen.again && left => {}
                    Ok(Err(unseen)) => break failed(unseen.reason),
                    Err(e) => break failed(e.to_string()),
                },
            }
        },
    };
    Ok(Outcome { id, round, verdict, seen, pcapng, took: started.elapsed() })
}

fn failed(reason: String) -> (Verdict, Seen, Vec<u8>) {
    (Verdict::Error { reason }, Seen::default(), vec![])
}

/// What a run tells while it goes.
#[derive(Debug, Clone)]
pub enum Event {
    /// A case was started.
    Started {
        /// Its id.
        id: String,
        /// Which repetition, from 1.
        round: u32,
    },
    /// A case came to its end. In the order of the selection, round by round.
    Finished(Box<Outcome>),
    /// No case will follow.
    Ended(Ending),
}

/// How a run came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// Every selected case was run.
    Complete,
    /// Ctrl-C; so many runs were not begun or not finished.
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

/// How to run a selection.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many times everything is run.
    pub rounds: u32,
    /// How many labs there are at a time.
    pub jobs: usize,
    /// How many there are besides, of cases that wait for a timer of the kernel and need
    /// nothing meanwhile.
    pub waiting: usize,
    /// When a case hangs; [`default_deadline`] if nobody says.
    pub deadline: Option<Duration>,
    /// Which timers are waited for.
    pub patience: Patience,
}

impl Default for Plan {
    /// Once, with as many labs as is good, for as long as the environment says.
    fn default() -> Self {
        let jobs = default_jobs();
        Self {
            rounds: 1,
            jobs,
            waiting: waiting_beside(jobs),
            deadline: None,
            patience: Patience::of_environment(),
        }
    }
}

/// More labs at a time than cores, since the kernel lets each wait for namespaces and
/// grace periods; or what `SOCKMIG_JOBS` says, which is 1 in a guest whose time leaps.
pub fn default_jobs() -> usize {
    let said = std::env::var("SOCKMIG_JOBS").ok().and_then(|jobs| jobs.parse().ok());
    if let Some(jobs @ 1..=1000) = said {
        return jobs;
    }
    16 * thread::available_parallelism().map_or(2, usize::from)
}

/// How many labs may wait for timers beside `jobs` others: enough for all of the list on a
/// machine of two cores, so that one second is waited once. None beside one that is to be
/// alone.
pub fn waiting_beside(jobs: usize) -> usize {
    if jobs == 1 { 0 } else { 3 * jobs }
}

/// Runs `selection` as planned and tells `listen` about it.
///
/// With one job, a case begins only when `listen` has returned from everything before it.
pub fn run(
    labs: &Labs,
    kernel: &Kernel,
    selection: &[Selected],
    plan: Plan,
    mut listen: impl FnMut(Event),
) {
    let queues = Queues::new(selection, plan);
    let all = queues.len();
    let run_task = |task: &Task| run_once(labs, kernel, &selection[task.index], task.round, plan);
    let started = |task: &Task| (selection[task.index].id(), task.round);
    let (finished, broken) = match plan.jobs {
        1 => in_turn(&queues.brisk, started, run_task, &mut listen),
        _ => at_once(plan, &queues, started, run_task, &mut listen),
    };
    // A run is over when nothing is left of it.
    labs.wait();
    let not_run = all - finished;
    listen(Event::Ended(match broken {
        Some(Broken::Setup(why)) if !interrupt::caught() => Ending::NoLab { why, not_run },
        _ if not_run > 0 => Ending::Interrupted { not_run },
        _ => Ending::Complete,
    }));
}

/// One after the other. Says how many came to their end, and what stopped the rest.
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
    plan: Plan,
    queues: &Queues,
    started: impl Fn(&Task) -> (String, u32) + Sync,
    run_task: impl Fn(&Task) -> Result<Outcome, Broken> + Sync,
    listen: &mut impl FnMut(Event),
) -> (usize, Option<Broken>) {
    let broken: Mutex<Option<Broken>> = Mutex::new(None);
    let (tell, told) = mpsc::channel();
    let work_off = |queue: &Queue, tell: &mpsc::Sender<Told>| {
        while let Some(task) = queue.next() {
            if interrupt::caught() {
                return;
            }
            let (id, round) = started(task);
            let _ = tell.send(Told::Started { id, round });
            match run_task(task) {
                Ok(outcome) => {
                    let _ = tell.send(Told::Finished(task.place, Box::new(outcome)));
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
            let tell = tell.clone();
            scope.spawn(move || work_off(&queues.waiting, &tell));
        }
        for _ in 0..plan.jobs.min(queues.len()) {
            let tell = tell.clone();
            scope.spawn(move || {
                work_off(&queues.brisk, &tell);
                work_off(&queues.waiting, &tell);
            });
        }
        drop(tell);
        in_order(told, listen)
    });
    (finished, broken.into_inner().unwrap_or_else(PoisonError::into_inner))
}

enum Told {
    Started { id: String, round: u32 },
    Finished(usize, Box<Outcome>),
}

/// Passes outcomes on in the order of their places; those behind a gap come at the end.
/// Says how many there were.
fn in_order(told: mpsc::Receiver<Told>, listen: &mut impl FnMut(Event)) -> usize {
    let mut held: BTreeMap<usize, Box<Outcome>> = BTreeMap::new();
    let mut place = 0;
    let mut finished = 0;
    for told in told {
        match told {
            Told::Started { id, round } => listen(Event::Started { id, round }),
            Told::Finished(at, outcome) => {
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
