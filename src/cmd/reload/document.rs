//! `reload.json`: everything that was measured, and what it means.

use harness::kernel::Migration;
use harness::load::Outcome;
use reload::cause::LossCause;
use reload::row::{Proof, ReloadRow, Summary};
use reload::strategy::ListenerEffect;
use reload::window::Window;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cmd::reload::measure::Measured;
use crate::cmd::reload::plan::{ReloadPlan, Skipped};
use crate::exit::Exit;
use crate::output::consumer::Environment;

/// The version of the document's form.
pub const SCHEMA: u32 = 2;

/// What `sockmig reload` found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadDocument {
    /// The version of the form of this document.
    pub schema: u32,
    /// The version of sockmig that wrote it.
    pub sockmig: String,
    /// Where it ran.
    pub environment: Environment,
    /// What made handshakes last.
    pub window: Window,
    /// Strategies whose servers speak first. Clients that wait for that and lose their handshakes
    /// are not reset: they wait until they give up.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub server_speaks_first: Vec<String>,
    /// How long they were in flight, measured, in milliseconds.
    pub window_ms: Option<f64>,
    /// Clients in a second.
    pub rate: u32,
    /// Reloads that were planned for each row.
    pub reloads: u32,
    /// Whether all of them were done.
    pub complete: bool,
    /// What the zeros are worth.
    pub validity: Validity,
    /// What the load itself cost.
    pub load: Overhead,
    /// Off and on of each strategy.
    pub rows: Vec<Summary>,
    /// What could not be measured here.
    pub skipped: Vec<Skipped>,
    /// What went wrong in the laboratory.
    pub errors: Vec<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// What the zeros of a run are worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum Validity {
    /// What had to be lost without migration was lost.
    Valid,
    /// No strategy lost at least half of it; or one lost so little that it cannot be chance.
    Invalid {
        /// The strategies that lost too little.
        strategies: Vec<String>,
    },
    /// Nothing that was measured can lose anything, so that no zero is proof.
    Unproven,
    /// With migration off so few were to be lost that chance decides, though not fewer were lost
    /// than half of them.
    TooFew {
        /// The strategies of which that is so.
        strategies: Vec<String>,
    },
}

/// What the load itself cost.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Overhead {
    /// How late clients came, by the schedule: the 99th percentile in the worst lab, in
    /// milliseconds.
    pub lag_ms: f64,
    /// Processor time for each client, in microseconds.
    pub processor_us: f64,
}

impl ReloadDocument {
    /// What a document says of what was measured.
    pub fn of(plan: &ReloadPlan, environment: Environment, measured: &Measured) -> Self {
        let rows: Vec<Summary> = measured.rows.iter().filter_map(ReloadRow::summary).collect();
        Self {
            schema: SCHEMA,
            sockmig: env!("CARGO_PKG_VERSION").into(),
            environment,
            window: plan.window,
            server_speaks_first: plan.server_speaks_first(),
            window_ms: measured.window_ms(),
            rate: plan.rate,
            reloads: plan.reloads,
            complete: !measured.interrupted,
            validity: Validity::of(&rows),
            load: Overhead {
                lag_ms: f64::from(measured.lag_us) / 1e3,
                processor_us: measured.processor_us,
            },
            rows,
            skipped: plan.skipped.clone(),
            errors: measured.errors.clone(),
            took_ms: measured.took.as_millis() as u64,
        }
    }

    /// As text, with a line end.
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("a document can be written as JSON") + "\n"
    }

    /// The row of the same strategy with the other setting.
    pub fn pair(&self, row: &Summary) -> Option<&Summary> {
        self.rows
            .iter()
            .find(|other| other.strategy == row.strategy && other.migrate_req != row.migrate_req)
    }

    /// Whether clients came late by more than a handshake lasts.
    pub fn is_too_busy(&self) -> bool {
        self.window_ms.is_some_and(|window| self.load.lag_ms > window)
    }

    /// Clients that were lost by nothing that is known. On a machine that is too busy those that gave up
    /// waiting are not among them: who was to answer may not have had its turn.
    fn unexplained(&self, row: &Summary) -> u64 {
        let of = |outcome| row.outcomes.get(&outcome).copied().unwrap_or_default();
        let gave_up = of(Outcome::TimedOutConnecting) + of(Outcome::TimedOutWaiting);
        let excused = if self.is_too_busy() { gave_up } else { 0 };
        row.lost_by(LossCause::Unexplained).saturating_sub(excused)
    }

    /// Whether something was to migrate, had somebody to migrate to, and did not help; or a client
    /// was lost by nothing that is known to happen then.
    pub fn deviates(&self, row: &Summary) -> bool {
        let works = self.environment.kernel.migration() == Migration::Works;
        // Whether a server's listeners are of one group is known of those that are no strangers.
        let is_known = row.effect != ListenerEffect::Observed;
        works
            && is_known
            && row.could_migrate()
            && (row.lost_as_without_migration() || self.unexplained(row) > 0)
    }

    /// What the command ends with.
    pub fn exit(&self) -> Exit {
        if !self.complete {
            return Exit::Interrupted;
        }
        if self.rows.iter().any(|row| self.deviates(row)) {
            return Exit::Deviates;
        }
        match (&self.validity, self.errors.is_empty()) {
            (Validity::Invalid { .. }, _) | (_, false) => Exit::Unavailable,
            _ if self.rows.is_empty() => Exit::NothingRan,
            _ => Exit::Expected,
        }
    }
}

impl Validity {
    /// What the zeros among these rows are worth.
    pub fn of(rows: &[Summary]) -> Self {
        let has = |proof| rows.iter().any(|row| row.proof == proof);
        let those = |is: &dyn Fn(&Summary) -> bool| -> Vec<String> {
            rows.iter().filter(|row| is(row)).map(|row| row.strategy.clone()).collect()
        };
        let short = those(&Summary::lost_too_few);
        let few = those(&|row| row.proof == Proof::TooFew);
        match (has(Proof::Invalid), has(Proof::Lost)) {
            (true, _) => Self::Invalid { strategies: short },
            (false, true) => Self::Valid,
            (false, false) if !short.is_empty() => Self::Invalid { strategies: short },
            (false, false) if !few.is_empty() => Self::TooFew { strategies: few },
            (false, false) => Self::Unproven,
        }
    }
}
