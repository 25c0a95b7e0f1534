//! `sockmig`: what Linux does with TCP connections when an `SO_REUSEPORT` listener closes.

mod answer;
mod cli;
mod consumer;
mod diff;
mod doctor;
mod document;
mod exit;
mod json;
mod junit;
mod ktap;
mod list;
mod matrix;
mod merge;
mod output;
mod progress;
mod read;
mod run;
mod style;
mod terminal;
#[cfg(test)]
mod tests;
mod totals;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Arguments, Command};

fn main() -> ExitCode {
    scenarios::engine::enter_if_lab();
    let exit = match Arguments::parse().command {
        None => answer::answer(),
        Some(Command::List(arguments)) => list::list(&arguments.ids),
        Some(Command::Run(arguments)) => run::run(&arguments),
        Some(Command::Explain(arguments)) => list::explain(&arguments.id),
        Some(Command::Doctor) => doctor::doctor(),
        Some(Command::Diff(arguments)) => diff::diff(&arguments),
        Some(Command::Merge(arguments)) => merge::merge(&arguments),
    };
    exit.into()
}
