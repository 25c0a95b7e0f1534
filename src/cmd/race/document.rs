//! What was raced, as a document.

use std::collections::BTreeMap;
use std::path::PathBuf;

use explore::drive::orders::{Order, Possibility};
use explore::drive::record::Recorded;
use explore::model::{Between, Difference};
use explore::race::job::{KeptRound, NeitherReport};
use explore::race::pair::Pair;
use explore::race::run::{PairResult, RacePlan};
use harness::Family;
use harness::kernel::Kernel;
use harness::trace::Line;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cmd::explore::document::{DifferenceDocument, differences};
use crate::cmd::machine_log::ComplaintDocument;
use crate::cmd::race::captures::Why;
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
    pub(super) pairs: Vec<PairDocument>,
    /// Pairs that were not raced: `--time` was over.
    not_reached: Vec<NotReachedDocument>,
    /// What the kernel's log complained of, if the pairs were raced in a machine.
    pub(super) complaints: Vec<ComplaintDocument>,
    interrupted: bool,
}

/// A pair that was not raced.
#[derive(Debug, Serialize, JsonSchema)]
struct NotReachedDocument {
    pair: &'static str,
    /// `v4` or `v6`.
    family: String,
}

/// `sockmig race --list --format json`.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cmd) struct PairsDocument {
    /// The version of the form of this document.
    schema: u32,
    pairs: Vec<ListedPairDocument>,
}

/// A pair that can be raced.
#[derive(Debug, Serialize, JsonSchema)]
struct ListedPairDocument {
    /// Its name.
    pair: &'static str,
    /// What happens at the same time.
    about: &'static str,
    /// The two acts, as a history has them.
    acts: [&'static str; 2],
}

impl PairsDocument {
    pub(super) fn of(pairs: &[Pair]) -> Self {
        let listed = |pair: &Pair| ListedPairDocument {
            pair: pair.name,
            about: pair.about,
            acts: pair.acts(),
        };
        Self { schema: VERSION, pairs: pairs.iter().map(listed).collect() }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document can be written as JSON")
    }
}

/// A pair with one setting.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PairDocument {
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
    /// What happened between the two acts that a healthy kernel has, by its name, and how often.
    between: BTreeMap<&'static str, u64>,
    /// The same of known bugs.
    known: BTreeMap<&'static str, u64>,
    /// The first round of each of both.
    pub(super) examples: BTreeMap<&'static str, RoundDocument>,
    /// Rounds that say nothing: an act was too late for the kernel's timers.
    too_slow: u64,
    /// For how many nanoseconds both orders were seen; less than zero is a gap.
    window_ns: Option<i64>,
    /// What nothing explains.
    pub(super) neither: Vec<NeitherDocument>,
    /// The act before the two in which the kernel disagrees with the model.
    disagrees_before: Option<String>,
    /// Sockets or requests that were left.
    left: usize,
    #[serde(skip)]
    lacks_processors: bool,
}

/// Rounds that neither order explains.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct NeitherDocument {
    like: String,
    times: u64,
    /// By how many nanoseconds the second act began later: at least, and at most.
    apart_ns: [i64; 2],
    pub(super) examples: Vec<ExampleDocument>,
}

/// One of them.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ExampleDocument {
    /// The act afterwards in which it was seen; none if it was seen of the two.
    at: Option<String>,
    possible: Vec<PossibilityDocument>,
    #[serde(flatten)]
    pub(super) round: RoundDocument,
}

/// What was done and sent in a round.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RoundDocument {
    /// By how many nanoseconds the second act began later.
    pub(super) apart_ns: i64,
    /// Segments and acts, as `sockmig run` has them.
    pub(super) trace: Vec<Line>,
    /// The acts in which it was seen, by their places in the trace.
    pub(super) seen_at: Vec<usize>,
    /// The capture, if it was kept.
    pub(super) capture: Option<PathBuf>,
}

/// Keeps the capture of a round under a title.
pub(super) type Keep<'k> = &'k mut dyn FnMut(&str, Why, &Recorded) -> Option<PathBuf>;

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
        pairs: Vec<PairDocument>,
        not_reached: &[(Pair, Family)],
        complaints: Vec<ComplaintDocument>,
        interrupted: bool,
    ) -> Self {
        let not_reached = not_reached.iter().map(|(pair, family)| NotReachedDocument {
            pair: pair.name,
            family: family.to_string(),
        });
        Self {
            schema: VERSION,
            kernel: kernel.to_string(),
            seed: plan.seed,
            known_bugs: plan.bugs.iter().map(|bug| bug.id()).collect(),
            pairs,
            not_reached: not_reached.collect(),
            complaints,
            interrupted,
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document can be written as JSON")
    }

    /// The pairs that were not raced, by their names and families.
    pub(super) fn not_reached(&self) -> Vec<String> {
        self.not_reached.iter().map(|one| format!("{} {}", one.pair, one.family)).collect()
    }

    pub(super) fn lacks_processors(&self) -> bool {
        self.pairs.iter().any(|pair| pair.lacks_processors)
    }

    /// Whether a round was one of a known bug.
    pub(super) fn meets_known_bugs(&self) -> bool {
        self.pairs.iter().any(|pair| !pair.known.is_empty())
    }

    pub(super) fn exit(&self) -> Exit {
        let deviates = self.pairs.iter().any(PairDocument::deviates) || !self.complaints.is_empty();
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
    /// `name` is that of the pair with its family and setting.
    pub(super) fn of(result: &PairResult, name: &str, keep: Keep<'_>) -> Self {
        let PairResult { pair, family, migrates, report } = result;
        let times = |is_bug: bool| {
            let rounds = report.between.iter();
            let its = rounds.filter(|(between, _)| between.bug().is_some() == is_bug);
            its.map(|(between, times)| (between.name(), *times)).collect()
        };
        let example = |(between, (apart, recorded)): (&Between, &(i64, Recorded))| {
            let title = format!("{name} {}", between.name());
            let capture = keep(&title, Why::Explained, recorded);
            (between.name(), RoundDocument::of(*apart, Some(recorded), capture))
        };
        let examples = report.examples.iter().map(example).collect();
        let mut number = 0;
        let mut neither = Vec::new();
        for found in &report.neither {
            neither.push(NeitherDocument::of(found, &mut |recorded| {
                number += 1;
                keep(&format!("{name} {number}"), Why::Neither, recorded)
            }));
        }
        Self {
            pair: pair.name,
            acts: pair.acts(),
            family: family.to_string(),
            tcp_migrate_req: *migrates,
            rounds: report.rounds,
            first_before_second: report.first,
            second_before_first: report.second,
            either: report.either,
            between: times(false),
            known: times(true),
            examples,
            too_slow: report.too_slow,
            window_ns: report.window.map(|window| window.wide()),
            neither,
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
    fn of(
        (like, report): (&String, &NeitherReport),
        keep: &mut dyn FnMut(&Recorded) -> Option<PathBuf>,
    ) -> Self {
        let (least, most) = report.apart;
        Self {
            like: like.clone(),
            times: report.times,
            apart_ns: [least, most],
            examples: report.kept.iter().map(|round| ExampleDocument::of(round, keep)).collect(),
        }
    }
}

impl ExampleDocument {
    fn of(kept: &KeptRound, keep: &mut dyn FnMut(&Recorded) -> Option<PathBuf>) -> Self {
        let KeptRound { apart, neither, recorded } = kept;
        let possibility = |(what, found): &(Possibility, Vec<Difference>)| PossibilityDocument {
            what: match what {
                Possibility::Order(Order::FirstBeforeSecond) => "first-before-second",
                Possibility::Order(Order::SecondBeforeFirst) => "second-before-first",
                Possibility::Between(between) => between.name(),
            },
            differences: differences(found),
        };
        Self {
            at: neither.at.map(|step| step.to_string()),
            possible: neither.possible.iter().map(possibility).collect(),
            round: RoundDocument::of(*apart, recorded.as_ref(), recorded.as_ref().and_then(keep)),
        }
    }
}

impl RoundDocument {
    fn of(apart_ns: i64, recorded: Option<&Recorded>, capture: Option<PathBuf>) -> Self {
        let (trace, seen_at) = recorded
            .map(|recorded| (recorded.trace.lines(), recorded.seen_at.clone()))
            .unwrap_or_default();
        Self { apart_ns, trace, seen_at, capture }
    }
}
