//! Where model and kernel differ, and whether that is what a known bug does.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::model::{Difference, Model, ModelBug, Seen};

/// Where model and kernel differ, for the first time in a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The index of the step.
    pub at: usize,
    /// In what.
    pub differences: Vec<Difference>,
    /// The bug that the model has not, and with which it would say what the kernel did.
    pub like: Option<ModelBug>,
}

impl Disagreement {
    /// At the step of this index: what a model with these bugs says, and what the kernel did.
    pub(super) fn new(
        history: &History,
        bugs: &BTreeSet<ModelBug>,
        at: usize,
        (model, kernel): (&Seen, &Seen),
    ) -> Self {
        let differences = model.differences(kernel);
        let like = ModelBug::ALL.into_iter().find(|bug| {
            !bug.needs_two_processors()
                && !bugs.contains(bug)
                && explains(*bug, history, bugs, at, kernel)
        });
        Self { at, differences, like }
    }
}

/// Whether a model that has one more bug says what the kernel did, at this step and at each before
/// it.
fn explains(
    bug: ModelBug,
    history: &History,
    bugs: &BTreeSet<ModelBug>,
    at: usize,
    kernel: &Seen,
) -> bool {
    let mut without = Model::new(bugs.clone(), &history.slots);
    let mut with = Model::new(bugs | &BTreeSet::from([bug]), &history.slots);
    // Up to here the kernel did what the model without the bug says.
    let agree = history.steps[..at].iter().all(|step| with.step(step) == without.step(step));
    agree && with.step(&history.steps[at]).differences(kernel).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const HISTORY: &str = "sockmig history 1\nclients 0 0\nset net.ipv4.tcp_migrate_req 1\n\
                           set net.ipv4.tcp_synack_retries 0\nlisten A backlog 4\n\
                           listen B backlog 4\nsyn C1\nclose A\nwait\nsyn C2\n";

    /// What a kernel with the first bugs does at the first step at which a model with the others says
    /// something else.
    fn disagreement(kernel: &[ModelBug], model: &[ModelBug]) -> Option<Disagreement> {
        let history: History = HISTORY.parse().expect("a history");
        let bugs: BTreeSet<ModelBug> = model.iter().copied().collect();
        let mut kernel = Model::new(kernel.iter().copied().collect(), &history.slots);
        let mut model = Model::new(bugs.clone(), &history.slots);
        history.steps.iter().enumerate().find_map(|(at, step)| {
            let (model, kernel) = (model.step(step), kernel.step(step));
            (model != kernel).then(|| Disagreement::new(&history, &bugs, at, (&model, &kernel)))
        })
    }

    #[rstest]
    #[case::one_that_it_lacks(
        &[ModelBug::OldRequestCountedTwice], &[], Some(Some(ModelBug::OldRequestCountedTwice))
    )]
    #[case::beside_another(
        &[ModelBug::LostWakeUp, ModelBug::OldRequestCountedTwice], &[ModelBug::LostWakeUp],
        Some(Some(ModelBug::OldRequestCountedTwice))
    )]
    #[case::one_too_many(&[], &[ModelBug::OldRequestCountedTwice], Some(None))]
    #[case::none(&[], &[], None)]
    fn a_known_bug_is_recognised(
        #[case] kernel: &[ModelBug],
        #[case] model: &[ModelBug],
        #[case] expected: Option<Option<ModelBug>>,
    ) {
        assert_eq!(disagreement(kernel, model).map(|found| found.like), expected);
    }
}
