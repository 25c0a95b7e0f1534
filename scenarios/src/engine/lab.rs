//! The half of the engine that is in a lab: runs one case, or probes the kernel.

use std::time::Duration;

use harness::Resource;
use harness::kernel::Kernel;
use harness::lab::Lab;
use harness::net::sysctl::MIGRATE_REQ;
use harness::process::{Broken, Labs, Returned};
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
        id => match catalogue::find(id) {
            Some(selected) => match perform(&selected) {
                Ok((seen, pcapng)) => {
                    let slow = witness::awake() >= SHORTEST_TIMER;
                    Returned::json(&LabResult::Ok(LabRun { seen, slow }), pcapng)
                }
                Err(e) => Returned::json(&LabResult::Err(LabFailure::of(&e)), vec![]),
            },
            None => {
                let (reason, kind) = (format!("no case {id}"), FailureKind::Broke);
                Returned::json(&LabResult::Err(LabFailure { reason, kind }), vec![])
            }
        },
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
    Ok((Observed { observation, trace }, pcapng))
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
