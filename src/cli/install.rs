//! What is made from sockmig itself: schemas of its documents, man pages, completions, and a
//! directory for the runner of the kernel's selftests.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;

/// `sockmig schema`.
#[derive(Debug, Args)]
#[command(after_help = SCHEMA_HELP)]
pub struct SchemaArguments {
    /// Whose documents.
    #[arg(value_name = "DOCUMENT", value_enum)]
    pub of: DocumentKind,
}

/// The documents that have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DocumentKind {
    /// `sockmig run --format json`, and `run.json`.
    Run,
    /// `sockmig matrix --format json`, and `matrix.json`.
    Matrix,
    /// `sockmig reload --format json`, and `reload.json`.
    Reload,
    /// `sockmig reload --close-cost --format json`.
    CloseCost,
    /// `sockmig reload --stopped-member --format json`.
    StoppedMember,
    /// `sockmig explore --format json`.
    Explore,
    /// `sockmig race --format json`.
    Race,
    /// `sockmig race --list --format json`.
    RaceList,
    /// `sockmig reload --list --format json`.
    ReloadList,
    /// `sockmig inspect --format json`.
    Inspect,
}

const SCHEMA_HELP: &str = "\
Examples:
  sockmig schema run                      the form of run.json
  sockmig schema inspect > inspect.json   for a validator

Exit codes:
  0   it is printed
  2   there is no such document
  69  standard output cannot be written";

/// `sockmig man`.
#[derive(Debug, Args)]
#[command(after_help = MAN_HELP)]
pub struct ManArguments {
    /// Write one page for each subcommand into this directory, which is made if it is missing
    /// [default: the page of sockmig itself is printed].
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

const MAN_HELP: &str = "\
Examples:
  sockmig man | man -l -                          reads the page
  sudo sockmig man /usr/local/share/man/man1      installs all of them: then `man sockmig-run`

Exit codes:
  0   they are written
  2   the command line is wrong
  69  a page, or standard output, cannot be written";

/// `sockmig completions`.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_HELP)]
pub struct CompletionsArguments {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: CompletedShell,
}

/// The shells that completions can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompletedShell {
    /// GNU Bash, with the package bash-completion.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

impl From<CompletedShell> for Shell {
    fn from(shell: CompletedShell) -> Self {
        match shell {
            CompletedShell::Bash => Self::Bash,
            CompletedShell::Zsh => Self::Zsh,
            CompletedShell::Fish => Self::Fish,
        }
    }
}

const COMPLETIONS_HELP: &str = "\
Examples:
  source <(sockmig completions bash)    for this shell
  sockmig completions fish > ~/.config/fish/completions/sockmig.fish

Exit codes:
  0   they are printed
  2   there is no such shell
  69  standard output cannot be written";

/// `sockmig kselftest-install`.
#[derive(Debug, Args)]
#[command(after_help = KSELFTEST_HELP)]
pub struct KselftestArguments {
    /// Where kselftests are installed, as by `make -C tools/testing/selftests install`, or a new
    /// directory. `DIR/sockmig` is made or replaced, and `DIR/kselftest-list.txt` gets a line.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

const KSELFTEST_HELP: &str = "\
Examples:
  sockmig kselftest-install kselftest           a directory for a test machine
  kselftest/run_kselftest.sh -c sockmig         there; or with the kernel's own runner
  KSELFTEST_SOCKMIG_SH_ARGS=quiz1 kselftest/run_kselftest.sh -t sockmig:sockmig.sh

Exit codes:
  0   it is installed
  2   the command line is wrong
  69  something cannot be written";
