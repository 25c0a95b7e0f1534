//! Lists of known bugs.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `--known`, wherever verdicts are made.
#[derive(Debug, Args)]
pub struct KnownOption {
    /// Take what this file lists for known as well: a list in the form of sockmig's own,
    /// which `sockmig known check` checks.
    #[arg(long = "known", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// `sockmig known`.
#[derive(Debug, Args)]
#[command(after_help = KNOWN_HELP)]
pub struct KnownArguments {
    /// What to do with the list.
    #[command(subcommand)]
    pub command: KnownCommand,
}

/// The subcommands of `sockmig known`.
#[derive(Debug, Subcommand)]
pub enum KnownCommand {
    /// List sockmig's known bugs: their ids, CVEs, and what is wrong.
    #[command(after_help = KNOWN_HELP)]
    List,
    /// Check a list of known bugs of your own, and show everything that is wrong with it.
    #[command(after_help = KNOWN_HELP)]
    Check {
        /// The list. The form is described in docs/known-bugs.md.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

const KNOWN_HELP: &str = "\
Examples:
  sockmig known list                     which bugs are known?
  sockmig known check mine.toml          is there anything wrong with my list?
  sockmig run wake-up --known mine.toml  run cases with it

Exit codes:
  0   listed, or nothing is wrong with the list
  2   something is, or the command line is wrong
  69  the file cannot be read, or standard output cannot be written";
