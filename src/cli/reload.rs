//! The command line of `sockmig reload`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::machine::OtherKernel;
use crate::cli::number;

const HELP: &str = "\
Each strategy runs in network namespaces of its own, under load from clients that come at a
fixed rate, whatever becomes of those before them. Strategies, and tcp_migrate_req off and
on, take turns. What makes handshakes last, so that a reload finds some in flight, is a delay
line between clients and server where this user may have one (/dev/net/tun), else a rule of
nftables that holds the final ACKs of some clients; without either nothing would be lost, and
nothing learned. A virtual machine has none but our own workers, and a real clock.

Examples:
  sockmig reload --quick                what do the usual ways cost here? (under 20 s)
  sockmig reload own --rtt 100          the same, thoroughly, for clients far away
  sockmig reload --close-cost           what does the close() itself cost?
  sockmig reload --kernel 6.12 --quick  the same on another kernel
  sockmig reload --out DIR              keeps reload.json, losses.svg and latency.svg
  sockmig reload --server new           prints a file that describes a server
  sockmig reload --server mine.toml     how many connections does my reload lose?
  sockmig reload --start 'mine --port {port}' --reload SIGHUP
                                        the same, without a file

Exit codes:
  0    the kernel does what it must: off loses what is expected, on does not
  1    the kernel deviates: with tcp_migrate_req on, closes lose half as much or more; with
       --close-cost, a single one is lost
  2    the command line, or a server's file, is wrong
  4    nothing ran: no such strategy, or what it needs is not installed
  69   the laboratory failed, a result could not be written, or the run is invalid: with
       the sysctl off less than half was lost of what was expected, so that no zero means anything
  130  interrupted; what was measured was shown";

/// What is about a load.
const LOAD: [&str; 7] = ["strategies", "reloads", "rate", "rtt", "window", "workers", "pause"];

/// What has nothing to do with servers that others wrote.
const OTHER_THINGS: [&str; 4] = ["close_cost", "stopped_member", "list", "kernel"];

/// `sockmig reload`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ReloadArguments {
    /// Only strategies whose names start with one of these: own, nginx, haproxy, own/naive
    /// [default: all].
    #[arg(value_name = "STRATEGY")]
    pub strategies: Vec<String>,

    /// Measure the server that this file describes: how it starts, when it is ready, and how it is
    /// reloaded. May be given more than once. `new` prints a commented example.
    #[arg(long, value_name = "FILE", conflicts_with_all = OTHER_THINGS)]
    pub server: Vec<PathBuf>,

    /// Measure the server that this command starts in the foreground. It must listen at every
    /// address, at port {port}. Needs --reload.
    #[arg(long, value_name = "COMMAND", requires = "reload", conflicts_with_all = OTHER_THINGS)]
    pub start: Option<String>,

    /// With --start: what reloads it, a command or the name of a signal, as SIGHUP.
    #[arg(long, value_name = "COMMAND|SIGNAL", requires = "start")]
    pub reload: Option<String>,

    /// With --server or --start: say what is wrong with it, before anything runs.
    #[arg(long, conflicts_with_all = ["strategies", "show"])]
    pub check: bool,

    /// Print the files that describe servers, and the configurations that they generate.
    #[arg(long, conflicts_with_all = OTHER_THINGS)]
    pub show: bool,

    /// Answer in less than 20 s: with fewer reloads and clients, and of our own workers unless
    /// others are named.
    #[arg(long, conflicts_with = "reloads")]
    pub quick: bool,

    /// How often each strategy is reloaded with each setting [default: 20].
    #[arg(long, value_name = "N", value_parser = number::between::<u32>(1..=1000))]
    pub reloads: Option<u32>,

    /// How many clients connect in a second [default: 1000].
    #[arg(long, value_name = "CLIENTS", value_parser = number::between::<u32>(10..=20_000))]
    pub rate: Option<u32>,

    /// The delay line's round-trip time, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 40,
          value_parser = number::between::<u32>(1..=1000))]
    pub rtt: u32,

    /// What makes handshakes last.
    #[arg(long, value_enum, default_value_t = WindowChoice::Auto)]
    pub window: WindowChoice,

    /// How many workers each generation of a server has.
    #[arg(long, value_name = "N", default_value_t = 2,
          value_parser = number::between::<u32>(1..=8))]
    pub workers: u32,

    /// Have our own workers be busy for this many microseconds after each accept.
    #[arg(long, value_name = "US", default_value_t = 0,
          value_parser = number::between::<u32>(0..=1_000_000))]
    pub pause: u32,

    /// Measure something else: how long one close() takes as the accept queue grows from 1 to
    /// 50,000 children, with migration off and on, and the memory that these hold. With
    /// --quick up to 1000.
    #[arg(long, conflicts_with_all = LOAD)]
    pub close_cost: bool,

    /// With --close-cost: this many children at most, instead of 50,000.
    #[arg(long, value_name = "CHILDREN", requires = "close_cost",
          value_parser = number::between::<u32>(1..=1_000_000))]
    pub most: Option<u32>,

    /// Measure something else: the share of clients that fails when one of two servers in a group
    /// is stopped (SIGSTOP), and what becomes of them when it is killed.
    #[arg(long, conflicts_with_all = LOAD, conflicts_with_all = ["close_cost", "quick", "list"])]
    pub stopped_member: bool,

    /// List the strategies, and what they need, without measuring anything.
    #[arg(long, conflicts_with_all = ["close_cost", "kernel", "out"])]
    pub list: bool,

    /// What is measured, if it is not the running kernel.
    #[command(flatten)]
    pub other: OtherKernel,

    /// How to show what was found.
    #[arg(long, value_enum, default_value_t = ReloadFormat::Terminal)]
    pub format: ReloadFormat,

    /// Keep reload.json and the plots losses.svg and latency.svg in this directory; with
    /// --close-cost, close-cost.json and close-cost.svg.
    #[arg(long, value_name = "DIR", conflicts_with = "kernel")]
    pub out: Option<PathBuf>,
}

/// `--window`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WindowChoice {
    /// The delay line where it can be had, else the hold.
    Auto,
    /// A delay line between two network namespaces; needs /dev/net/tun.
    DelayLine,
    /// A rule of nftables.
    Hold,
}

/// What the answer is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReloadFormat {
    /// A table and sentences, for people.
    Terminal,
    /// One JSON document.
    Json,
}
