//! For each bug that the model can have, a history that shows whether a kernel has it.

use std::collections::BTreeSet;

use harness::process::Labs;

use crate::drive::Played;
use crate::history::History;
use crate::model::ModelBug;
use crate::run::{Stopped, replay};

/// The steps of the history that shows a bug.
fn steps(bug: ModelBug) -> &'static str {
    match bug {
        ModelBug::LostWakeUp => {
            "set net.ipv4.tcp_migrate_req 1
             listen A backlog 4
             syn C1
             ack C1
             listen B backlog 4
             close A"
        }
        ModelBug::ResetRequestOffTargetCount => {
            "set net.ipv4.tcp_migrate_req 1
             listen A backlog 4
             syn C1
             listen B backlog 4
             close A
             reset C1
             syn C2"
        }
        ModelBug::OldRequestCountedTwice => {
            "set net.ipv4.tcp_migrate_req 1
             set net.ipv4.tcp_synack_retries 0
             listen A backlog 4
             syn C1
             listen B backlog 4
             close A
             wait
             syn C2"
        }
        ModelBug::InexactResetEndsRequest => {
            "listen A backlog 4
             syn C1
             reset-in-window C1"
        }
        ModelBug::FastOpenCountNotMoved => {
            "set net.ipv4.tcp_migrate_req 1
             listen A backlog 4 fast-open 1
             fast-open-syn C1 1
             listen B backlog 4 fast-open 1
             close A
             fast-open-syn C2 1"
        }
    }
}

/// The history that shows a bug.
pub fn history(bug: ModelBug) -> History {
    let text = format!("sockmig history 1\nclients 0 0\n{}", steps(bug));
    text.parse().expect("a history")
}

/// Whether the history of a bug shows that this kernel has it: the model agrees with the kernel
/// if it has the bug, too, and not otherwise.
///
/// # Errors
/// The lab broke.
pub fn shows(labs: &Labs, bug: ModelBug) -> Result<bool, Stopped> {
    let history = history(bug);
    let agrees = |bugs| Ok(replay(labs, &history, &bugs)?.played == Played::Agrees);
    Ok(!agrees(BTreeSet::new())? && agrees(BTreeSet::from([bug]))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    /// With the bug, the last step is seen differently, and no step before it.
    #[test]
    fn each_bug_is_seen_in_the_last_step_of_its_history() {
        for bug in ModelBug::ALL {
            let history = history(bug);
            let mut well = Model::new(BTreeSet::new(), &history.slots);
            let mut ill = Model::new(BTreeSet::from([bug]), &history.slots);
            let (last, others) = history.steps.split_last().expect("steps");
            for step in others {
                assert_eq!(well.step(step), ill.step(step), "{bug}: {step}");
            }
            assert_ne!(well.step(last), ill.step(last), "{bug}");
        }
    }
}
