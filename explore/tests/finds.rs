//! Whether exploring finds the known bugs: a model that has one stands for the kernel. What is found
//! is as short as a person can read.

use std::collections::BTreeSet;
use std::convert::Infallible;

use explore::generate::Recipe;
use explore::history::History;
use explore::model::{Model, ModelBug};
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

/// Whether a kernel with the bug shows something else in a history.
fn shows(history: &History, bug: ModelBug) -> bool {
    let mut model = Model::new(BTreeSet::new(), &history.slots);
    let mut kernel = Model::new(BTreeSet::from([bug]), &history.slots);
    history.steps.iter().any(|step| model.step(step) != kernel.step(step))
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
    let found = (1..=HISTORIES).find(|number| shows(&recipe.history(*number), bug));
    let number = found.expect("a history shows it");
    let history = recipe.history(number);
    // As `explore` does: it knows by the model what the kernel's doing is like.
    let disagrees = |candidate: &History| -> Result<bool, Infallible> { Ok(shows(candidate, bug)) };
    let Ok(reduced) = reduce(&history, &recipe.bugs, REDUCTIONS, disagrees);
    println!("{bug}: {} acts of history {number}, reduced:\n{reduced}", history.steps.len());
    assert!(shows(&reduced, bug));
    assert!(reduced.steps.len() <= ACTS, "{} acts", reduced.steps.len());
    // A file of it is read as the same history.
    assert_eq!(reduced.to_string().parse(), Ok(reduced));
}
