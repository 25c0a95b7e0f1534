//! The half of the engine that is in a lab: runs one case, or probes the kernel.

use std::time::Duration;

use harness::Resource;
use harness::kernel::Kernel;
use harness::lab::Lab;
use harness::net::sysctl::MIGRATE_REQ;
use harness::process::{Broken, Labs, Returned};
use harness::wait::{Awaited, RanOut};
use harness::{net::witness, process::entry, wait};
use serde::{Deserialize, Serialize};

use crate::case::{Migration, Need, Selected};
use crate::catalogue;
use crate::engine::outcome::Observed;

/// The work that probes the kernel instead of running a case. No case has this id.
const PROBE: &str = "?";

/// Does a lab's work if this process is a lab, and never returns then. Must be the first
/// thing in `main` of every program that runs cases.
pub fn enter_if_lab() {
    entry::enter(lab_work);
}

/// What a lab does whose work is `work`.
pub fn lab_work(work: &str) -> Returned {
    match work {
        PROBE => Returned::json(&Kernel::probe().map_err(|e| LabFailure::of(&e)), vec![]),
        work => run_case(&CaseWork::parse(work)),
    }
}

fn run_case(work: &CaseWork) -> Returned {
    let CaseWork { id, shortened } = work;
    wait::shorten(shortened);
    match catalogue::find(id) {
        Some(selected) => match perform(&selected) {
            Ok((seen, pcapng)) => {
                let slow = witness::awake() >= SHORTEST_TIMER;
                Returned::json(&LabResult::Ok(LabRun { seen, slow }), pcapng)
            }
            Err(e) => {
                let failure = LabFailure::of(&e).after(&wait::ran_out());
                Returned::json(&LabResult::Err(failure), vec![])
            }
        },
        None => {
            let (reason, kind) = (format!("no case {id}"), FailureKind::Broke);
            Returned::json(&LabResult::Err(LabFailure { reason, kind }), vec![])
        }
    }
}

/// A case to run, and what to wait for shorter than usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CaseWork {
    pub(crate) id: String,
    pub(crate) shortened: Vec<Awaited>,
}

impl CaseWork {
    /// As it travels: the id alone where every wait is as long as usual. No id has a space.
    pub(crate) fn work(&self) -> String {
        match self.shortened.as_slice() {
            [] => self.id.clone(),
            these => {
                let these = serde_json::to_string(these).expect("names can be written as JSON");
                format!("{} {these}", self.id)
            }
        }
    }

    fn parse(work: &str) -> Self {
        let (id, these) = work.split_once(' ').unwrap_or((work, "[]"));
        Self { id: id.to_owned(), shortened: serde_json::from_str(these).unwrap_or_default() }
    }
}

/// What a lab returns.
pub(crate) type LabResult = Result<LabRun, LabFailure>;

/// What was seen, and how well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabRun {
    pub(crate) seen: Observed,
    /// The lab worked, or waited for a processor, for so long that a timer of the kernel may
    /// have fired which the case has no part for. A kernel that keeps it waiting does not make
    /// it slow.
    pub(crate) slow: bool,
}

/// The shortest timer of the kernel that a connection has (TCP_RTO_MIN).
const SHORTEST_TIMER: Duration = Duration::from_millis(200);

/// Why nothing was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabFailure {
    pub(crate) reason: String,
    pub(crate) kind: FailureKind,
}

/// What another lab may do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FailureKind {
    /// Nothing.
    Broke,
    /// It was too slow, which another one need not be.
    TooSlow,
    /// There was too little of something, of which there is more when fewer run at a time.
    Lacks(Resource),
}

impl LabFailure {
    fn of(error: &harness::Error) -> Self {
        let kind = match (error, error.lacks()) {
            (harness::Error::TooSlow { .. }, _) => FailureKind::TooSlow,
            (_, Some(of)) => FailureKind::Lacks(of),
            (_, None) => FailureKind::Broke,
        };
        Self { reason: error.to_string(), kind }
    }

    /// The same after waits that were in vain: where the kernel has kept it waiting so long that
    /// a timer fired, another lab would be kept waiting as long.
    fn after(self, vain_waits: &[RanOut]) -> Self {
        match self.kind {
            FailureKind::TooSlow if !vain_waits.is_empty() => {
                Self { kind: FailureKind::Broke, ..self }
            }
            FailureKind::TooSlow | FailureKind::Broke | FailureKind::Lacks(_) => self,
        }
    }
}

/// Runs a case in the lab that this process is.
fn perform(selected: &Selected) -> harness::Result<(Observed, Vec<u8>)> {
    let mut lab = Lab::open(selected.setting.family)?;
    let value = if selected.setting.migration == Migration::On { 1 } else { 0 };
    lab.describe(&format!("{}: {MIGRATE_REQ} = {value}", selected.id()));
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
    let vain_waits = wait::ran_out();
    Ok((Observed { observation, trace, vain_waits }, pcapng))
}

/// Probes the kernel in a lab of its own.
///
/// # Errors
/// There can be no lab here.
pub fn probe(labs: &Labs) -> Result<Kernel, Broken> {
    let returned = labs.run(PROBE, wait::deadline())?;
    let probed: Result<Kernel, LabFailure> =
        returned.parse().map_err(|e| Broken::Setup(e.to_string()))?;
    probed.map_err(|LabFailure { reason, kind }| match kind {
        FailureKind::Lacks(of) => Broken::Exhausted { of, call: reason },
        FailureKind::Broke | FailureKind::TooSlow => Broken::Setup(reason),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_that_waited_in_vain_is_not_tried_again() {
        let slow = || LabFailure::of(&harness::Error::TooSlow { what: "a timer fired".into() });
        let waited = std::time::Duration::from_secs(10);
        let wait = RanOut { awaited: Awaited::SocketsFreed, waited, shortened: false };
        assert_eq!(slow().after(&[]).kind, FailureKind::TooSlow);
        assert_eq!(slow().after(&[wait]).kind, FailureKind::Broke);
    }

    #[test]
    fn what_is_to_be_shortened_comes_with_the_case() {
        let id = "quiz1/v4/on".to_owned();
        for shortened in [vec![], vec![Awaited::SocketsFreed, Awaited::Segment]] {
            let work = CaseWork { id: id.clone(), shortened };
            assert_eq!(CaseWork::parse(&work.work()), work);
        }
        assert_eq!(CaseWork { id: id.clone(), shortened: vec![] }.work(), id);
    }
}
