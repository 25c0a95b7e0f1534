//! `sockmig completions`: what a shell completes on the command line.

use clap::Command;
use clap_complete::{Shell, generate};

use crate::cli::CompletedShell;
use crate::cmd::print;
use crate::exit::Exit;

/// Prints a shell's completions of the command.
pub fn completions(mut command: Command, shell: CompletedShell) -> Exit {
    let mut text = vec![];
    generate(Shell::from(shell), &mut command, "sockmig", &mut text);
    print::exactly(&text)
}
