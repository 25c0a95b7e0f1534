//! `sockmig reload`: which way of reloading loses how many connections, on this kernel.

mod answer;
pub mod close_cost;
pub mod document;
mod in_guest;
pub mod list;
mod measure;
mod plan;
mod plot;
mod refusal;
mod server;
mod session;
mod show;
pub mod stopped_member;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::process::ExitCode;

use harness::process::arguments::as_text;
use reload::catalogue;
use reload::strategy::Strategy;

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
    if let Some(guest) = in_guest::vm_run_arguments(arguments, as_text()) {
        return vm_run::vm_run(&guest);
    }
    let done = match (arguments.list, arguments.close_cost) {
        (true, _) => list::list(&arguments.strategies, arguments.format),
        (false, true) => close_cost::close_cost(arguments),
        _ if arguments.stopped_member => stopped_member::stopped_member(arguments),
        (false, false) => about_servers(arguments),
    };
    let exit = match done {
        Ok(exit) => exit,
        Err(Refusal { why, exit }) => {
            why.lines().for_each(|line| stderr::complain(&line));
            exit
        }
    };
    exit.into()
}

/// Shows the files of servers, or measures them.
fn about_servers(arguments: &ReloadArguments) -> Result<Exit, Refusal> {
    if server::wants_example(arguments) {
        return show::example();
    }
    let described = server::described(arguments)?;
    if arguments.check && described.is_empty() {
        return Err(Refusal::new(Exit::Usage, "--check needs --server FILE"));
    }
    if arguments.show && described.is_empty() && arguments.strategies.is_empty() {
        return Err(Refusal::new(
            Exit::Usage,
            "--show needs the name of a strategy, or --server FILE",
        ));
    }
    if arguments.check {
        return show::check(&described);
    }
    let selection = match arguments.strategies.is_empty() && !described.is_empty() {
        // Who brings a server means that one.
        true => vec![],
        false => catalogue::select(&plan::wanted(arguments))
            .map_err(|unknown| Refusal::new(Exit::NothingRan, unknown))?,
    };
    if arguments.show {
        return show::show(&described, &selection, arguments);
    }
    let servers = server::strategies(described);
    measure_and_tell(arguments, servers.into_iter().chain(selection).collect())
}

fn measure_and_tell(
    arguments: &ReloadArguments,
    selection: Vec<Strategy>,
) -> Result<Exit, Refusal> {
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
    session.show(&answer::text(&document, stdout::known_width(), Style::of(&io::stdout())), || {
        document.json()
    });
    session.keep("reload.json", || document.json());
    session.keep("losses.svg", || plot::losses(&measured.rows).into_string());
    session.keep("latency.svg", || plot::latencies(&measured.rows).into_string());
    Ok(document.exit().unless_write_failed(session.close()))
}
