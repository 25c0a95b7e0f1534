//! The command line of `sockmig inspect`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cli::number;

const HELP: &str = "\
It only reads: it sends nothing, changes no setting, and holds a listener of another process
for no longer than reading its options takes. An ordinary user is shown less: whose the listeners
of others are, and their options, is not visible then.

Examples:
  sockmig inspect                        the listeners of this network namespace
  sudo sockmig inspect --all             and of every container of this machine
  sockmig inspect --netns blue           of one that `ip netns` shows
  sockmig inspect --pid 4711             of the one that a process is in
  sockmig inspect --watch 5              what moves, and what is lost, every 5 seconds
  sockmig inspect --check                one line, for Nagios and the like
  sockmig inspect --format prometheus    for node_exporter's textfile collector

Exit codes:
  0    looked
  2    the command line is wrong, or there is no such network namespace
  69   nothing could be looked at, or standard output cannot be written
  130  --watch was interrupted, which is how it ends

Exit codes with --check:
  0    OK: no listener of a group loses connections when it closes
  1    WARNING: one would, or a connection that moves would be surprised
  2    CRITICAL: an accept queue is full, and clients are turned away
  3    UNKNOWN: nothing could be looked at, or the command line is wrong";

/// `sockmig inspect`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct InspectArguments {
    /// Look at this network namespace: a name that `ip netns` shows, or the path of a file that
    /// leads to it. May be given more than once.
    #[arg(long, value_name = "NAME|PATH")]
    pub netns: Vec<String>,

    /// Look at the network namespace of this process, of a container for instance. May be given
    /// more than once.
    #[arg(long, value_name = "PID", value_parser = number::between::<u32>(1..=u32::MAX))]
    pub pid: Vec<u32>,

    /// Look at every network namespace that this user may enter.
    #[arg(long, conflicts_with_all = ["netns", "pid"])]
    pub all: bool,

    /// Go on looking every S seconds, and show which listeners opened and closed, and what the
    /// kernel counted meanwhile [default of S: 1].
    #[arg(long, value_name = "S", num_args = 0..=1, default_missing_value = "1",
          value_parser = seconds)]
    pub watch: Option<Duration>,

    /// Print one line, and end with an exit code as Nagios wants it.
    #[arg(long, conflicts_with_all = ["watch", "format"])]
    pub check: bool,

    /// How to show what was found. With --watch, JSON is a document a line.
    #[arg(long, value_enum, default_value_t = InspectFormat::Text)]
    pub format: InspectFormat,
}

/// What was found is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InspectFormat {
    /// Sentences, for people.
    Text,
    /// One JSON document.
    Json,
    /// Prometheus's text format.
    Prometheus,
}

/// The shortest time between two looks, and the longest.
const FROM: f64 = 0.05;
const TO: f64 = 3600.0;

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (FROM..=TO).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("a number of seconds from {FROM} to {TO} is needed")),
    }
}
