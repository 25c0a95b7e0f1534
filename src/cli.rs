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

Exit codes:
  0    as expected (known bugs are)
  1    the kernel deviates
  2    the command line is wrong
  4    nothing ran: no such case, or every one was skipped
  69   the laboratory failed, or a result could not be written
  130  interrupted";

/// What the exit codes mean where many kernels are told of.
pub const MATRIX_EXIT_CODES: &str = "\
Exit codes:
  0    as expected (known bugs are)
  1    a case fails, a kernel panics, or its log has a complaint
  2    the command line is wrong
  4    nothing ran: every case was skipped, or no kernel could be fetched
  69   the laboratory failed, a machine hung, died or never booted, a kernel that was
       named cannot be fetched, a shard is missing, or a file cannot be read or written
  130  interrupted";

const DIFF_HELP: &str = "\
What a difference means, from the first document to the second:
  regression      anything -> FAIL; ok, KNOWN, skip or not run -> error; ok -> KNOWN;
                  a machine that panics, hangs, dies or does not boot any more; a
                  complaint in a kernel's log where there was none
  no longer said  ok, KNOWN or FAIL -> skip or not run; a kernel that cannot be fetched
                  any more
  fix             KNOWN, FAIL or error -> ok; a machine that completes again
  said now        skip or not run -> ok or KNOWN; error -> KNOWN
  otherwise       FAIL -> KNOWN, FAIL -> error, and the like; or it deviates differently
  new, gone       only in the second, only in the first document

A case that ran several times is as bad as its worst round. Kernels are matched by their
names. Two documents of one kernel each are compared whatever their kernels are called:
that is how two kernels are compared.

Exit codes:
  0    no regression
  1    regressions
  2    the command line is wrong
  69   a document cannot be read, or the result not written";

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
    /// Compare two results: regressions, fixes, and what else changed.
    Diff(DiffArguments),
    /// Put the parts of a matrix together, and show its table.
    ///
    /// All parts must be of the same selection and of the same sockmig. Kernels stand in
    /// the order in which the parts bring them; a kernel may be in two parts only with
    /// equal results. A shard that is missing is told, and what is there is shown.
    Merge(MergeArguments),
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

/// `sockmig diff`.
#[derive(Debug, Args)]
#[command(after_help = DIFF_HELP)]
pub struct DiffArguments {
    /// How it was: a run.json or a matrix.json.
    #[arg(value_name = "BEFORE.json")]
    pub before: PathBuf,

    /// How it is.
    #[arg(value_name = "AFTER.json")]
    pub after: PathBuf,

    /// How to show the differences.
    #[arg(long, value_enum, default_value_t = DiffFormat::Terminal)]
    pub format: DiffFormat,
}

/// What differences are shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// Groups, for people.
    Terminal,
    /// One JSON document.
    Json,
    /// Markdown, for a pull request.
    Markdown,
}

/// `sockmig merge`.
#[derive(Debug, Args)]
#[command(after_help = MATRIX_EXIT_CODES)]
pub struct MergeArguments {
    /// The parts: matrix.json files of `sockmig matrix`.
    #[arg(value_name = "PART.json", required = true)]
    pub parts: Vec<PathBuf>,

    /// Write the whole matrix to a file.
    #[arg(long, value_name = "MERGED.json")]
    pub out: Option<PathBuf>,

    /// Write JUnit's XML to a file.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Write Markdown to a file. GitHub's summary of a job gets it anyway.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
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
