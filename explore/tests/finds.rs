//! Whether exploring finds the known bugs: a model that has one stands for the kernel. What is found
//! is as short as a person can read.

use std::collections::BTreeSet;
use std::convert::Infallible;

use explore::generate::Recipe;
use explore::history::History;
use explore::model::{Aspect, Model, ModelBug};
use explore::reduce::reduce;
use rstest::rstest;

/// Ten minutes of a core, at fifty histories a second.
const HISTORIES: u64 = 30_000;

/// Every so-manieth history waits for timers, as on a host.
const WAIT_EVERY: u64 = 40;

/// As many acts a person reads at a glance.
const ACTS: usize = 8;

/// As often a history is played to make it shorter.
const REDUCTIONS: usize = 400;

/// The first act of a history of which a kernel with the bug shows something else, and in what.
fn shows(history: &History, bug: ModelBug) -> Option<(&'static str, BTreeSet<Aspect>)> {
    let mut model = Model::new(BTreeSet::new(), &history.slots);
    let mut kernel = Model::new(BTreeSet::from([bug]), &history.slots);
    history.steps.iter().find_map(|step| {
        let differences = model.step(step).differences(&kernel.step(step));
        let of: BTreeSet<Aspect> = differences.iter().map(|difference| difference.of).collect();
        (!of.is_empty()).then(|| (step.word(), of))
    })
}

#[rstest]
fn a_known_bug_is_found_and_reduced(
    #[values(
        ModelBug::LostWakeUp,
        ModelBug::ResetRequestOffTargetCount,
        ModelBug::OldRequestCountedTwice,
        ModelBug::InexactResetEndsRequest,
        ModelBug::FastOpenCountNotMoved
    )]
    bug: ModelBug,
) {
    let recipe = Recipe { only: vec![], bugs: BTreeSet::new(), wait_every: WAIT_EVERY };
    let mut seen = BTreeSet::new();
    for number in 1..=HISTORIES {
        let history = recipe.history(number);
        let Some(signature) = shows(&history, bug) else { continue };
        // As `explore` does: one of each kind is made shorter. Some bugs show in several ways.
        if !seen.insert(signature.clone()) {
            continue;
        }
        let disagrees = |candidate: &History| -> Result<bool, Infallible> {
            Ok(shows(candidate, bug).is_some_and(|other| other == signature))
        };
        let Ok(reduced) = reduce(&history, &recipe.bugs, REDUCTIONS, disagrees);
        assert_eq!(shows(&reduced, bug), Some(signature));
        if reduced.steps.len() <= ACTS {
            println!(
                "{bug}: {} acts of history {number}, reduced:\n{reduced}",
                history.steps.len()
            );
            // A file of it is read as the same history.
            assert_eq!(reduced.to_string().parse(), Ok(reduced));
            return;
        }
    }
    panic!("{bug} shows in {} ways, of which none is short", seen.len());
}
