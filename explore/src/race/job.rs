//! What a lab is asked to do: rounds of one pair.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use harness::Family;
use harness::process::Returned;
use harness::process::at_once::TwoProcessors;
use serde::{Deserialize, Serialize};

use crate::drive::Driver;
use crate::drive::at_once::{Raced, Round, Swing};
use crate::drive::orders::{Neither, Order, Verdict};
use crate::drive::record::Recorded;
use crate::job::{LabFailed, Reported};
use crate::model::{Between, Difference, ModelBug};
use crate::race::pair::PAIRS;
use crate::race::stairs::Stairs;
use crate::race::sweep::{Sweep, Window};
use crate::step::Step;

/// How the work of a lab begins that is of this file.
const PREFIX: &str = "race ";

/// How many rounds that neither order explains are kept of each kind.
const KEPT: usize = 3;

/// What a lab is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaceJob {
    /// The pair, by its name.
    pub pair: String,
    /// IPv4 or IPv6.
    pub family: Family,
    /// For how long with each setting, in milliseconds.
    pub time: u64,
    /// Decides how far apart the acts begin.
    pub seed: u64,
    /// The bugs that the model has, too.
    pub bugs: BTreeSet<ModelBug>,
}

/// What a lab reports of one pair.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairReport {
    /// There is one processor alone: nothing was done.
    pub lacks_processors: bool,
    /// How many rounds were judged.
    pub rounds: u64,
    /// In how many of them the first act came first.
    pub first: u64,
    /// In how many the second one did.
    pub second: u64,
    /// In how many both orders look alike.
    pub either: u64,
    /// In how many it was something between them that healthy kernels leave open, and what.
    pub between: BTreeMap<Between, u64>,
    /// The first round with each of these, and by how many nanoseconds the second act began later.
    pub examples: BTreeMap<Between, (i64, Recorded)>,
    /// How many said nothing: a step was too late.
    pub too_slow: u64,
    /// Where the orders meet.
    pub window: Option<Window>,
    /// What neither order explains, by what it is like.
    pub neither: BTreeMap<String, NeitherReport>,
    /// The kernel disagreed with the model before the two acts.
    pub before: Option<(Step, Vec<Difference>)>,
    /// Sockets and requests that were left when all rounds were over.
    pub left: usize,
}

/// Rounds that neither order explains, and that are like each other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeitherReport {
    /// How many.
    pub times: u64,
    /// By how many nanoseconds the second act began later: at least, and at most.
    pub apart: (i64, i64),
    /// Some of them.
    pub kept: Vec<KeptRound>,
}

/// A round that neither order explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptRound {
    /// By how many nanoseconds the second act began later.
    pub apart: i64,
    /// In what it differs from what is possible.
    pub neither: Neither,
    /// What was done and sent.
    pub recorded: Option<Recorded>,
}

impl RaceJob {
    /// As a lab is given it.
    pub fn work(&self) -> String {
        let job = serde_json::to_string(self).expect("a job can be written as JSON");
        format!("{PREFIX}{job}")
    }
}

/// Does a lab's work, if it is of this file.
pub fn lab_work(work: &str) -> Option<Returned> {
    let job: RaceJob = serde_json::from_str(work.strip_prefix(PREFIX)?).ok()?;
    let reports: Reported<[PairReport; 2]> = race(&job).map_err(LabFailed::from);
    Some(Returned::json(&reports, vec![]))
}

/// Without migration, and with it.
fn race(job: &RaceJob) -> harness::Result<[PairReport; 2]> {
    let pair = PAIRS.iter().find(|pair| pair.name == job.pair);
    let pair = pair.ok_or_else(|| harness::Error::unreadable("the name of a pair", &*job.pair))?;
    let Some(two) = TwoProcessors::take()? else {
        let report = PairReport { lacks_processors: true, ..PairReport::default() };
        return Ok([report.clone(), report]);
    };
    let mut driver = Driver::open(job.family)?;
    Ok([
        rounds(&mut driver, &two, &pair.round(false), job)?,
        rounds(&mut driver, &two, &pair.round(true), job)?,
    ])
}

fn rounds(
    driver: &mut Driver,
    two: &TwoProcessors,
    round: &Round,
    job: &RaceJob,
) -> harness::Result<PairReport> {
    let started = Instant::now();
    let mut report = PairReport::default();
    let mut sweep = Sweep::new(job.seed);
    let mut stairs = Stairs::new(job.seed);
    let mut is_swapped = false;
    while started.elapsed() < Duration::from_millis(job.time) {
        let swing = Swing {
            apart: if round.waits() { stairs.next_distance() } else { sweep.next_distance() },
            is_swapped,
        };
        is_swapped = !is_swapped;
        match driver.race(round, &job.bugs, two, swing)? {
            Raced::TooSlow => report.too_slow += 1,
            Raced::Before(step, differences) => {
                report.before = Some((step, differences));
                break;
            }
            Raced::AtOnce { apart, verdict, recorded } => {
                stairs.add(apart, orders(&verdict));
                for order in orders(&verdict) {
                    sweep.add(apart, *order);
                }
                report.add(apart, verdict, recorded);
            }
        }
    }
    report.window = sweep.window();
    report.left = driver.left()?;
    Ok(report)
}

/// The orders that a round has shown to be possible.
fn orders(verdict: &Verdict) -> &'static [Order] {
    match verdict {
        Verdict::Order(Order::FirstBeforeSecond) => &[Order::FirstBeforeSecond],
        Verdict::Order(Order::SecondBeforeFirst) => &[Order::SecondBeforeFirst],
        Verdict::Between(Between::SomeTimers) => {
            &[Order::FirstBeforeSecond, Order::SecondBeforeFirst]
        }
        Verdict::Either | Verdict::Between(_) | Verdict::Neither(_) => &[],
    }
}

impl PairReport {
    fn add(&mut self, apart: i64, verdict: Verdict, recorded: Option<Recorded>) {
        self.rounds += 1;
        match verdict {
            Verdict::Order(Order::FirstBeforeSecond) => self.first += 1,
            Verdict::Order(Order::SecondBeforeFirst) => self.second += 1,
            Verdict::Either => self.either += 1,
            Verdict::Between(between) => {
                *self.between.entry(between).or_default() += 1;
                if let Some(recorded) = recorded {
                    self.examples.entry(between).or_insert((apart, recorded));
                }
            }
            Verdict::Neither(neither) => {
                let like = self
                    .neither
                    .entry(neither.signature())
                    .or_insert(NeitherReport { apart: (apart, apart), ..NeitherReport::default() });
                like.times += 1;
                like.apart = (like.apart.0.min(apart), like.apart.1.max(apart));
                if like.kept.len() < KEPT {
                    like.kept.push(KeptRound { apart, neither, recorded });
                }
            }
        }
    }
}
