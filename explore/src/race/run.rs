//! Pairs, one after the other, since each needs two processors; those that wait for timers need them
//! for an instant.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::time::Duration;

use harness::Family;
use harness::process::{Labs, interrupt, thread};

use crate::job::Reported;
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

/// Has every pair raced, and hands over what came of each; an interrupt ends it early. Pairs that
/// wait for timers do so all at once, when the others are over.
///
/// # Errors
/// A lab broke.
pub fn race(labs: &Labs, plan: &RacePlan, mut take: impl FnMut(PairResult)) -> Result<(), Stopped> {
    let all = plan.pairs.iter().flat_map(|pair| plan.families.iter().map(move |f| (*pair, *f)));
    let (waiting, others): (Vec<_>, Vec<_>) = all.partition(|(pair, _)| pair.waits());
    for (pair, family) in others {
        if interrupt::caught() {
            return Ok(());
        }
        let results = race_one(labs, plan, pair, family)?;
        let lacks_processors = results.iter().any(|result| result.report.lacks_processors);
        results.into_iter().for_each(&mut take);
        if lacks_processors {
            return Ok(());
        }
    }
    if interrupt::caught() {
        return Ok(());
    }
    std::thread::scope(|scope| {
        let begun: Vec<_> = waiting
            .into_iter()
            .map(|(pair, family)| {
                thread::spawn_scoped(scope, move || race_one(labs, plan, pair, family))
            })
            .collect();
        // One that broke takes nothing from the others.
        let mut ended = Ok(());
        for thread in begun {
            let raced = match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                Err(e) => Err(Stopped::Inside(e.to_string())),
            };
            match raced {
                Ok(results) => results.into_iter().for_each(&mut take),
                Err(why) => ended = ended.and(Err(why)),
            }
        }
        ended
    })
}

/// Has one pair raced, without migration and with it.
fn race_one(
    labs: &Labs,
    plan: &RacePlan,
    pair: Pair,
    family: Family,
) -> Result<[PairResult; 2], Stopped> {
    let time = if pair.waits() { plan.waiting_time } else { plan.time };
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
        .map_err(Stopped::Inside)?;
    Ok([(false, off), (true, on)].map(|(migrates, report)| PairResult {
        pair,
        family,
        migrates,
        report,
    }))
}
