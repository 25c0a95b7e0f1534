//! `sockmig reload --close-cost`: what one `close()` costs, by how many children wait.

mod answer;
pub mod document;
mod plan;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Instant;

use harness::kernel::Migration;
use harness::process::{Broken, Labs, Returned};
use reload::close_cost::{Closed, Closing, Cost};
use reload::failure::Failure;
use scenarios::advice;

use crate::cli::ReloadArguments;
use crate::cmd::reload::close_cost::document::{ClosingDocument, Point, setting};
use crate::cmd::reload::close_cost::plan::CloseCostPlan;
use crate::cmd::reload::document::SCHEMA;
use crate::cmd::reload::refusal::Refusal;
use crate::cmd::reload::refusal::of_lab;
use crate::cmd::reload::session::Session;
use crate::exit::Exit;
use crate::output::consumer::Environment;
use crate::output::progress::Progress;
use crate::output::stdout;
use crate::style::Style;

/// Measures, and reports.
pub(super) fn close_cost(arguments: &ReloadArguments) -> Result<Exit, Refusal> {
    let mut session = Session::open(arguments)?;
    let plan = CloseCostPlan::new(arguments, session.kernel.migration() != Migration::Absent);
    let environment = Environment::read(session.kernel.clone());
    session.say(&answer::heading(&plan, &environment));
    let document = measure(&session.labs, &plan, environment, &mut Progress::on_stderr());
    session.show(
        &answer::text(&document, stdout::known_width(), Style::of(&std::io::stdout())),
        || document.json(),
    );
    session.keep("close-cost.json", || document.json());
    session.keep("close-cost.svg", || answer::plot(&document).into_string());
    Ok(document.exit().unless_write_failed(session.close()))
}

fn measure(
    labs: &Labs,
    plan: &CloseCostPlan,
    environment: Environment,
    progress: &mut Progress,
) -> ClosingDocument {
    let started = Instant::now();
    let mut found: BTreeMap<(u32, bool), Vec<Cost>> = BTreeMap::new();
    let (mut skipped, mut errors) = (BTreeMap::new(), Vec::new());
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
            Ok(Err(why)) => errors.push(format!("{shown}: {why}")),
            Err(Broken::Interrupted) => {
                complete = false;
                break;
            }
            Err(broken) => errors.push(format!("{shown}: {}", advice::no_lab(&broken))),
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
        errors,
        took_ms: started.elapsed().as_millis() as u64,
    }
}

fn read(returned: &Returned) -> Result<Closed, String> {
    let closed = returned.parse::<Result<Closed, Failure>>().map_err(|e| e.to_string())?;
    closed.map_err(|why| of_lab(&why))
}
