//! A verdict depends on no case that ran before: in any order it is the same, whether all labs
//! are forked from one process, or each from one of its own.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::process::ExitCode;

use harness::Family;
use harness::kernel::Kernel;
use harness::process::{ForkedFrom, Labs};
use libtest_mimic::{Arguments, Failed, Trial};
use scenarios::engine::{self, Event, RunPlan};
use scenarios::judge::Verdict;
use scenarios::judge::builtin::builtin;
use scenarios::{advice, catalogue};

fn main() -> ExitCode {
    engine::enter_if_lab();
    let trial = Trial::test("verdicts_are_the_same_in_any_order", || {
        let labs = Labs::default();
        let kernel = engine::probe(&labs).map_err(|broken| advice::no_lab(&broken))?;
        same_in_any_order(&kernel)
    });
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn same_in_any_order(kernel: &Kernel) -> Result<(), Failed> {
    let [one, each] = [ForkedFrom::One, ForkedFrom::OneEach].map(|from| {
        let seed = RandomState::new().hash_one("an order");
        (seed, verdicts(&Labs::forked_from(from), kernel, seed))
    });
    let differ = one.1.iter().filter(|(id, verdict)| each.1.get(*id) != Some(verdict));
    let differ: Vec<String> =
        differ.map(|(id, verdict)| format!("{id}: {verdict}, and {:?}", each.1.get(id))).collect();
    let seeds = format!("in the orders {} and {}", one.0, each.0);
    assert!(one.1.len() > 300 && one.1.len() == each.1.len(), "{} verdicts", one.1.len());
    match differ.is_empty() {
        true => Ok(()),
        false => Err(Failed::from(format!("{seeds}:\n{}", differ.join("\n")))),
    }
}

/// The verdicts of all cases of IPv4 that wait for no timer and do not depend on chance, run in the
/// order that `seed` makes.
fn verdicts(labs: &Labs, kernel: &Kernel, seed: u64) -> BTreeMap<String, String> {
    let mut selection = catalogue::all();
    let by_chance = |id: &str| builtin().about(id, kernel).iter().any(|row| row.facts.by_chance);
    selection.retain(|one| {
        let is_quick = one.setting.family == Family::V4 && one.case.waits_for.is_zero();
        is_quick && !by_chance(&one.id())
    });
    selection.sort_by_cached_key(|one| {
        let mut hasher = DefaultHasher::new();
        (seed, one.id()).hash(&mut hasher);
        hasher.finish()
    });
    let mut verdicts = BTreeMap::new();
    engine::run(labs, kernel, &selection, RunPlan::default(), |event| match event {
        Event::Finished(outcome) => {
            verdicts.insert(outcome.id, in_a_word(&outcome.verdict));
        }
        Event::Started { .. } | Event::Lacking { .. } | Event::Ended(_) => {}
    });
    verdicts
}

fn in_a_word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Pass { .. } => "ok".into(),
        Verdict::Skip { .. } => "skip".into(),
        Verdict::KnownBug { bug, .. } => format!("known: {}", bug.id),
        Verdict::Fail { .. } | Verdict::Error { .. } => format!("{verdict:?}"),
    }
}
