//! For each bug that the model can have, a history that shows whether a kernel has it.

use std::collections::BTreeSet;

use harness::process::Labs;

use crate::drive::Played;
use crate::history::History;
use crate::model::ModelBug;
use crate::run::{Stopped, replay};

/// The steps of the history that shows a bug, if one can.
fn steps(bug: ModelBug) -> Option<&'static str> {
    Some(match bug {
        ModelBug::ChildShutDown => return None,
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
    })
}

/// The history that shows a bug, if one can: some need two things at the same time.
pub fn history(bug: ModelBug) -> Option<History> {
    let text = format!("sockmig history 1\nclients 0 0\n{}", steps(bug)?);
    Some(text.parse().expect("a history"))
}

/// The bugs of a list that this kernel has, as their histories show: the model agrees with the
/// kernel if it has the bug, too, and not otherwise.
///
/// # Errors
/// A lab broke.
pub fn found(
    labs: &Labs,
    bugs: impl IntoIterator<Item = ModelBug>,
) -> Result<BTreeSet<ModelBug>, Stopped> {
    // A history may meet other bugs on its way: those that were found before.
    let mut found = BTreeSet::new();
    for bug in bugs {
        let Some(history) = history(bug) else { continue };
        let agrees = |bugs: &BTreeSet<ModelBug>| {
            replay(labs, &history, bugs).map(|it| it.played == Played::Agrees)
        };
        let with_it: BTreeSet<ModelBug> = found.iter().copied().chain([bug]).collect();
        if !agrees(&found)? && agrees(&with_it)? {
            found = with_it;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    /// With the bug, the last step is seen differently, and no step before it; whatever bugs
    /// stand before it in the list.
    #[test]
    fn each_bug_is_seen_in_the_last_step_of_its_history() {
        for (at, bug) in ModelBug::ALL.into_iter().enumerate() {
            for before in [&[][..], &ModelBug::ALL[..at]] {
                check(bug, before.iter().copied().collect());
            }
        }
    }

    fn check(bug: ModelBug, before: BTreeSet<ModelBug>) {
        let Some(history) = history(bug) else {
            assert!(bug.needs_two_processors(), "{bug}");
            return;
        };
        let with_it = before.iter().copied().chain([bug]).collect();
        let mut well = Model::new(before, &history.slots);
        let mut ill = Model::new(with_it, &history.slots);
        let (last, others) = history.steps.split_last().expect("steps");
        for step in others {
            assert_eq!(well.step(step), ill.step(step), "{bug}: {step}");
        }
        assert_ne!(well.step(last), ill.step(last), "{bug}");
    }
}
