//! Holds what a kernel does in a history against the model: where they differ, and whether that is
//! what a known bug does.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::model::{Difference, Model, ModelBug, Seen};
use crate::step::Step;

/// What came of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Played {
    /// The kernel did what the model says.
    Agrees,
    /// It did something else: once at least. After each that is like a known bug, the model has that
    /// bug, too, and the history goes on; any other one is the last.
    Disagrees(Vec<Disagreement>),
    /// A step was taken so late that timers may have fired: nothing was learned.
    TooSlow,
}

/// Where model and kernel differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The index of the step.
    pub at: usize,
    /// In what.
    pub differences: Vec<Difference>,
    /// The bug that the model has not, and with which it would say what the kernel did.
    pub like: Option<ModelBug>,
}

/// A history that is being played, and what was found so far.
pub(super) struct Comparison<'h> {
    history: &'h History,
    /// What the model has, with those that were met.
    bugs: BTreeSet<ModelBug>,
    pub(super) model: Model,
    /// The index of the next step; the number of steps if there is none.
    at: usize,
    met: Vec<Disagreement>,
}

impl<'h> Comparison<'h> {
    /// At its beginning, with a model that has these bugs.
    pub(super) fn new(history: &'h History, bugs: &BTreeSet<ModelBug>) -> Self {
        let model = Model::new(bugs.clone(), &history.slots);
        Self { history, bugs: bugs.clone(), model, at: 0, met: vec![] }
    }

    /// The next step, if there is one: with one bug more, the model may not know what comes of a step.
    pub(super) fn next(&self) -> Option<&'h Step> {
        self.history.steps.get(self.at).filter(|step| self.model.allows(step))
    }

    /// Whether the next step is the history's last one.
    pub(super) fn is_at_the_last(&self) -> bool {
        self.at + 1 == self.history.steps.len()
    }

    /// The step was taken: what the model says, and what the kernel did.
    pub(super) fn compare(&mut self, model: &Seen, kernel: &Seen) {
        let at = self.at;
        self.at += 1;
        if model == kernel {
            return;
        }
        let disagreement = Disagreement::new(self.history, &self.bugs, at, (model, kernel));
        match disagreement.like {
            Some(bug) => {
                self.bugs.insert(bug);
                let steps = &self.history.steps[..self.at];
                self.model = Model::after(&self.bugs, &self.history.slots, steps);
            }
            // What comes later says nothing: model and kernel have not the same any more.
            None => self.at = self.history.steps.len(),
        }
        self.met.push(disagreement);
    }

    /// What came of it.
    pub(super) fn played(self) -> Played {
        if self.met.is_empty() { Played::Agrees } else { Played::Disagrees(self.met) }
    }
}

impl Disagreement {
    /// At the step of this index: what a model with these bugs says, and what the kernel did.
    fn new(
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
    let mut before = history.steps[..at].iter();
    let last = &history.steps[at];
    before.all(|step| with.allows(step) && with.step(step) == without.step(step))
        && with.allows(last)
        && with.step(last).differences(kernel).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    use ModelBug::{LostWakeUp, OldRequestCountedTwice};

    const HISTORY: &str = "sockmig history 1\nclients 0 0 0\nset net.ipv4.tcp_migrate_req 1\n\
                           set net.ipv4.tcp_synack_retries 0\nlisten A backlog 4\n\
                           listen B backlog 4\nsyn C1\nack C1\nsyn C2\nclose A\nwait\nsyn C3\n";

    /// What is found of a kernel with the first bugs by a model with the others.
    fn found(kernel: &[ModelBug], model: &[ModelBug]) -> Vec<Option<ModelBug>> {
        let history: History = HISTORY.parse().expect("a history");
        let mut kernel = Model::new(kernel.iter().copied().collect(), &history.slots);
        let mut comparison = Comparison::new(&history, &model.iter().copied().collect());
        while let Some(step) = comparison.next() {
            let says = comparison.model.step(step);
            comparison.compare(&says, &kernel.step(step));
        }
        match comparison.played() {
            Played::Disagrees(met) => met.iter().map(|found| found.like).collect(),
            Played::Agrees | Played::TooSlow => vec![],
        }
    }

    #[rstest]
    #[case::none(&[], &[], &[])]
    #[case::one_that_it_lacks(&[LostWakeUp], &[], &[Some(LostWakeUp)])]
    #[case::beyond_another(
        &[LostWakeUp, OldRequestCountedTwice], &[],
        &[Some(LostWakeUp), Some(OldRequestCountedTwice)]
    )]
    #[case::beside_one_that_it_has(
        &[LostWakeUp, OldRequestCountedTwice], &[LostWakeUp], &[Some(OldRequestCountedTwice)]
    )]
    // Nothing is compared after what is like no bug.
    #[case::one_too_many(&[OldRequestCountedTwice], &[LostWakeUp], &[None])]
    fn a_known_bug_is_named_and_does_not_hide_others(
        #[case] kernel: &[ModelBug],
        #[case] model: &[ModelBug],
        #[case] expected: &[Option<ModelBug>],
    ) {
        assert_eq!(found(kernel, model), expected);
    }
}
