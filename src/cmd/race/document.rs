//! What was raced, as a document.

use std::collections::BTreeMap;

use explore::drive::orders::{Neither, Order, Possibility};
use explore::model::Difference;
use explore::race::job::NeitherReport;
use explore::race::run::{PairResult, RacePlan};
use harness::kernel::Kernel;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cmd::explore::document::{DifferenceDocument, differences};
use crate::exit::Exit;

/// The version of the document.
const VERSION: u32 = 1;

/// `sockmig race --format json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cmd) struct RaceDocument {
    /// The version of the form of this document.
    schema: u32,
    /// The kernel's release and build.
    kernel: String,
    seed: u64,
    known_bugs: Vec<&'static str>,
    pairs: Vec<PairDocument>,
    interrupted: bool,
}

/// A pair with one setting.
#[derive(Debug, Serialize, JsonSchema)]
struct PairDocument {
    /// Its name.
    pair: &'static str,
    /// The two acts, as a history has them.
    acts: [&'static str; 2],
    /// `v4` or `v6`.
    family: String,
    tcp_migrate_req: bool,
    /// How many rounds were judged.
    rounds: u64,
    first_before_second: u64,
    second_before_first: u64,
    /// Both orders look alike.
    either: u64,
    /// What happened between the two acts, by its name, and how often.
    between: BTreeMap<&'static str, u64>,
    /// Rounds that say nothing: an act was too late for the kernel's timers.
    too_slow: u64,
    /// For how many nanoseconds both orders were seen; less than zero is a gap.
    window_ns: Option<i64>,
    /// What nothing explains.
    neither: Vec<NeitherDocument>,
    /// The act before the two in which the kernel disagrees with the model.
    disagrees_before: Option<String>,
    /// Sockets or requests that were left.
    left: usize,
    #[serde(skip)]
    lacks_processors: bool,
}

/// Rounds that neither order explains.
#[derive(Debug, Serialize, JsonSchema)]
struct NeitherDocument {
    like: String,
    times: u64,
    /// By how many nanoseconds the second act began later: at least, and at most.
    apart_ns: [i64; 2],
    examples: Vec<ExampleDocument>,
}

/// One of them.
#[derive(Debug, Serialize, JsonSchema)]
struct ExampleDocument {
    apart_ns: i64,
    /// The act afterwards in which it was seen; none if it was seen of the two.
    at: Option<String>,
    possible: Vec<PossibilityDocument>,
}

/// What might have been, and in what it differs from what was seen.
#[derive(Debug, Serialize, JsonSchema)]
struct PossibilityDocument {
    /// `first-before-second`, `second-before-first`, or the name of something between them.
    what: &'static str,
    differences: Vec<DifferenceDocument>,
}

impl RaceDocument {
    pub(super) fn of(
        kernel: &Kernel,
        plan: &RacePlan,
        results: &[PairResult],
        interrupted: bool,
    ) -> Self {
        Self {
            schema: VERSION,
            kernel: kernel.to_string(),
            seed: plan.seed,
            known_bugs: plan.bugs.iter().map(|bug| bug.id()).collect(),
            pairs: results.iter().map(PairDocument::of).collect(),
            interrupted,
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document can be written as JSON")
    }

    pub(super) fn lacks_processors(&self) -> bool {
        self.pairs.iter().any(|pair| pair.lacks_processors)
    }

    pub(super) fn exit(&self) -> Exit {
        let deviates = self.pairs.iter().any(PairDocument::deviates);
        let rounds: u64 = self.pairs.iter().map(|pair| pair.rounds).sum();
        match (self.interrupted, deviates, rounds) {
            (true, ..) => Exit::Interrupted,
            (false, true, _) => Exit::Deviates,
            (false, false, 0) => Exit::NothingRan,
            (false, false, _) => Exit::Expected,
        }
    }
}

impl PairDocument {
    fn of(result: &PairResult) -> Self {
        let PairResult { pair, family, migrates, report } = result;
        Self {
            pair: pair.name,
            acts: pair.acts(),
            family: family.to_string(),
            tcp_migrate_req: *migrates,
            rounds: report.rounds,
            first_before_second: report.first,
            second_before_first: report.second,
            either: report.either,
            between: report
                .between
                .iter()
                .map(|(between, times)| (between.name(), *times))
                .collect(),
            too_slow: report.too_slow,
            window_ns: report.window.map(|window| window.wide()),
            neither: report.neither.iter().map(NeitherDocument::of).collect(),
            disagrees_before: report.before.as_ref().map(|(step, _)| step.to_string()),
            left: report.left,
            lacks_processors: report.lacks_processors,
        }
    }

    fn deviates(&self) -> bool {
        !self.neither.is_empty() || self.disagrees_before.is_some() || self.left > 0
    }
}

impl NeitherDocument {
    fn of((like, report): (&String, &NeitherReport)) -> Self {
        let (least, most) = report.apart;
        Self {
            like: like.clone(),
            times: report.times,
            apart_ns: [least, most],
            examples: report.kept.iter().map(ExampleDocument::of).collect(),
        }
    }
}

impl ExampleDocument {
    fn of((apart, neither): &(i64, Neither)) -> Self {
        let possibility = |(what, found): &(Possibility, Vec<Difference>)| PossibilityDocument {
            what: match what {
                Possibility::Order(Order::FirstBeforeSecond) => "first-before-second",
                Possibility::Order(Order::SecondBeforeFirst) => "second-before-first",
                Possibility::Between(between) => between.name(),
            },
            differences: differences(found),
        };
        Self {
            apart_ns: *apart,
            at: neither.at.map(|step| step.to_string()),
            possible: neither.possible.iter().map(possibility).collect(),
        }
    }
}
