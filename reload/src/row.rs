//! The result of all reloads of one strategy with one setting: a line of the table.

use std::collections::BTreeMap;

use harness::load::Outcome;
use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::account::ReloadFound;
use crate::cause::{LossCause, Losses};
use crate::counters::{ABORTED, DROPPED, FAILED};
use crate::estimate::{Estimate, chance_of_at_most};
use crate::strategy::ListenerEffect;

/// How many must be lost so that losing half of them, or more, is no chance.
const ENOUGH_TO_TELL: f64 = 4.0;

/// What is less likely is no chance.
const UNLIKELY: f64 = 1e-4;

/// Latencies are kept to a thousandth, up to a minute.
const LONGEST_US: u64 = 60_000_000;

/// Reloads of one strategy with one setting.
#[derive(Debug, Clone)]
pub struct ReloadRow {
    /// The strategy's id.
    pub strategy: String,
    /// What it does to listeners.
    pub effect: ListenerEffect,
    /// Whether `tcp_migrate_req` was on.
    pub on: bool,
    outcomes: BTreeMap<Outcome, u64>,
    lost: Vec<u64>,
    rate: u32,
    expected: f64,
    queued: u64,
    closed: u64,
    emptied: u64,
    reset_at_close: u64,
    close_us: Vec<u64>,
    quiet: Histogram<u64>,
    near: Histogram<u64>,
    counters: BTreeMap<String, i64>,
    lost_at_ms: Vec<f64>,
}

/// A row as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// The strategy's id.
    pub strategy: String,
    /// What it does to listeners.
    pub effect: ListenerEffect,
    /// Whether `tcp_migrate_req` was on.
    pub migrate_req: bool,
    /// How many clients came in a second.
    pub rate: u32,
    /// How many reloads there were.
    pub reloads: u64,
    /// How many clients came in their time.
    pub attempts: u64,
    /// Their outcomes; the numbers add up to the attempts.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How many got no answer, at each reload.
    pub lost_per_reload: Estimate,
    /// How many must be lost at each if nothing migrates; none of those who drain, whose
    /// listeners get no clients before they close.
    pub expected_per_reload: f64,
    /// How many children at each waited in the queues of listeners that closed, and must be lost
    /// as well if nothing migrates.
    pub queued_per_reload: f64,
    /// How many listeners closed at each.
    pub closed_per_reload: f64,
    /// In how many reloads a close left no other listener. Nothing in documents of before it was
    /// counted.
    #[serde(default)]
    pub emptied: Option<u64>,
    /// Why clients were lost that could have migrated, and how many; the numbers add up to those
    /// that were lost. Nothing where nobody was, where nothing migrates, and in documents of before
    /// it was counted.
    #[serde(default)]
    pub causes: BTreeMap<LossCause, u64>,
    /// From the order to stop until the last listener was gone, in milliseconds: the median
    /// and the longest. Nothing where no listener closes.
    pub close_ms: Option<(f64, f64)>,
    /// From SYN to the first byte of the answer, in milliseconds, of clients that no reload
    /// concerned.
    pub quiet_ms: Option<Latency>,
    /// The same, of those that a reload could concern.
    pub near_ms: Option<Latency>,
    /// By how much counters grew in all.
    pub counters: BTreeMap<String, i64>,
    /// Says whether the number of losses proves anything.
    pub proof: Proof,
}

/// How long clients waited.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// The 99.9th percentile.
    pub p99_9: f64,
}

/// Whether what a row lost proves anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// With migration off: it lost what had to be lost, at least half of it.
    Lost,
    /// With migration off, fewer were lost than half of what had to be, which is no chance: the
    /// window was not open, and no zero of the run means anything.
    Invalid,
    /// There was nothing that could be lost.
    NothingToLose,
    /// With migration off, so few had to be lost that chance decided.
    TooFew,
    /// A program migrates, whatever the setting: worth as much as rows of others with
    /// migration off.
    ByOthers,
    /// Migration was on: worth as much as the strategy's row with migration off.
    ByItsPair,
}

impl ReloadRow {
    /// A row without reloads.
    pub fn new(strategy: &str, effect: ListenerEffect, on: bool, rate: u32) -> Self {
        let histogram = || Histogram::new_with_max(LONGEST_US, 3).expect("fixed bounds");
        Self {
            strategy: strategy.to_owned(),
            effect,
            on,
            outcomes: BTreeMap::new(),
            lost: vec![],
            rate,
            expected: 0.0,
            queued: 0,
            closed: 0,
            emptied: 0,
            reset_at_close: 0,
            close_us: vec![],
            quiet: histogram(),
            near: histogram(),
            counters: BTreeMap::new(),
            lost_at_ms: vec![],
        }
    }

    /// Adds a reload.
    pub fn add(&mut self, found: &ReloadFound) {
        for (outcome, count) in &found.outcomes {
            *self.outcomes.entry(*outcome).or_default() += count;
        }
        for (counter, grown) in &found.counters {
            *self.counters.entry(counter.clone()).or_default() += grown;
        }
        self.lost.push(found.lost());
        if self.effect != ListenerEffect::CloseWhenIdle {
            self.expected += found.expected;
            self.queued += found.queued;
        }
        self.closed += u64::from(found.closed);
        self.emptied += u64::from(found.emptied);
        self.reset_at_close += found.reset_at_close;
        self.close_us.extend(found.close_us);
        self.lost_at_ms.extend(&found.lost_at_ms);
        for (latencies, histogram) in
            [(&found.quiet_us, &mut self.quiet), (&found.near_us, &mut self.near)]
        {
            latencies.iter().for_each(|us| histogram.saturating_record((*us).into()));
        }
    }

    /// When clients were lost, in milliseconds from the order to stop.
    pub fn lost_at_ms(&self) -> &[f64] {
        &self.lost_at_ms
    }

    /// How many reloads it has.
    pub fn reloads(&self) -> usize {
        self.lost.len()
    }

    /// Latencies of the clients that a reload could concern, in microseconds.
    pub fn near(&self) -> &Histogram<u64> {
        &self.near
    }

    /// The row as data; nothing while it has no reload.
    pub fn summary(&self) -> Option<Summary> {
        let lost_per_reload = Estimate::of(&self.lost)?;
        let reloads = self.lost.len() as f64;
        let mut close_us = self.close_us.clone();
        close_us.sort_unstable();
        let median = close_us.get(close_us.len() / 2);
        let close_ms = median.zip(close_us.last());
        let summary = Summary {
            strategy: self.strategy.clone(),
            effect: self.effect,
            migrate_req: self.on,
            rate: self.rate,
            reloads: self.lost.len() as u64,
            attempts: self.outcomes.values().sum(),
            outcomes: self.outcomes.clone(),
            lost_per_reload,
            expected_per_reload: self.expected / reloads,
            queued_per_reload: self.queued as f64 / reloads,
            closed_per_reload: self.closed as f64 / reloads,
            emptied: Some(self.emptied),
            causes: BTreeMap::new(),
            close_ms: close_ms
                .map(|(median, longest)| (*median as f64 / 1e3, *longest as f64 / 1e3)),
            quiet_ms: Latency::of(&self.quiet),
            near_ms: Latency::of(&self.near),
            counters: self.counters.clone(),
            proof: self.proof(),
        };
        let causes = match summary.could_migrate() {
            true => self.losses(&summary).causes(),
            false => BTreeMap::new(),
        };
        Some(Summary { causes, ..summary })
    }

    fn losses(&self, summary: &Summary) -> Losses {
        let of = |outcome| self.outcomes.get(&outcome).copied().unwrap_or_default();
        Losses {
            lost: summary.lost(),
            by_server: summary.lost_by_server(),
            reset: of(Outcome::ResetWaiting),
            reset_at_close: self.reset_at_close,
            timed_out: of(Outcome::TimedOutConnecting) + of(Outcome::TimedOutWaiting),
            failed: summary.counted(FAILED),
            dropped: summary.counted(DROPPED),
        }
    }

    fn proof(&self) -> Proof {
        let lost = self.lost.iter().sum::<u64>();
        match (self.on, self.expected) {
            (_, expected)
                if expected > 0.0 && self.effect == ListenerEffect::CloseAndProgramMigrates =>
            {
                Proof::ByOthers
            }
            (true, _) => Proof::ByItsPair,
            (false, expected) if expected <= 0.0 => Proof::NothingToLose,
            (false, expected) if expected < ENOUGH_TO_TELL => Proof::TooFew,
            (false, expected) if lost as f64 >= expected / 2.0 => Proof::Lost,
            (false, expected) if chance_of_at_most(lost, expected) < UNLIKELY => Proof::Invalid,
            (false, _) => Proof::TooFew,
        }
    }
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self { p50: at(0.5), p99_9: at(0.999) })
    }
}

impl Summary {
    /// What it does to listeners: as is known of the strategy, else as was seen.
    pub fn seen_effect(&self) -> ListenerEffect {
        match self.effect {
            ListenerEffect::Observed if self.closed_per_reload == 0.0 => ListenerEffect::StayOpen,
            ListenerEffect::Observed if self.emptied == Some(0) => ListenerEffect::Close,
            ListenerEffect::Observed if self.emptied.is_some() => {
                ListenerEffect::CloseLeavingNobody
            }
            known => known,
        }
    }

    /// How many clients got no answer.
    pub fn lost(&self) -> u64 {
        self.outcomes.iter().filter(|(outcome, _)| outcome.is_loss()).map(|(_, count)| count).sum()
    }

    /// How many of them the server itself had accepted, and then closed: with their requests
    /// unread, so that they were reset, or read.
    pub fn lost_by_server(&self) -> u64 {
        let closed = self.outcomes.get(&Outcome::Closed).copied().unwrap_or_default();
        (self.counted(ABORTED) + closed).min(self.lost())
    }

    /// By how much a counter has grown.
    fn counted(&self, counter: &str) -> u64 {
        let grown = self.counters.get(counter).copied().unwrap_or_default();
        u64::try_from(grown).unwrap_or_default()
    }

    /// Whether listeners closed from which connections migrate to others that stay.
    pub fn could_migrate(&self) -> bool {
        match self.seen_effect() {
            ListenerEffect::Close => self.migrate_req,
            ListenerEffect::CloseAndProgramMigrates => true,
            ListenerEffect::StayOpen
            | ListenerEffect::CloseWhenIdle
            | ListenerEffect::CloseLeavingNobody
            | ListenerEffect::Observed => false,
        }
    }

    /// How many clients were lost for a cause.
    pub fn lost_by(&self, cause: LossCause) -> u64 {
        self.causes.get(&cause).copied().unwrap_or_default()
    }

    /// Whether it is one of those with migration off that must lose something, and lost less
    /// than half of that.
    pub fn lost_too_few(&self) -> bool {
        match self.proof {
            Proof::Invalid => true,
            Proof::TooFew => (self.lost() as f64) < self.must() / 2.0,
            Proof::Lost | Proof::NothingToLose | Proof::ByOthers | Proof::ByItsPair => false,
        }
    }

    /// How many had to be lost at all reloads if nothing migrates.
    fn must(&self) -> f64 {
        self.expected_per_reload * self.reloads as f64
    }

    /// Whether the losses, those by the server aside, are as frequent as without migration.
    pub fn lost_as_without_migration(&self) -> bool {
        let must = self.must();
        must >= ENOUGH_TO_TELL && (self.lost() - self.lost_by_server()) as f64 >= must / 2.0
    }

    /// By how much a reload delayed clients, in milliseconds.
    pub fn added_ms(&self) -> Option<Latency> {
        let (quiet, near) = (self.quiet_ms?, self.near_ms?);
        let added = |near: f64, quiet: f64| (near - quiet).max(0.0);
        Some(Latency { p50: added(near.p50, quiet.p50), p99_9: added(near.p99_9, quiet.p99_9) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reload(lost: u64, expected: f64) -> ReloadFound {
        ReloadFound {
            outcomes: [(Outcome::Answered, 100), (Outcome::ResetWaiting, lost)].into(),
            expected,
            ..ReloadFound::default()
        }
    }

    fn proof(on: bool, reloads: &[(u64, f64)]) -> Proof {
        let mut row = ReloadRow::new("own/naive", ListenerEffect::Close, on, 1000);
        reloads.iter().for_each(|(lost, expected)| row.add(&reload(*lost, *expected)));
        row.summary().expect("reloads").proof
    }

    #[test]
    fn a_run_that_could_lose_and_did_not_proves_nothing() {
        assert_eq!(proof(false, &[(20, 20.0), (19, 20.0)]), Proof::Lost);
        assert_eq!(proof(false, &[(10, 20.0), (9, 20.0)]), Proof::TooFew);
        assert_eq!(proof(false, &[(10, 20.0), (8, 20.0)]), Proof::Invalid);
        assert_eq!(proof(false, &[(0, 2.0), (0, 2.0)]), Proof::TooFew);
        assert_eq!(proof(false, &[(0, 20.0)]), Proof::Invalid);
        assert_eq!(proof(false, &[(0, 0.0)]), Proof::NothingToLose);
        assert_eq!(proof(false, &[(0, 1.0), (1, 2.0)]), Proof::TooFew);
        assert_eq!(proof(true, &[(0, 20.0)]), Proof::ByItsPair);
    }

    /// Who could have migrated was lost by something; of the others nothing is said.
    #[test]
    fn causes_are_of_rows_in_which_something_migrates() {
        use ListenerEffect::{Close, CloseAndProgramMigrates, Observed, StayOpen};
        let causes = |effect, on, lost, at_close, emptied| {
            let mut row = ReloadRow::new("own/naive", effect, on, 1000);
            for _ in 0..2 {
                row.add(&ReloadFound {
                    reset_at_close: at_close,
                    closed: 1,
                    emptied,
                    ..reload(lost, 20.0)
                });
            }
            row.summary().expect("reloads").causes
        };
        let forgotten = |count| BTreeMap::from([(LossCause::ChildForgotten, count)]);
        assert_eq!(causes(Close, true, 0, 0, false), BTreeMap::new());
        assert_eq!(causes(Close, true, 1, 1, false), forgotten(2));
        assert_eq!(causes(Close, true, 7, 7, false), forgotten(14));
        assert_eq!(causes(CloseAndProgramMigrates, false, 1, 1, false), forgotten(2));
        assert_eq!(causes(Observed, true, 1, 1, false), forgotten(2));
        let elsewhere = BTreeMap::from([(LossCause::Unexplained, 2)]);
        assert_eq!(causes(Close, true, 1, 0, false), elsewhere);
        for (effect, on, emptied) in
            [(Close, false, false), (StayOpen, true, false), (Observed, true, true)]
        {
            assert_eq!(causes(effect, on, 1, 1, emptied), BTreeMap::new(), "{effect:?} {on}");
        }
    }

    #[test]
    fn outcomes_add_up_to_the_attempts() {
        let mut row = ReloadRow::new("own/naive", ListenerEffect::Close, false, 1000);
        assert!(row.summary().is_none());
        row.add(&reload(3, 4.0));
        row.add(&reload(5, 4.0));
        let summary = row.summary().expect("reloads");
        assert_eq!((summary.attempts, summary.lost(), summary.reloads), (208, 8, 2));
        assert_eq!(summary.lost_per_reload.mean, 4.0);
    }
}
