//! `sockmig`: what Linux does with TCP connections when an `SO_REUSEPORT` listener closes.

mod answer;
mod cli;
mod consumer;
mod diff;
mod doctor;
mod document;
mod exit;
mod explain;
mod guest;
mod json;
mod junit;
mod kernels;
mod ktap;
mod ladder;
mod list;
mod machine;
mod markdown;
mod matrix;
mod merge;
mod output;
mod progress;
mod read;
mod reloading;
mod report;
mod run;
mod style;
mod terminal;
#[cfg(test)]
mod tests;
mod totals;
mod vm_run;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Arguments, Command};

fn main() -> ExitCode {
    guest::enter_if_guest();
    harness::inside::enter(|work| {
        reload::lab_work(work).unwrap_or_else(|| scenarios::engine::lab_work(work))
    });
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) if e.use_stderr() => {
            let _ = e.print();
            return matrix::bisect::of_usage(std::env::args()).into();
        }
        Err(help) => help.exit(),
    };
    let exit = match arguments.command {
        None => answer::answer(),
        Some(Command::List(arguments)) => list::list(&arguments.ids),
        Some(Command::Run(arguments)) => run::run(&arguments),
        Some(Command::Explain(arguments)) => explain::explain(&arguments),
        Some(Command::Reload(arguments)) => return reloading::reload(&arguments),
        Some(Command::Matrix(arguments)) => matrix::matrix(&arguments),
        Some(Command::VmRun(arguments)) => return vm_run::vm_run(&arguments),
        Some(Command::Doctor) => doctor::doctor(),
        Some(Command::Kernels(arguments)) => kernels::kernels(&arguments.command),
        Some(Command::Diff(arguments)) => diff::diff(&arguments),
        Some(Command::Merge(arguments)) => merge::merge(&arguments),
        Some(Command::Report(arguments)) => report::report(&arguments),
    };
    exit.into()
}
