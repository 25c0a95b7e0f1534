//! What is measured, in which order, and how long that takes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use harness::kernel::{Kernel, Migration};
use reload::job::Job;
use reload::strategy::Strategy;
use reload::window::{FirstToSpeak, Window};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cli::ReloadArguments;

/// How many clients a zero must stand for.
const ENOUGH_CLIENTS: u32 = 10_000;

/// How many reloads of each setting a lab does at most, before another strategy's turn.
const TURN: u32 = 2;

const DEFAULT_RELOADS: u32 = 20;
const DEFAULT_RATE: u32 = 1000;

/// A quick run: at most this many reloads, and this long.
const QUICK_RELOADS: u32 = 4;
const QUICK: Duration = Duration::from_secs(16);

/// What a worker may be busy with accepting, of every hundred seconds.
const BUSY: u64 = 80;

/// What is measured.
pub struct ReloadPlan {
    /// Whose turns there are.
    pub strategies: Vec<Strategy>,
    /// Who cannot be measured here.
    pub skipped: Vec<Skipped>,
    /// Reloads of each strategy with each setting.
    pub reloads: u32,
    /// Clients in a second.
    pub rate: u32,
    /// What makes handshakes last.
    pub window: Window,
    /// Whether there is a setting to switch.
    pub migrates: bool,
    workers: u32,
    pause: Duration,
    quick: bool,
}

/// A strategy that cannot be measured here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Skipped {
    /// The strategy's id.
    pub strategy: String,
    /// Why not, and what can be done about it.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.strategy, self.reason)
    }
}

/// What clap cannot know of the command line.
///
/// # Errors
/// What makes no sense, in a sentence.
pub fn check(arguments: &ReloadArguments) -> Result<(), String> {
    let rate = rate(arguments);
    let busy = u64::from(rate) * u64::from(arguments.pause) / u64::from(arguments.workers);
    let most = BUSY * 10_000;
    if busy > most {
        let slowest = most * u64::from(arguments.workers) / u64::from(rate);
        return Err(format!(
            "--pause {} is too long: {} workers cannot accept {rate} clients a second then; \
             take {slowest} or less, or fewer clients with --rate",
            arguments.pause, arguments.workers
        ));
    }
    Ok(())
}

/// Beginnings of the names that are wanted: real servers take too long to be quick.
pub fn wanted(arguments: &ReloadArguments) -> Vec<String> {
    match arguments.quick && arguments.strategies.is_empty() {
        true => vec!["own/".into()],
        false => arguments.strategies.clone(),
    }
}

fn rate(arguments: &ReloadArguments) -> u32 {
    arguments.rate.unwrap_or(DEFAULT_RATE)
}

impl ReloadPlan {
    /// Plans what the command line asks for.
    pub fn new(
        arguments: &ReloadArguments,
        selection: Vec<Strategy>,
        window: Window,
        kernel: &Kernel,
    ) -> Self {
        let rate = rate(arguments);
        let (mut strategies, mut skipped) = (Vec::new(), Vec::new());
        for strategy in selection {
            match strategy.missing(kernel) {
                None => strategies.push(strategy),
                Some(unmet) => {
                    skipped.push(Skipped { strategy: strategy.id, reason: unmet.to_string() });
                }
            }
        }
        let mut plan = Self {
            strategies,
            skipped,
            reloads: arguments.reloads.unwrap_or(DEFAULT_RELOADS),
            rate,
            window,
            migrates: kernel.migration() != Migration::Absent,
            workers: arguments.workers,
            pause: Duration::from_micros(arguments.pause.into()),
            quick: arguments.quick,
        };
        if arguments.quick {
            let fits = |reloads: &u32| {
                plan.reloads = *reloads;
                plan.takes() <= QUICK
            };
            plan.reloads = (1..=QUICK_RELOADS).rev().find(fits).unwrap_or(1);
        }
        plan
    }

    /// How many clients a second a strategy gets.
    pub fn rate_of(&self, strategy: &Strategy) -> u32 {
        strategy.most.map_or(self.rate, |most| most.min(self.rate))
    }

    /// Servers that get fewer clients than others, and how many.
    pub fn fewer(&self) -> BTreeMap<&str, u32> {
        let fewer = self.strategies.iter().filter(|s| self.rate_of(s) < self.rate);
        fewer.map(|s| (s.id.split('/').next().unwrap_or(&s.id), self.rate_of(s))).collect()
    }

    /// Strategies whose servers speak first.
    pub fn server_speaks_first(&self) -> Vec<String> {
        let such = self.strategies.iter().filter(|s| s.first_to_speak() == FirstToSpeak::Server);
        such.map(|strategy| strategy.id.clone()).collect()
    }

    /// How long a reload takes at least so that a zero stands for enough clients.
    fn period(&self, strategy: &Strategy) -> Duration {
        if self.quick {
            return strategy.takes;
        }
        // A little more than enough: the first and the last client may be cut off.
        let clients = f64::from(self.rate_of(strategy) * self.reloads);
        let each = f64::from(ENOUGH_CLIENTS) * 1.05 / clients;
        // Who asks for a few reloads does not want them to take all day.
        let longest = if self.reloads < DEFAULT_RELOADS { 1.0 } else { f64::MAX };
        Duration::from_secs_f64(each.min(longest)).max(strategy.takes)
    }

    /// What labs do, in order: strategies in turns, and each one's settings in an order that
    /// a drift of the machine hits alike.
    pub fn jobs(&self) -> Vec<(&Strategy, Job)> {
        let mut jobs = Vec::new();
        let mut left = self.reloads;
        let mut first = false;
        while left > 0 {
            let turn = left.min(TURN);
            for strategy in &self.strategies {
                jobs.push((strategy, self.job(strategy, turn, first)));
            }
            left -= turn;
            first = !first;
        }
        jobs
    }

    fn job(&self, strategy: &Strategy, turn: u32, first: bool) -> Job {
        let pairs = (0..turn).flat_map(|number| match number % 2 {
            0 => [first, !first],
            _ => [!first, first],
        });
        let settings = match self.migrates {
            true => pairs.collect(),
            false => vec![false; turn as usize],
        };
        Job {
            strategy: strategy.id.clone(),
            server: strategy.definition().cloned(),
            settings,
            rate: self.rate_of(strategy),
            window: self.window,
            workers: self.workers,
            pause: self.pause,
            period: self.period(strategy),
        }
    }

    /// About how long all of it takes.
    pub fn takes(&self) -> Duration {
        self.jobs().iter().map(|(_, job)| job.takes()).sum()
    }
}
