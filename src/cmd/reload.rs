//! `sockmig reload`: which way of reloading loses how many connections, on this kernel.

mod answer;
mod close_cost;
mod document;
mod in_guest;
mod list;
mod measure;
mod plan;
mod plot;
mod refusal;
mod session;
mod stopped_member;
mod table;
#[cfg(test)]
mod tests;

use std::env;
use std::io;
use std::process::ExitCode;

use reload::catalogue;

use crate::cli::ReloadArguments;
use crate::cmd::reload::document::ReloadDocument;
use crate::cmd::reload::plan::ReloadPlan;
use crate::cmd::reload::refusal::Refusal;
use crate::cmd::reload::session::Session;
use crate::cmd::vm_run;
use crate::exit::Exit;
use crate::output::consumer::Environment;
use crate::output::progress::Progress;
use crate::output::stderr;
use crate::output::stdout;
use crate::style::Style;

/// Does what the command line asks for.
pub fn reload(arguments: &ReloadArguments) -> ExitCode {
    if arguments.kernel.is_some() {
        return vm_run::vm_run(&in_guest::vm_run_arguments(arguments, env::args()));
    }
    let done = match (arguments.list, arguments.close_cost) {
        (true, _) => list::list(&arguments.strategies),
        (false, true) => close_cost::close_cost(arguments),
        _ if arguments.stopped_member => stopped_member::stopped_member(arguments),
        (false, false) => measure_and_tell(arguments),
    };
    let exit = match done {
        Ok(exit) => exit,
        Err(Refusal { why, exit }) => {
            if !why.is_empty() {
                stderr::complain(&why);
            }
            exit
        }
    };
    exit.into()
}

fn measure_and_tell(arguments: &ReloadArguments) -> Result<Exit, Refusal> {
    let selection = catalogue::select(&plan::wanted(arguments))
        .map_err(|unknown| Refusal::new(Exit::NothingRan, unknown))?;
    plan::check(arguments).map_err(|why| Refusal::new(Exit::Usage, why))?;
    let mut session = Session::open(arguments)?;
    let window = measure::window(&session.labs, arguments).map_err(|broken| match broken {
        Ok(broken) => Refusal::of(&broken),
        Err(why) => Refusal::new(Exit::Unavailable, why),
    })?;
    let plan = ReloadPlan::new(arguments, selection, window, &session.kernel);
    if plan.strategies.is_empty() {
        let why: Vec<String> = plan.skipped.iter().map(ToString::to_string).collect();
        return Err(Refusal::new(Exit::NothingRan, why.join("; ")));
    }
    let environment = Environment::read(session.kernel.clone());
    session.say(&table::heading(&plan, &environment));
    let measured = measure::measure(&session.labs, &plan, &mut Progress::on_stderr());
    let document = ReloadDocument::of(&plan, environment, &measured);
    session.show(&answer::text(&document, stdout::width(), Style::of(&io::stdout())), || {
        document.json()
    });
    session.keep("reload.json", || document.json());
    session.keep("losses.svg", || plot::losses(&measured.rows).into_string());
    session.keep("latency.svg", || plot::latencies(&measured.rows).into_string());
    Ok(document.exit().unless_write_failed(session.close()))
}
