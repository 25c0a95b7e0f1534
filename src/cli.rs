//! The command line, and the help that teaches it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What Linux does with TCP connections when an SO_REUSEPORT listener closes.
///
/// Without a subcommand: checks the running kernel and answers in plain words, in a few
/// seconds. Everything happens in network namespaces that sockmig makes for itself; no
/// setting, rule or interface of this machine is touched, and root is not needed where
/// user namespaces are allowed.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub struct Arguments {
    /// What to do instead of answering.
    #[command(subcommand)]
    pub command: Option<Command>,
}

const EXIT_CODES: &str = "\
Examples:
  sockmig                           what does my kernel do, and what should I do?
  sockmig run quiz1 quiz2 --trace   the talk's two quizzes, packet by packet
  sockmig run --format ktap         for kernel CI
  sockmig explain quiz1             what a case does, what must happen, who says so

Environment:
  SOCKMIG_GATE       how final ACKs are held: `nftables`, or `filter` (a BPF program on the
                     listener); otherwise nftables where the kernel has it
  KSFT_MACHINE_SLOW  wait so many times longer

Exit codes:
  0    as expected (known bugs are)
  1    the kernel deviates
  2    the command line is wrong
  4    nothing ran: no such case, or every one was skipped
  69   the laboratory failed, or a result could not be written
  130  interrupted";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the cases, one id a line.
    List(ListArguments),
    /// Run cases and show each verdict.
    Run(RunArguments),
    /// Tell what a case does, what must happen, and which source says so.
    Explain(ExplainArguments),
    /// Tell what this machine lets sockmig do, and what to change where it does not.
    Doctor,
}

/// `sockmig list`.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Only cases whose ids start with one of these.
    #[arg(value_name = "ID-PREFIX")]
    pub ids: Vec<String>,
}

/// `sockmig run`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub struct RunArguments {
    /// Only cases whose ids start with one of these; `sockmig list` shows the ids.
    #[arg(value_name = "ID-PREFIX")]
    pub ids: Vec<String>,

    /// Show the packets of every case, and what the laboratory did between them.
    ///
    /// A line is `from > to  flags first:end(bytes) ack n`, numbers relative to the
    /// connection's first ones, as in packetdrill. S is the server's end.
    #[arg(long)]
    pub trace: bool,

    /// How to show the verdicts.
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,

    /// Write JUnit's XML to a file as well.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Keep the captures (pcapng) and run.json in this directory.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Run everything so many times.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub repeat: u32,

    /// So many cases at a time [default: twelve for each core, since most wait].
    #[arg(long, value_name = "N", value_parser = jobs)]
    pub jobs: Option<usize>,

    /// Kill a case that has not ended after so many seconds [default: 30 and its timers].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub deadline: Option<u32>,

    /// Count a skip as a deviation.
    #[arg(long)]
    pub deny_skips: bool,
}

/// `sockmig explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// The id of a case, or the start of one.
    #[arg(value_name = "ID")]
    pub id: String,
}

/// What the verdicts are shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line per case, for people.
    Terminal,
    /// KTAP version 1, as kunit.py parses it.
    Ktap,
    /// TAP version 13, as the kernel's selftests print it.
    Tap13,
    /// One JSON document.
    Json,
}

fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=1000) => Ok(jobs),
        _ => Err("a number from 1 to 1000 is needed".into()),
    }
}
