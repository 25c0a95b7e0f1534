//! Many labs that explore, and what they found together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use harness::Resource;
use harness::process::{Broken, Labs, interrupt, thread};

use crate::corpus::Corpus;
use crate::generate::Recipe;
use crate::history::History;
use crate::job::{Explored, Finding, Job, LabFailed, Numbers, Replayed, Reported, Signature};
use crate::model::{Model, ModelBug, met_in};

/// What is explored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What histories are like.
    pub recipe: Recipe,
    /// The number of the first history.
    pub seed: u64,
    /// How many; without an end where there is none.
    pub count: Option<u64>,
    /// For how long.
    pub time: Option<Duration>,
    /// How many labs play histories that do not wait, at a time.
    pub jobs: usize,
    /// How many labs play histories that wait for timers: nearly all the time they sleep.
    pub waiting_jobs: usize,
    /// How long a lab sleeps after each history: where the clock leaps over the time in which
    /// everybody sleeps, no time passes while anybody does not.
    pub rest: Duration,
    /// Whether histories are made by changing those that reached code of the kernel that none before
    /// them had: it must say what is reached ([`harness::kernel::coverage`]).
    pub is_guided: bool,
    /// Whether nothing more is begun when something was found.
    pub fail_fast: bool,
}

/// What was reached of the kernel's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covered {
    /// How many places.
    pub places: u64,
    /// How many histories reached something that none before them had.
    pub kept: u64,
}

/// What was found, in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Total {
    /// How many histories agreed or disagreed.
    pub histories: u64,
    /// How many steps these had.
    pub steps: u64,
    /// How many said nothing: a step was too late.
    pub too_slow: u64,
    /// What was met: each step in each situation, and what came of it.
    pub met: BTreeSet<String>,
    /// The disagreements, one of each signature.
    pub findings: Vec<Finding>,
    /// How often each was met.
    pub disagreements: BTreeMap<String, u64>,
    /// Ranges of histories after which sockets or requests were left, and how many.
    pub left: Vec<(Numbers, usize)>,
    /// It was interrupted.
    pub interrupted: bool,
    /// Fewer labs explored than were asked for.
    pub fewer: Option<Fewer>,
    /// What was reached, if that guided.
    pub covered: Option<Covered>,
}

/// Why exploring ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// A lab broke.
    #[error("{0}")]
    Lab(Broken),
    /// The laboratory broke in a lab.
    #[error("the laboratory broke: {0}")]
    Inside(String),
}

impl From<LabFailed> for Stopped {
    fn from(why: LabFailed) -> Self {
        match why {
            LabFailed::Lacks { of, call } => Self::Lab(Broken::Exhausted { of, call }),
            LabFailed::Other(why) => Self::Inside(why),
        }
    }
}

/// There was room for fewer labs than were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fewer {
    /// For how many.
    pub at_a_time: usize,
    /// Of what there was too little.
    pub of: Resource,
    /// The call that was refused, and the answer.
    pub call: String,
}

/// How long a lab explores before it reports: what it found is lost if it is interrupted.
const REPORTS_AFTER: Duration = Duration::from_millis(1500);

/// The same of a lab whose histories wait.
const WAITING_REPORTS_AFTER: Duration = Duration::from_secs(6);

/// How many numbers a lab gets at most: what it found is reported after these, whatever the clock
/// says.
const BLOCK: u64 = 250;

/// How many histories a lab gets at most that wait.
const WAITING_BLOCK: u64 = 4;

/// A lab that does not report after this time hangs: reductions of histories that wait take
/// their time.
const DEADLINE: Duration = Duration::from_secs(1800);

/// What the threads share.
struct Shared {
    total: Total,
    /// The next numbers: of histories that do not wait, and of those that do.
    next: [u64; 2],
    /// What labs have left of their numbers.
    unfinished: Vec<Numbers>,
    seen: BTreeSet<Signature>,
    /// What was reached, if that guides.
    corpus: Option<Corpus>,
    stopped: Option<Stopped>,
    /// How many threads have labs explore: histories that do not wait, and those that do.
    working: [usize; 2],
    /// Those that have nobody of their own had their turn last.
    did_others: bool,
}

/// Explores, and shows the total whenever a lab has reported. What was found before something
/// broke is in the total.
pub fn explore(
    labs: &Labs,
    plan: &Plan,
    show: impl Fn(&Total) + Sync,
) -> (Total, Result<(), Stopped>) {
    let started = Instant::now();
    let shared = Mutex::new(Shared {
        total: Total::default(),
        next: [plan.seed; 2],
        unfinished: vec![],
        seen: BTreeSet::new(),
        corpus: plan.is_guided.then(Corpus::default),
        stopped: None,
        working: [0; 2],
        did_others: false,
    });
    let shared = &shared;
    let show = &show;
    std::thread::scope(|scope| {
        let waiting = if plan.recipe.wait_every > 0 { plan.waiting_jobs } else { 0 };
        let kinds = (0..plan.jobs).map(|_| false).chain((0..waiting).map(|_| true));
        for is_waiting in kinds {
            let work = move || {
                while let Some(job) = next_job(plan, shared, is_waiting, started) {
                    if !report(labs, &job, shared, is_waiting, show) {
                        return;
                    }
                }
                lock(shared).working[usize::from(is_waiting)] -= 1;
            };
            lock(shared).working[usize::from(is_waiting)] += 1;
            if let Err(e) = thread::spawn_scoped(scope, work) {
                lock(shared).one_less(is_waiting, LabFailed::from(e).into());
                break;
            }
        }
    });
    let (mut total, stopped) = {
        let mut shared = lock(shared);
        (std::mem::take(&mut shared.total), shared.stopped.take())
    };
    total.interrupted = interrupt::caught();
    let ended = match stopped {
        Some(Stopped::Lab(Broken::Interrupted)) | None => Ok(()),
        Some(_) if total.interrupted => Ok(()),
        Some(stopped) => Err(stopped),
    };
    (total, ended)
}

/// The next numbers for a lab, if there is more to do.
fn next_job(plan: &Plan, shared: &Mutex<Shared>, waiting: bool, started: Instant) -> Option<Job> {
    let mut shared = lock(shared);
    let left = match plan.time {
        Some(time) => time.checked_sub(started.elapsed()).filter(|left| !left.is_zero())?,
        None => WAITING_REPORTS_AFTER,
    };
    let has_found = !shared.total.findings.is_empty() || !shared.total.left.is_empty();
    if shared.stopped.is_some() || interrupt::caught() || plan.fail_fast && has_found {
        return None;
    }
    let numbers = shared.next_numbers(plan, waiting)?;
    let waiting = numbers.waiting;
    let report = if waiting { WAITING_REPORTS_AFTER } else { REPORTS_AFTER };
    let time = left.min(report).as_millis() as u64;
    let (recipe, seen) = (plan.recipe.clone(), shared.seen.clone());
    let rest = plan.rest.as_millis() as u64;
    let corpus = shared.corpus.clone();
    Some(Job::Explore { recipe, numbers, time, rest, seen, corpus })
}

/// Has a lab do a job, and adds what it reports to the total. Says whether to go on.
fn report(
    labs: &Labs,
    job: &Job,
    shared: &Mutex<Shared>,
    is_waiting: bool,
    show: &impl Fn(&Total),
) -> bool {
    let mut explored = explored(labs, job);
    let is_alone = || lock(shared).working.iter().sum::<usize>() == 1;
    if matches!(explored, Err(Stopped::Lab(Broken::Exhausted { .. }))) && is_alone() {
        // What is left of others' labs may be in the way.
        labs.wait();
        explored = self::explored(labs, job);
    }
    let mut shared = lock(shared);
    match explored {
        Ok(explored) => {
            shared.add(explored, job);
            show(&shared.total);
            true
        }
        Err(why) => {
            if let Job::Explore { numbers, .. } = job {
                shared.unfinished.push(numbers.clone());
            }
            shared.one_less(is_waiting, why);
            false
        }
    }
}

fn explored(labs: &Labs, job: &Job) -> Result<Explored, Stopped> {
    let returned = labs.run(&job.work(), DEADLINE).map_err(Stopped::Lab)?;
    let reported = returned.parse::<Reported<Explored>>();
    Ok(reported.map_err(|e| Stopped::Inside(e.to_string()))??)
}

impl Shared {
    /// The next numbers for somebody who does those that wait, or the others. Where there was room
    /// for nobody who does the other ones, they are done in turn.
    fn next_numbers(&mut self, plan: &Plan, waiting: bool) -> Option<Numbers> {
        let other_is_wanted = waiting || plan.recipe.wait_every > 0;
        if !other_is_wanted || self.working[usize::from(!waiting)] > 0 {
            return self.numbers(plan, waiting);
        }
        self.did_others = !self.did_others;
        let first = waiting ^ self.did_others;
        self.numbers(plan, first).or_else(|| self.numbers(plan, !first))
    }

    fn numbers(&mut self, plan: &Plan, waiting: bool) -> Option<Numbers> {
        if let Some(at) = self.unfinished.iter().position(|numbers| numbers.waiting == waiting) {
            return Some(self.unfinished.swap_remove(at));
        }
        let first = self.next[usize::from(waiting)];
        let last = plan.count.map_or(u64::MAX, |count| plan.seed.saturating_add(count));
        let block = if waiting { plan.recipe.wait_every * WAITING_BLOCK } else { BLOCK };
        let end = first.saturating_add(block).min(last);
        self.next[usize::from(waiting)] = end;
        (first < end).then_some(Numbers { first, end, waiting })
    }

    /// A thread ends: where there was no room for its lab, the others go on, if there are any.
    fn one_less(&mut self, is_waiting: bool, why: Stopped) {
        self.working[usize::from(is_waiting)] -= 1;
        let at_a_time = self.working.iter().sum();
        match why {
            Stopped::Lab(Broken::Exhausted { of, call }) if at_a_time > 0 => {
                self.total.fewer = Some(Fewer { at_a_time, of, call });
            }
            other => drop(self.stopped.get_or_insert(other)),
        }
    }

    fn add(&mut self, explored: Explored, job: &Job) {
        let total = &mut self.total;
        total.histories += explored.histories;
        total.steps += explored.steps;
        total.too_slow += explored.too_slow;
        total.met.extend(explored.met);
        for (signature, times) in explored.disagreements {
            *total.disagreements.entry(signature).or_default() += times;
        }
        for finding in explored.findings {
            // Another lab may have found it meanwhile.
            if self.seen.insert(finding.signature.clone()) {
                total.findings.push(finding);
            }
        }
        if let Some(corpus) = &mut self.corpus {
            for news in &explored.news {
                corpus.add(news);
            }
            total.covered = Some(Covered { places: corpus.places(), kept: corpus.kept() });
        }
        let Job::Explore { numbers, .. } = job else { return };
        if explored.left > 0 {
            total.left.push((numbers.clone(), explored.left));
        }
        let unfinished = Numbers { first: explored.next, ..numbers.clone() };
        if unfinished.first < unfinished.end {
            self.unfinished.push(unfinished);
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plays one history in a lab of its own.
///
/// # Errors
/// The lab broke.
pub fn replay(
    labs: &Labs,
    history: &History,
    bugs: &BTreeSet<ModelBug>,
) -> Result<Replayed, Stopped> {
    let job = Job::Replay { history: history.clone(), bugs: bugs.clone() };
    let returned = labs.run(&job.work(), DEADLINE).map_err(Stopped::Lab)?;
    returned
        .parse::<Reported<Replayed>>()
        .map_err(|e| Stopped::Inside(e.to_string()))?
        .map_err(Stopped::from)
}

/// Fewest and most histories that the model alone goes through to find out what can be met. In an
/// emulator each costs tens of milliseconds.
const OF_THE_MODEL: std::ops::RangeInclusive<u64> = 200..=4000;

/// What the model meets by itself, in histories of this recipe, about as many as were `played`: each
/// step in each situation, and what comes of it.
pub fn situations_of_the_model(recipe: &Recipe, played: u64) -> BTreeSet<String> {
    let mut met = BTreeSet::new();
    for number in 0..played.clamp(*OF_THE_MODEL.start(), *OF_THE_MODEL.end()) {
        let history = recipe.history(number);
        let mut model = Model::new(recipe.bugs.clone(), &history.slots);
        for step in &history.steps {
            let situation = model.situation(step);
            met.insert(met_in(&situation, &model.step(step)));
        }
    }
    met
}
