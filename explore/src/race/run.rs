//! Pairs, one after the other: each needs two processors.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::Family;
use harness::process::{Labs, interrupt};

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

/// Has every pair raced, and hands over what came of each; an interrupt ends it early.
///
/// # Errors
/// A lab broke.
pub fn race(labs: &Labs, plan: &RacePlan, mut take: impl FnMut(PairResult)) -> Result<(), Stopped> {
    for pair in &plan.pairs {
        for family in plan.families.iter().copied() {
            if interrupt::caught() {
                return Ok(());
            }
            let job = RaceJob {
                pair: pair.name.to_owned(),
                family,
                time: plan.time.as_millis() as u64,
                seed: plan.seed,
                bugs: plan.bugs.clone(),
            };
            let deadline = 2 * plan.time + DEADLINE;
            let returned = labs.run(&job.work(), deadline).map_err(Stopped::Lab)?;
            let reports = returned
                .parse::<Reported<[PairReport; 2]>>()
                .map_err(|e| Stopped::Inside(e.to_string()))?
                .map_err(Stopped::Inside)?;
            let lacks_processors = reports.iter().any(|report| report.lacks_processors);
            for (migrates, report) in [false, true].into_iter().zip(reports) {
                take(PairResult { pair: *pair, family, migrates, report });
            }
            if lacks_processors {
                return Ok(());
            }
        }
    }
    Ok(())
}
