//! The command line of `sockmig race`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::explore::ExploreFormat;
use crate::cli::machine::OtherKernel;
use crate::cli::number;

const HELP: &str = "\
A pair is two acts, each on a processor of its own: a listener closes while the last ACK of a
handshake reaches it. They begin at the same time, or one some nanoseconds after the other, most
often as far apart as it takes for either to come first. What is seen must be what the model of
`sockmig explore` says of one order or of the other. Afterwards whoever waits is accepted, and a new
client finds the room of a fresh listener.

A pair that was never seen in both orders proves nothing. Those whose names begin with `wait` take a
second and a half for each round, since the kernel's timers do.

Examples:
  sockmig race                   every pair, in half a minute
  sockmig race close/ack --long  one pair, for an hour
  sockmig race --out raced       every pair, with captures of what is not one order
  sockmig race --kernel 6.12     every pair, on another kernel
  sockmig race wait --time 120   an act while timers fire
  sockmig race --list            what there is

Exit codes:
  0    every round is explained by one order or the other
  1    a round is not
  2    the command line is wrong
  4    nothing was raced: one processor alone, no migration, or no such pair
  69   the laboratory failed, or a result could not be written
  130  interrupted; what was found was shown";

/// `sockmig race`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct RaceArguments {
    /// Only pairs whose names begin with one of these: close, close/ack [default: all].
    #[arg(value_name = "PAIR")]
    pub pairs: Vec<String>,

    /// For how many seconds in all: pairs that are not reached until then are named [default: 25, and
    /// longer if that is too short for every pair].
    #[arg(long, value_name = "SECONDS", value_parser = number::between::<u64>(1..=10_000_000))]
    pub time: Option<u64>,

    /// For an hour.
    #[arg(long, conflicts_with = "time")]
    pub long: bool,

    /// Decides how far apart the acts begin: the same seed, the same distances [default: by the
    /// clock].
    #[arg(long, value_name = "N", value_parser = number::between::<u64>(0..=u64::MAX))]
    pub seed: Option<u64>,

    /// The model has no known bug.
    #[arg(long)]
    pub no_known: bool,

    /// Keep race.json in this directory, and a capture (pcapng) of each round that neither order
    /// explains, and of the first round of each kind between the acts [default: rounds that nothing
    /// explains, in a temporary one; in a machine, none].
    #[arg(long, value_name = "DIR", conflicts_with = "kernel")]
    pub out: Option<PathBuf>,

    /// Keep no file: this runs in a machine, whose files are gone when it ends.
    #[arg(long, hide = true, conflicts_with = "out")]
    pub keeps_nothing: bool,

    /// List the pairs without racing any.
    #[arg(long)]
    pub list: bool,

    /// What is raced on, if it is not the running kernel: a machine with two processors.
    #[command(flatten)]
    pub other: OtherKernel,

    /// How to show the result.
    #[arg(long, value_enum, default_value_t = ExploreFormat::Terminal)]
    pub format: ExploreFormat,
}
