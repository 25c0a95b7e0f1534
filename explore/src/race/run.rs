//! Pairs, one after the other, since each needs two processors; those that wait for timers need them
//! for an instant.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use harness::Family;
use harness::process::{Labs, interrupt, thread};

use crate::job::{LabFailed, Reported};
use crate::model::ModelBug;
use crate::race::job::{PairReport, RaceJob};
use crate::race::pair::Pair;
use crate::run::Stopped;

/// How long a lab may take besides its rounds.
const DEADLINE: Duration = Duration::from_secs(60);

/// What is raced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RacePlan {
    /// The pairs.
    pub pairs: Vec<Pair>,
    /// IPv4, IPv6, or both.
    pub families: Vec<Family>,
    /// For how long each one with each family and each setting.
    pub time: Duration,
    /// The same of those that wait for timers, which are raced at the same time.
    pub waiting_time: Duration,
    /// When no further pair begins, if there is such a time; until then the time that is left is
    /// shared among those that are left.
    pub until: Option<Instant>,
    /// Decides how far apart the acts begin.
    pub seed: u64,
    /// The bugs that the model has, too.
    pub bugs: BTreeSet<ModelBug>,
}

/// What came of one pair with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairResult {
    /// The pair.
    pub pair: Pair,
    /// IPv4 or IPv6.
    pub family: Family,
    /// `net.ipv4.tcp_migrate_req`.
    pub migrates: bool,
    /// What its lab reports.
    pub report: PairReport,
}

/// A pair with this long at least, with each setting, says something.
pub const LEAST: Duration = Duration::from_millis(100);

/// A round that waits for timers takes this long or longer.
const WAITS: Duration = Duration::from_secs(1);

/// Has every pair raced, and hands over what came of each; an interrupt ends it early, and so does
/// the time. Pairs that wait for timers do so all at once, when the others are over. Those that were
/// not reached in time are returned; the first one always is.
///
/// # Errors
/// A lab broke.
pub fn race(
    labs: &Labs,
    plan: &RacePlan,
    mut take: impl FnMut(PairResult),
) -> Result<Vec<(Pair, Family)>, Stopped> {
    let all = plan.pairs.iter().flat_map(|pair| plan.families.iter().map(move |f| (*pair, *f)));
    let (waiting, others): (Vec<_>, Vec<_>) = all.partition(|(pair, _)| pair.waits());
    let is_short = plan.until.is_some() && plan.waiting_time < WAITS && !others.is_empty();
    let (waiting, mut not_reached) = if is_short { (vec![], waiting) } else { (waiting, vec![]) };
    let for_waiting = if waiting.is_empty() { Duration::ZERO } else { 2 * plan.waiting_time };
    // How long a lab takes besides its rounds, by the one before.
    let mut besides = Duration::ZERO;
    for (at, (pair, family)) in others.iter().copied().enumerate() {
        if interrupt::caught() {
            return Ok(vec![]);
        }
        let now = Instant::now();
        let time = match plan.until {
            None => plan.time,
            Some(until) => {
                let left = until.saturating_duration_since(now).saturating_sub(for_waiting);
                if left.is_zero() && at > 0 {
                    not_reached.splice(0..0, others[at..].iter().copied());
                    break;
                }
                let each = left / (others.len() - at) as u32;
                (each.saturating_sub(besides) / 2).max(LEAST)
            }
        };
        let results = race_one(labs, plan, time, (pair, family))?;
        let lacks_processors = results.iter().any(|result| result.report.lacks_processors);
        results.into_iter().for_each(&mut take);
        if lacks_processors {
            return Ok(vec![]);
        }
        besides = now.elapsed().saturating_sub(2 * time);
    }
    if interrupt::caught() {
        return Ok(vec![]);
    }
    std::thread::scope(|scope| {
        let begun: Vec<_> = waiting
            .into_iter()
            .map(|which| {
                thread::spawn_scoped(scope, move || race_one(labs, plan, plan.waiting_time, which))
            })
            .collect();
        // One that broke takes nothing from the others.
        let mut ended = Ok(());
        for thread in begun {
            let raced = match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(e) => Err(LabFailed::from(e).into()),
            };
            match raced {
                Ok(results) => results.into_iter().for_each(&mut take),
                Err(why) => ended = ended.and(Err(why)),
            }
        }
        ended
    })?;
    Ok(not_reached)
}

/// Has one pair raced for a time, without migration and with it.
fn race_one(
    labs: &Labs,
    plan: &RacePlan,
    time: Duration,
    (pair, family): (Pair, Family),
) -> Result<[PairResult; 2], Stopped> {
    let job = RaceJob {
        pair: pair.name.to_owned(),
        family,
        time: time.as_millis() as u64,
        seed: plan.seed,
        bugs: plan.bugs.clone(),
    };
    let returned = labs.run(&job.work(), 2 * time + DEADLINE).map_err(Stopped::Lab)?;
    let [off, on] = returned
        .parse::<Reported<[PairReport; 2]>>()
        .map_err(|e| Stopped::Inside(e.to_string()))?
        .map_err(Stopped::from)?;
    Ok([(false, off), (true, on)].map(|(migrates, report)| PairResult {
        pair,
        family,
        migrates,
        report,
    }))
}
