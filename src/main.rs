//! `sockmig`: what Linux does with TCP connections when an `SO_REUSEPORT` listener closes.

mod answer;
mod cli;
mod consumer;
mod doctor;
mod exit;
mod json;
mod junit;
mod kernels;
mod ktap;
mod list;
mod output;
mod progress;
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
        Some(Command::Kernels(arguments)) => kernels::kernels(&arguments.command),
    };
    exit.into()
}
