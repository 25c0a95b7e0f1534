//! How a selection is run: how often, how many at a time, and for how long.

use std::thread;
use std::time::Duration;

use harness::wait;

use crate::case::Selected;
use crate::engine::failure_limit::FailureLimit;
use crate::engine::requirement::Patience;
use crate::judge::builtin::builtin;
use crate::judge::known::KnownList;

/// How to run a selection.
#[derive(Debug, Clone, Copy)]
pub struct RunPlan {
    /// How many times everything is run.
    pub rounds: u32,
    /// How many labs there are at a time.
    pub jobs: usize,
    /// How many there are besides, of cases that wait for a timer of the kernel and need
    /// nothing meanwhile.
    pub waiting: usize,
    /// When a case hangs; [`default_deadline`] if nobody says.
    pub deadline: Option<Duration>,
    /// When no more cases are begun, although some are left.
    pub failure_limit: Option<FailureLimit>,
    /// Which timers are waited for.
    pub patience: Patience,
    /// What is known to differ by kernel. A user's list is read once, for the whole program.
    pub known: &'static KnownList,
}

impl Default for RunPlan {
    /// Once, with as many labs as is good, for as long as the environment says.
    fn default() -> Self {
        let jobs = default_jobs();
        Self {
            rounds: 1,
            jobs,
            waiting: waiting_for_timers(jobs),
            deadline: None,
            failure_limit: None,
            patience: Patience::of_environment(),
            known: builtin(),
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

/// How many labs may wait for timers in addition to `jobs` others: enough for all of the list on a
/// machine of two cores, so that one second is waited once. None in addition to one that is to be
/// alone.
pub fn waiting_for_timers(jobs: usize) -> usize {
    if jobs == 1 { 0 } else { 3 * jobs }
}

/// A case that takes longer than this beyond the timers it waits for hangs. Three waits
/// of a case may run into their own deadlines before.
pub fn default_deadline(selected: &Selected) -> Duration {
    selected.case.waits_for + wait::deadline() * 3
}
