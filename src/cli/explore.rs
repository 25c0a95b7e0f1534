//! The command line of `sockmig explore`, `sockmig replay` and `sockmig script`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use explore::step::WORDS;

use crate::cli::machine::OtherKernel;
use crate::cli::number;

const EXPLORE_HELP: &str = "\
A history is a list of acts, made up from its number: listeners of one port listen, are shut
down and closed, and clients that are no sockets send them segments. A model of the kernel says
what must be seen of each act: what calls return, what the server sends, counters, accept queues,
and who is woken. Where the kernel does something else, the history is made as short as it can be,
played three times more, and kept as a file for `sockmig replay`. Where the kernel of a machine
panics, the history at which it does is looked for in other machines, and kept.

Bugs that this kernel is known to have are found out first, by a history each, and the model has
them, too; --no-known finds them anew.

Examples:
  sockmig explore                        ten seconds of histories nobody wrote
  sockmig explore --time 3600 --out DIR  an hour, keeping what is found
  sockmig explore --seed 7 --count 1000  just the histories 7 to 1006
  sockmig explore --only syn,ack,close   with these acts alone
  sockmig explore --kernel 6.12          in a virtual machine

Exit codes:
  0    the kernel does what the model says
  1    it does not, it panicked in a machine, or something of a history was left when it was over
  2    the command line is wrong
  4    nothing was played: this kernel has no migration, or every history was too slow
  69   the laboratory failed, or a result could not be written
  130  interrupted; what was found was shown";

/// The most histories that can be asked for. So many have numbers after every first one.
const MOST: u64 = 1_000_000_000;

/// `sockmig explore`.
#[derive(Debug, Args)]
#[command(after_help = EXPLORE_HELP)]
pub struct ExploreArguments {
    /// The number of the first history; the same number is always the same history [default: by
    /// the clock].
    #[arg(long, value_name = "N", value_parser = number::between::<u64>(0..=u64::MAX - MOST))]
    pub seed: Option<u64>,

    /// How many histories are played.
    #[arg(long, value_name = "N", value_parser = number::between::<u64>(1..=MOST))]
    pub count: Option<u64>,

    /// For how many seconds histories are played [default: 10, if there is no --count].
    #[arg(long, value_name = "SECONDS", conflicts_with = "count",
          value_parser = number::between::<u64>(1..=10_000_000))]
    pub time: Option<u64>,

    /// Only these acts, but for `listen` at the beginning and a look at each listener at the
    /// end.
    #[arg(long, value_name = "ACT", value_delimiter = ',', value_parser = act)]
    pub only: Vec<String>,

    /// Every so-manieth history waits for the kernel's timers; 0 is none [default: 40; 4 in a
    /// machine].
    #[arg(long, value_name = "N", value_parser = number::between::<u64>(0..=1_000_000))]
    pub wait_every: Option<u64>,

    /// How many labs play histories at a time, besides those that wait for timers [default: one
    /// for each core].
    #[arg(long, value_name = "N", value_parser = number::between::<usize>(1..=1000))]
    pub jobs: Option<usize>,

    /// The model has no known bug, so that each is found anew.
    #[arg(long)]
    pub no_known: bool,

    /// Every history is made from its number alone, also where the kernel says which code of it
    /// histories reach (KCOV).
    #[arg(long)]
    pub unguided: bool,

    /// Begin nothing more when something was found.
    #[arg(long)]
    pub fail_fast: bool,

    /// Keep each history that was found in this directory [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Keep no file: this runs in a machine, whose files are gone when it ends.
    #[arg(long, hide = true, conflicts_with = "out")]
    pub keeps_nothing: bool,

    /// What is explored, if it is not the running kernel.
    #[command(flatten)]
    pub other: OtherKernel,

    /// How to show the result.
    #[arg(long, value_enum, default_value_t = ExploreFormat::Terminal)]
    pub format: ExploreFormat,
}

/// How a result of `explore` or `replay` is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExploreFormat {
    /// Text, for people.
    Terminal,
    /// One JSON document.
    Json,
}

/// A word that differs from an act in more places than this is not taken for one mistyped.
const NEAR: usize = 2;

/// An act of histories, as `--only` takes it.
fn act(word: &str) -> Result<String, String> {
    if WORDS.contains(&word) {
        return Ok(word.to_owned());
    }
    let near = WORDS.into_iter().map(|known| (strsim::osa_distance(word, known), known));
    let near = near.filter(|(distance, _)| *distance <= NEAR).min();
    let near = near.map(|(_, near)| format!("; perhaps {near}")).unwrap_or_default();
    Err(format!("it is no act{near}; acts are {}", WORDS.join(", ")))
}

const REPLAY_HELP: &str = "\
A history is a text: `sockmig history 1`, a line with the hash of each client's connection, and an
act in each line. `sockmig explore` writes such files; docs/explore.md describes them.

Examples:
  sockmig replay find.history                what model and kernel say of each act
  sockmig replay find.history --kernel 6.12  the same on another kernel

Exit codes:
  0    the kernel does what the model says
  1    it does not
  2    the command line is wrong, or the file is no history
  4    nothing was played: this kernel has no migration, or the machine is too slow
  69   the laboratory failed, the file cannot be read, or a result could not be written
  130  interrupted";

/// `sockmig replay`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
pub struct ReplayArguments {
    /// The history; `-` is standard input.
    #[arg(value_name = "FILE", required_unless_present = "given")]
    pub file: Option<PathBuf>,

    /// The history itself: a machine is given it so.
    #[arg(long, value_name = "TEXT", hide = true, conflicts_with = "file")]
    pub given: Option<String>,

    /// The model has no known bug.
    #[arg(long)]
    pub no_known: bool,

    /// What it is played on, if it is not the running kernel.
    #[command(flatten)]
    pub other: OtherKernel,

    /// How to show the result.
    #[arg(long, value_enum, default_value_t = ExploreFormat::Terminal)]
    pub format: ExploreFormat,
}

const SCRIPT_HELP: &str = "\
The program needs Python 3.8 and its standard library, and root or unprivileged user namespaces; if
it has eBPF or a second user, root. It makes a network namespace of its own, does what the history
or the case says, shows what it sees of each act, and what was expected where that is something
else; its exit code is 1 then. A case is run first: what was seen of it is what is expected.

Examples:
  sockmig script find.history > find.py    for a mail to a list
  sockmig script quiz1/v4/on > quiz1.py    the talk's first quiz, to play with
  sockmig script --out programs            a program for each case, and why others have none
  sockmig script --long --out programs     with those that wait up to 140 s for timers

Exit codes:
  0   it is printed
  2   the command line is wrong, or the file is no history
  4   the case cannot be printed, for a reason that is said
  69  the file cannot be read, no case can be run, or standard output cannot be written
  130 interrupted";

/// `sockmig script`.
#[derive(Debug, Args)]
#[command(after_help = SCRIPT_HELP)]
pub struct ScriptArguments {
    /// A file with a history, or `-` for standard input; or a case's id, or how ids begin.
    #[arg(value_name = "FILE|ID")]
    pub what: Option<PathBuf>,

    /// Cases that wait for long timers of the kernel, too; their programs wait as long.
    #[arg(long)]
    pub long: bool,

    /// Write a program for each case into this directory, which is made if it is missing.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
