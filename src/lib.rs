//! `sockmig`: what Linux does with TCP connections when an `SO_REUSEPORT` listener closes.
//!
//! The rooms of this crate, each of which uses only those above it:
//!
//! | room | what is in it |
//! |---|---|
//! | `style`, `escape`, `cli` | colours of a terminal; text that others wrote, made harmless; the command line and its help |
//! | `ladder` | the picture of a trace, as text and as SVG |
//! | `output` | what a run or a matrix found, and the formats it is written in |
//! | `exit` | exit codes |
//! | `html` | the page of results |
//! | `machine` | guests: what runs in them, and how the host talks to them |
//! | `cmd` | one file or folder for each subcommand |
//! | `shown` | everything that commands show of documents, for the fuzz targets |

// What panics where there is no room for it, or nobody to read it.
#![cfg_attr(
    not(test),
    warn(clippy::disallowed_methods, clippy::print_stderr, clippy::print_stdout)
)]

mod cli;
mod cmd;
mod escape;
mod exit;
#[cfg(test)]
mod fixture;
mod html;
pub mod ladder;
mod machine;
mod output;
pub mod shown;
pub mod style;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use harness::process::{arguments, limits};

use crate::cli::{Arguments, Command};
use crate::exit::Exit;
use crate::machine::guest;
use crate::output::stderr;

/// The definition of the command line, to hold documents against it.
pub fn command_line() -> clap::Command {
    Arguments::command()
}

/// Does what the command line asks for: the whole program.
///
/// It never returns in a guest's first process or in a process of a laboratory.
pub fn main() -> ExitCode {
    guest::enter_if_guest();
    harness::process::entry::enter(|work| {
        reload::lab_work(work)
            .or_else(|| explore::job::lab_work(work))
            .or_else(|| explore::race::job::lab_work(work))
            .unwrap_or_else(|| scenarios::engine::lab_work(work))
    });
    if let Err(small) = limits::prepare() {
        stderr::complain(&small);
        return Exit::Unavailable.into();
    }
    command()
}

/// Does what the command line asks for, where the stack is large enough for it: not a part of
/// [`main`], whose own frame has to fit in any.
#[inline(never)]
fn command() -> ExitCode {
    let parsed = match Arguments::try_parse() {
        Ok(parsed) => parsed,
        Err(e) if e.use_stderr() => {
            let plain = e.render().to_string();
            match stderr::shown(&plain) {
                // With colours, where they are wanted.
                shown if shown == plain => drop(e.print()),
                shown => stderr::write(shown.as_bytes()),
            }
            if cmd::inspect::is_check(arguments::as_text()) {
                return cmd::inspect::unknown_usage();
            }
            return cmd::matrix::bisect::of_usage(arguments::as_text()).into();
        }
        Err(help) => return cmd::help::show(&help).into(),
    };
    for complaint in cli::environment::complaints(std::env::vars_os().filter_map(in_unicode)) {
        stderr::complain(&escape::line(&complaint));
    }
    let exit = match parsed.command {
        None => cmd::answer::answer(),
        Some(Command::List(arguments)) => cmd::list::list(&arguments.ids),
        Some(Command::Run(arguments)) => cmd::run::run(&arguments),
        Some(Command::Explain(arguments)) => cmd::explain::explain(&arguments),
        Some(Command::Inspect(arguments)) => return cmd::inspect::inspect(&arguments),
        Some(Command::Reload(arguments)) => return cmd::reload::reload(&arguments),
        Some(Command::Explore(arguments)) => return cmd::explore::explore(&arguments),
        Some(Command::Race(arguments)) => return cmd::race::race(&arguments),
        Some(Command::Replay(arguments)) => return cmd::explore::replay(&arguments),
        Some(Command::Script(arguments)) => cmd::script::script(&arguments),
        Some(Command::Known(arguments)) => cmd::known::known(&arguments.command),
        Some(Command::Matrix(arguments)) => cmd::matrix::matrix(&arguments),
        Some(Command::VmRun(arguments)) => return cmd::vm_run::vm_run(&arguments),
        Some(Command::Doctor) => cmd::doctor::doctor(),
        Some(Command::Kernels(arguments)) => cmd::kernels::kernels(&arguments.command),
        Some(Command::Diff(arguments)) => cmd::diff::diff(&arguments),
        Some(Command::Merge(arguments)) => cmd::merge::merge(&arguments),
        Some(Command::Report(arguments)) => cmd::report::report(&arguments),
        Some(Command::Schema(arguments)) => cmd::schema::schema(arguments.of),
        Some(Command::Man(arguments)) => cmd::man::man(command_line(), &arguments),
        Some(Command::Completions(arguments)) => {
            cmd::completions::completions(command_line(), arguments.shell)
        }
        Some(Command::KselftestInstall(arguments)) => {
            cmd::kselftest_install::kselftest_install(&arguments.directory)
        }
    };
    exit.into()
}

fn in_unicode((name, value): (OsString, OsString)) -> Option<(String, String)> {
    Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
}
