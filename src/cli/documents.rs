//! The subcommands that run nothing and read documents.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::{files, help};

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

With --case, what is on one ladder alone is marked: times are not compared, and what was
folded is alike. Two kernels, and migration off and on:
  sockmig diff --case quiz1/v4/on before.json after.json
  sockmig diff --case quiz1/v4 run.json

Exit codes:
  0    no regression; with --case, both were shown
  1    regressions; with --strict, also what is gone, no longer said or not run
  2    the command line is wrong
  69   a document cannot be read, or the result not written";

/// `sockmig diff`.
#[derive(Debug, Args)]
#[command(after_help = DIFF_HELP)]
pub struct DiffArguments {
    /// How it was: a run.json or a matrix.json.
    #[arg(value_name = "BEFORE.json")]
    pub before: PathBuf,

    /// How it is. With --case it may be left out: both runs are in the first then.
    #[arg(value_name = "AFTER.json", required_unless_present = "case")]
    pub after: Option<PathBuf>,

    /// Show two runs of a case next to each other instead, as ladders: its full id, or the
    /// start of one of which there are just two; twice for two cases.
    #[arg(long, value_name = "ID")]
    pub case: Vec<String>,

    /// With --case, only kernels of a matrix whose names start so; may be repeated.
    #[arg(long, value_name = "KERNEL", requires = "case")]
    pub kernel: Vec<String>,

    /// Count as a regression what the second document does not say: a verdict that there was,
    /// a case or a kernel that is gone, a case that was not run, and two documents that have
    /// nothing in common. For a CI that must not take an empty result for a good one.
    #[arg(long, conflicts_with = "case")]
    pub strict: bool,

    /// How to show the differences; `svg` only with --case.
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
    /// A picture of two ladders.
    Svg,
}

/// `sockmig merge`.
#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\n{}", help::MERGE, help::MATRIX_EXIT_CODES))]
pub struct MergeArguments {
    /// The parts: matrix.json files of `sockmig matrix`.
    #[arg(value_name = "PART.json", required = true)]
    pub parts: Vec<PathBuf>,

    /// Write the whole matrix to a file.
    #[arg(long, value_name = "MERGED.json", value_parser = files::besides_stdout())]
    pub out: Option<PathBuf>,

    /// Write JUnit's XML to a file.
    #[arg(long, value_name = "FILE", value_parser = files::besides_stdout())]
    pub junit: Option<PathBuf>,

    /// Write Markdown to a file. GitHub's summary of a job gets it anyway.
    #[arg(long, value_name = "FILE", value_parser = files::besides_stdout())]
    pub markdown: Option<PathBuf>,

    /// Count a flaky case as a deviation: one that failed in a slow lab, and did not when it
    /// was tried again.
    #[arg(long)]
    pub deny_flaky: bool,
}

const REPORT_HELP: &str = "\
Examples:
  sockmig run --out results; sockmig report results/run.json
  sockmig report before/matrix.json after/matrix.json -o what-changed.html

Exit codes:
  0    the page is written, whatever is in it
  2    the command line is wrong
  69   a document cannot be read, or the page not written; no page is left half written";

/// `sockmig report`.
#[derive(Debug, Args)]
#[command(after_help = REPORT_HELP)]
pub struct ReportArguments {
    /// What the page is made of: run.json and matrix.json files, and what `sockmig explore
    /// --format json` writes.
    #[arg(value_name = "DOCUMENT.json", required = true)]
    pub documents: Vec<PathBuf>,

    /// The page; `-` is standard output.
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
}
