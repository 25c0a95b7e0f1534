//! What closes cost, as a document.

use std::collections::BTreeMap;

use harness::kernel::Migration;
use reload::close_cost::{Closing, Cost};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::output::consumer::Environment;

/// What closes cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClosingDocument {
    /// The version of the form of this document.
    pub schema: u32,
    /// The version of sockmig that wrote it.
    pub sockmig: String,
    /// Where it ran.
    pub environment: Environment,
    /// How often each close was to be measured.
    pub rounds: u32,
    /// Whether all of them were.
    pub complete: bool,
    /// Off and on of each size.
    pub points: Vec<Point>,
    /// Sizes that there is no room for, and why.
    pub skipped: BTreeMap<u32, String>,
    /// What went wrong in the laboratory.
    pub errors: Vec<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Closes of listeners alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// How many children waited for `accept`.
    pub children: u32,
    /// Whether `tcp_migrate_req` was on.
    pub migrate_req: bool,
    /// How often it was measured.
    pub rounds: u32,
    /// How long `close()` took, in microseconds: the median,
    pub close_us: f64,
    /// the shortest,
    pub least_us: f64,
    /// and the longest.
    pub most_us: f64,
    /// Clients that were reset, as the wire says, of all rounds.
    pub reset: u64,
    /// The same, as the kernel counts (`OutRsts`).
    pub resets_sent: i64,
    /// Children that another listener had in its queue, of all rounds.
    pub queued: u64,
    /// Children that it accepted, of all rounds.
    pub accepted: u64,
    /// The same, as the kernel counts (`TCPMigrateReqSuccess`), if it does.
    pub migrated: Option<i64>,
    /// What TCP had charged for the children's segments, in bytes, before the close; the
    /// median.
    pub held_bytes: i64,
    /// The same after the close.
    pub left_bytes: i64,
    /// What children, requests and segments took of slabs, in bytes, before the close; the
    /// median. Nothing for a user who may not know.
    pub slab_bytes: Option<i64>,
}

impl Point {
    pub fn of(closing: Closing, costs: &[Cost]) -> Option<Self> {
        let times = sorted(costs.iter().map(|cost| cost.close_us));
        let median = |bytes: Vec<i64>| {
            let bytes = sorted(bytes.into_iter().map(|bytes| bytes as f64));
            bytes.get(bytes.len() / 2).map(|bytes| *bytes as i64)
        };
        let of = |bytes: fn(&Cost) -> i64| median(costs.iter().map(bytes).collect());
        let sum = |count: fn(&Cost) -> u64| costs.iter().map(count).sum();
        Some(Self {
            children: closing.children,
            migrate_req: closing.on,
            rounds: costs.len() as u32,
            close_us: *times.get(times.len() / 2)?,
            least_us: *times.first()?,
            most_us: *times.last()?,
            reset: sum(|cost| cost.reset),
            resets_sent: costs.iter().map(|cost| cost.resets_sent).sum(),
            queued: sum(|cost| cost.queued.into()),
            accepted: sum(|cost| cost.accepted.into()),
            migrated: costs.iter().map(|cost| cost.migrated).sum(),
            held_bytes: of(|cost| cost.held_bytes)?,
            left_bytes: of(|cost| cost.left_bytes)?,
            slab_bytes: median(costs.iter().filter_map(|cost| cost.slab_bytes).collect()),
        })
    }

    /// How many children there were in all.
    pub fn all(&self) -> u64 {
        u64::from(self.children) * u64::from(self.rounds)
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

impl ClosingDocument {
    /// As text, with a line end.
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("a document can be written as JSON") + "\n"
    }

    /// Whether children migrate where `tcp_migrate_req` is on.
    pub fn migrates(&self) -> bool {
        self.environment.kernel.migration() == Migration::Works
    }

    /// Whether clients were lost although they had to migrate, or the other way round.
    /// Nothing is in flight when these listeners close: it is all of them, or nobody.
    pub fn deviates(&self, point: &Point) -> bool {
        let (reset, moved) = match point.migrate_req && self.migrates() {
            true => (0, point.all()),
            false => (point.all(), 0),
        };
        let is_moved = |counted: i64| counted.unsigned_abs() == moved;
        (point.reset, point.resets_sent.unsigned_abs()) != (reset, reset)
            || (point.queued, point.accepted) != (moved, moved)
            || !point.migrated.is_none_or(is_moved)
    }

    /// What the command ends with.
    pub fn exit(&self) -> Exit {
        if !self.complete {
            return Exit::Interrupted;
        }
        if self.points.iter().any(|point| self.deviates(point)) {
            return Exit::Deviates;
        }
        match (self.errors.is_empty(), self.points.is_empty()) {
            (false, _) => Exit::Unavailable,
            (true, true) => Exit::NothingRan,
            (true, false) => Exit::Expected,
        }
    }
}

pub fn setting(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
