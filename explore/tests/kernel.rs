//! The model and this kernel: histories that were made up, and those that show known bugs.
//!
//! `SOCKMIG_HISTORIES=100000 cargo test -p explore --test kernel` plays as many.

use std::collections::BTreeSet;
use std::process::ExitCode;

use explore::generate::Recipe;
use explore::job::lab_work;
use explore::model::ModelBug;
use explore::run::{Plan, explore};
use explore::witness;
use harness::process::{Labs, Returned};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    harness::process::entry::enter(|work| lab_work(work).unwrap_or_else(Returned::default));
    let arguments = Arguments::from_args();
    let trials = vec![Trial::test("histories_agree_with_the_model", histories_agree)];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The bugs that this kernel has, as their histories show.
fn bugs(labs: &Labs) -> Result<BTreeSet<ModelBug>, Failed> {
    let mut bugs = BTreeSet::new();
    for bug in ModelBug::ALL {
        if witness::shows(labs, bug)? {
            bugs.insert(bug);
        }
    }
    Ok(bugs)
}

fn histories_agree() -> Result<(), Failed> {
    let count = std::env::var("SOCKMIG_HISTORIES").ok().and_then(|count| count.parse().ok());
    let labs = Labs::default();
    let recipe = Recipe { only: vec![], bugs: bugs(&labs)?, wait_every: 40 };
    let plan = Plan {
        recipe,
        seed: 0,
        count: Some(count.unwrap_or(400)),
        time: None,
        jobs: 2,
        waiting_jobs: 8,
    };
    let started = std::time::Instant::now();
    let (total, ended) = explore(&labs, &plan, |_| {});
    ended?;
    let took = started.elapsed();
    eprintln!(
        "{:?}: {} histories, {} steps, {} too slow, met {}, in {took:?}",
        plan.recipe.bugs,
        total.histories,
        total.steps,
        total.too_slow,
        total.met.len()
    );
    let found: Vec<String> = total
        .findings
        .iter()
        .map(|finding| {
            let times = total.disagreements.get(&finding.signature.to_string());
            format!(
                "{} ({times:?} times)\n{}{:#?}",
                finding.signature, finding.history, finding.disagreement
            )
        })
        .collect();
    if !found.is_empty() || !total.left.is_empty() {
        return Err(format!("{}\nleft: {:?}", found.join("\n"), total.left).into());
    }
    Ok(())
}
