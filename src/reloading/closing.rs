//! `sockmig reload --close-cost`: what one `close()` costs, by how many children wait.

mod answer;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use harness::kernel::Migration;
use harness::process::{Broken, Labs, Returned};
use reload::close_cost::{Closed, Closing, Cost};
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::desk::Desk;
use super::document::SCHEMA;
use crate::cli::ReloadArguments;
use crate::consumer::Environment;
use crate::exit::Exit;
use crate::output;
use crate::progress::Progress;
use crate::style::Style;

/// How often each close is measured.
const ROUNDS: u32 = 5;

/// How many children there are at most, unless that is asked for.
const MOST: u32 = 50_000;

/// The same of a quick run.
const QUICK_ROUNDS: u32 = 3;
const QUICK_CHILDREN: u32 = 1000;

/// What is measured.
struct Plan {
    sizes: Vec<u32>,
    settings: &'static [bool],
    rounds: u32,
}

/// What closes cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClosingDocument {
    /// [`SCHEMA`] when it was written.
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
    pub troubles: Vec<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// Closes of listeners alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Clients that were reset, as the wire tells, of all rounds.
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
    /// The same behind the close.
    pub left_bytes: i64,
    /// What children, requests and segments took of slabs, in bytes, before the close; the
    /// median. Nothing for a user who may not know.
    pub slab_bytes: Option<i64>,
}

impl Point {
    fn of(closing: Closing, costs: &[Cost]) -> Option<Self> {
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
    fn all(&self) -> u64 {
        u64::from(self.children) * u64::from(self.rounds)
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Measures, and tells.
pub(super) fn close_cost(arguments: &ReloadArguments) -> Result<Exit, Refusal> {
    let mut desk = Desk::open(arguments)?;
    let plan = Plan::new(arguments, desk.kernel.migration() != Migration::Absent);
    let environment = Environment::read(desk.kernel.clone());
    desk.say(&answer::heading(&plan, &environment));
    let document = measure(&desk.labs, &plan, environment, &mut Progress::on_stderr());
    desk.show(&answer::text(&document, output::width(), Style::of(&std::io::stdout())), || {
        document.json()
    });
    desk.keep("close-cost.json", || document.json());
    desk.keep("close-cost.svg", || answer::plot(&document));
    Ok(document.exit().unless_troubled(desk.close()))
}

impl Plan {
    fn new(arguments: &ReloadArguments, migrates: bool) -> Self {
        let usual = if arguments.quick { QUICK_CHILDREN } else { MOST };
        let most = arguments.most.unwrap_or(usual);
        let below = (0..).map(|power| 10_u32.pow(power)).take_while(|size| *size < most);
        Self {
            sizes: below.chain([most]).collect(),
            settings: if migrates { &[false, true] } else { &[false] },
            rounds: if arguments.quick { QUICK_ROUNDS } else { ROUNDS },
        }
    }

    /// Round by round, so that a drift of the machine hits all alike.
    fn closings(&self) -> Vec<Closing> {
        let of_size =
            |children: u32| self.settings.iter().map(move |on| Closing { children, on: *on });
        let round = || self.sizes.iter().copied().flat_map(of_size);
        (0..self.rounds).flat_map(|_| round()).collect()
    }

    fn takes(&self) -> Duration {
        self.closings().iter().map(Closing::takes).sum()
    }
}

fn measure(
    labs: &Labs,
    plan: &Plan,
    environment: Environment,
    progress: &mut Progress,
) -> ClosingDocument {
    let started = Instant::now();
    let mut found: BTreeMap<(u32, bool), Vec<Cost>> = BTreeMap::new();
    let (mut skipped, mut troubles) = (BTreeMap::new(), Vec::new());
    let mut complete = true;
    let closings = plan.closings();
    progress.begin(closings.len());
    for closing in closings {
        let Closing { children, on } = closing;
        if skipped.contains_key(&children) {
            continue;
        }
        let shown = format!("{children} children, {}", setting(on));
        progress.started(&shown);
        let returned = labs.run(&closing.work(), closing.deadline());
        progress.finished(&shown);
        match returned.map(|returned| read(&returned)) {
            Ok(Ok(Closed::Measured(cost))) => found.entry((children, on)).or_default().push(cost),
            Ok(Ok(Closed::Impossible(why))) => {
                skipped.insert(children, why);
            }
            Ok(Err(why)) => troubles.push(format!("{shown}: {why}")),
            Err(Broken::Interrupted) => {
                complete = false;
                break;
            }
            Err(broken) => troubles.push(format!("{shown}: {broken}")),
        }
    }
    progress.end();
    let point = |((children, on), costs): (&(u32, bool), &Vec<Cost>)| {
        Point::of(Closing { children: *children, on: *on }, costs)
    };
    ClosingDocument {
        schema: SCHEMA,
        sockmig: env!("CARGO_PKG_VERSION").into(),
        environment,
        rounds: plan.rounds,
        complete,
        points: found.iter().filter_map(point).collect(),
        skipped,
        troubles,
        took_ms: started.elapsed().as_millis() as u64,
    }
}

fn read(returned: &Returned) -> Result<Closed, String> {
    returned.parse::<Result<Closed, String>>().map_err(|e| e.to_string())?
}

fn setting(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

impl ClosingDocument {
    /// As text, with a line end.
    fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("a document can be written as JSON") + "\n"
    }

    /// Whether children migrate where `tcp_migrate_req` is on.
    fn migrates(&self) -> bool {
        self.environment.kernel.migration() == Migration::Works
    }

    /// Whether clients were lost although they had to migrate, or the other way round.
    /// Nothing is in flight when these listeners close: it is all of them, or nobody.
    fn deviates(&self, point: &Point) -> bool {
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
    fn exit(&self) -> Exit {
        if !self.complete {
            return Exit::Interrupted;
        }
        if self.points.iter().any(|point| self.deviates(point)) {
            return Exit::Deviates;
        }
        match (self.troubles.is_empty(), self.points.is_empty()) {
            (false, _) => Exit::Unavailable,
            (true, true) => Exit::NothingRan,
            (true, false) => Exit::Expected,
        }
    }
}
