//! The command line, and the help that teaches it.

mod documents;
pub mod environment;
mod explore;
mod failures;
mod files;
mod help;
mod inspect;
mod install;
mod known;
mod machine;
mod number;
mod race;
mod reload;
mod shard;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use vm::architecture::Architecture;

pub use crate::cli::documents::{DiffArguments, DiffFormat, MergeArguments, ReportArguments};
pub use crate::cli::explore::{ExploreArguments, ExploreFormat, ReplayArguments, ScriptArguments};
pub use crate::cli::failures::FailureOptions;
pub use crate::cli::inspect::{InspectArguments, InspectFormat};
pub use crate::cli::install::{
    CompletedShell, CompletionsArguments, DocumentKind, KselftestArguments, ManArguments,
    SchemaArguments,
};
pub use crate::cli::known::{KnownArguments, KnownCommand, KnownOption};
pub use crate::cli::machine::{AccelChoice, ClockChoice, MachineArguments, OtherKernel};
pub use crate::cli::race::RaceArguments;
pub use crate::cli::reload::{ReloadArguments, ReloadFormat, WindowChoice};
pub use crate::cli::shard::{MOST_SHARDS, Shard};

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
  SOCKMIG_LONG       `1` runs the cases with long timers, as --long does
  KSFT_MACHINE_SLOW  wait this many times longer, at least three times; `yes` is three

Exit codes:
  0    as expected (known bugs are)
  1    the kernel deviates; with --deny-skips or --deny-flaky, a case is skipped or flaky
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
    /// Teach a case: what it does, what must happen, who says so, which functions of the
    /// kernel act, since when, known bugs, what to do; and run it.
    Explain(ExplainArguments),
    /// Look at the listeners of this machine: which of them are one group, and what a close of
    /// each would do now.
    Inspect(InspectArguments),
    /// Measure which way of reloading a server loses how many connections.
    Reload(ReloadArguments),
    /// Play histories that nobody wrote, and hold what the kernel does against a model.
    Explore(ExploreArguments),
    /// Have two acts done at the same time, on two processors, and look for what neither order
    /// of them explains.
    Race(RaceArguments),
    /// Play a history that was found, act by act.
    Replay(ReplayArguments),
    /// Print a history as a Python program that stands alone.
    Script(ScriptArguments),
    /// Show what this machine lets sockmig do, and what to change where it does not.
    #[command(after_help = help::DOCTOR)]
    Doctor,
    /// List, fetch and forget the kernels that cases can run on in a virtual machine.
    Kernels(KernelsArguments),
    /// List the known bugs, and check a list of your own.
    Known(KnownArguments),
    /// Run cases on many kernels, each booted in a machine of its own.
    Matrix(MatrixArguments),
    /// Run a program on another kernel as if it ran here.
    VmRun(VmRunArguments),
    /// Compare two results: regressions, fixes, and what else changed.
    Diff(DiffArguments),
    /// Put the parts of a matrix together, and show its table.
    ///
    /// All parts must be of the same selection and of the same sockmig. Kernels stand in
    /// the order in which the parts bring them; a kernel may be in two parts only with
    /// equal results. A shard that is missing is reported, and what is there is shown.
    Merge(MergeArguments),
    /// Make one HTML page of results.
    ///
    /// Every kernel of every document gets a column. Two of one name are distinguished by
    /// their documents' paths. The page needs no network and no script; captures that are
    /// kept next to the documents are linked to.
    Report(ReportArguments),
    /// Print the JSON Schema of a document.
    Schema(SchemaArguments),
    /// Print the man page, or write a page for each subcommand.
    Man(ManArguments),
    /// Print completions of the command line for a shell.
    Completions(CompletionsArguments),
    /// Install sockmig as a test for the runner of the kernel's selftests.
    ///
    /// The directory gets what `make install` of a selftest makes: the program, a script that
    /// runs it, `config` and `settings`. The list of tests gets a line, and where the
    /// directory has no run_kselftest.sh, it gets one.
    KselftestInstall(KselftestArguments),
}

/// What they mean to `git bisect run`.
const BISECT_EXIT_CODES: &str = "\
Exit codes with --bisect:
  0    good: every case that ran is as it must be
  1    bad: a case fails or has a known bug, the kernel panics, or its log has a complaint
  125  cannot be tested: no such kernel, it never boots or hangs, or every case was skipped
  129  the command line is wrong: git gives the bisection up
  130  interrupted, the same";

/// `sockmig matrix`.
#[derive(Debug, Args)]
#[command(after_help = format!("{}\n\n{}\n\n{BISECT_EXIT_CODES}", help::MATRIX, help::MATRIX_EXIT_CODES))]
pub struct MatrixArguments {
    /// Only cases whose ids start with one of these; `sockmig list` shows the ids.
    #[arg(value_name = "ID-PREFIX")]
    pub ids: Vec<String>,

    #[command(flatten)]
    pub machine: MachineArguments,

    #[command(flatten)]
    pub known: KnownOption,

    /// How many machines run at a time [default: one for each core].
    #[arg(long, value_name = "N", value_parser = number::between::<usize>(1..=1000))]
    pub jobs: Option<usize>,

    /// Give every case a kernel of its own: the machine is saved when it is up, and goes
    /// on from there for each. For cases that leave a kernel damaged.
    #[arg(long)]
    pub fresh: bool,

    /// Only the K-th of N parts of the kernels; `sockmig merge` puts the parts together.
    #[arg(long, value_name = "K/N")]
    pub shard: Option<Shard>,

    /// Kill a case that has not ended after this many seconds of the guest's clock [default:
    /// 30 and its timers].
    #[arg(long, value_name = "SECONDS", value_parser = number::between::<u32>(1..=86_400))]
    pub deadline: Option<u32>,

    /// Answer `git bisect run`: with a kernel that is as it must be 0, with one that
    /// deviates 1, with one that says nothing 125. It ends at the first deviation. `--bisect=fix` looks for the commit that
    /// fixes it instead. Needs one kernel.
    #[arg(long, value_name = "WHAT", value_enum, num_args = 0..=1, require_equals = true,
          default_missing_value = "bug", requires = "kernel",
          conflicts_with_all = ["shard", "max_fail", "fail_fast"])]
    pub bisect: Option<Sought>,

    #[command(flatten)]
    pub failures: FailureOptions,

    /// Count a flaky case as a deviation: one that failed in a slow lab, and did not when it
    /// was tried again.
    #[arg(long, conflicts_with = "bisect")]
    pub deny_flaky: bool,

    /// Keep matrix.json, and for each kernel the captures and the console, in this
    /// directory.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// How to show the results. All but the table are written at the end.
    #[arg(long, value_enum, default_value_t = MatrixFormat::Table, conflicts_with = "bisect")]
    pub format: MatrixFormat,

    /// Write JUnit's XML to a file as well.
    #[arg(long, value_name = "FILE", value_parser = files::besides_stdout())]
    pub junit: Option<PathBuf>,

    /// Write a page of Markdown to a file as well. In a GitHub workflow the step's summary
    /// gets it anyway.
    #[arg(long, value_name = "FILE", value_parser = files::besides_stdout())]
    pub markdown: Option<PathBuf>,
}

/// What a matrix is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MatrixFormat {
    /// A row for each kernel, for people.
    Table,
    /// KTAP version 1: a test for each kernel, and in it a subtest for each case.
    Ktap,
    /// TAP version 13: a test for each case on each kernel.
    Tap13,
    /// One JSON document.
    Json,
}

/// `--bisect`: which commit is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sought {
    /// The first one that deviates.
    Bug,
    /// The first one that does not any more: 0 and 1 change places, as `git bisect start
    /// --term-old=broken --term-new=fixed` wants them.
    Fix,
}

/// `sockmig vm-run`.
#[derive(Debug, Args)]
#[command(after_help = VM_RUN_EXAMPLES)]
pub struct VmRunArguments {
    #[command(flatten)]
    pub machine: MachineArguments,

    /// Let the guest see this file or directory too, at the same path.
    #[arg(long, value_name = "PATH")]
    pub share: Vec<PathBuf>,

    /// End the guest if nothing was heard of it for this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600,
          value_parser = number::between::<u32>(1..=86_400))]
    pub silence: u32,

    /// A static binary, and its arguments.
    #[arg(
        value_name = "BINARY",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<String>,
}

const VM_RUN_EXAMPLES: &str = "\
The guest gets the binary, the workspace's directory when cargo runs it, and no other file;
its clock is the emulator's unless --clock real is given. Of several kernels that --kernel
names, the newest is booted, and standard error says which that is. The program's standard
input is empty. What it leaves running ends with it. The exit code is the program's; 69 means
that the machine failed, and standard error says how.

Example: plain `cargo test` under another kernel, through cargo's runner setting
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='sockmig vm-run --kernel 6.12 --' cargo test";

/// `sockmig kernels`.
#[derive(Debug, Args)]
#[command(after_help = help::KERNELS)]
pub struct KernelsArguments {
    /// What to do with the kernels.
    #[command(subcommand)]
    pub command: KernelsCommand,
}

/// The subcommands of `sockmig kernels`.
#[derive(Debug, Subcommand)]
pub enum KernelsCommand {
    /// List the kernels that can be fetched by name, and which are in the cache.
    #[command(after_help = help::KERNELS)]
    List {
        /// Those for x86_64, arm64 or s390x [default: this machine's architecture].
        #[arg(long, value_name = "ARCH", value_parser = machine::architecture)]
        arch: Option<Architecture>,
    },
    /// Fetch kernels with apt and make them ready to boot.
    ///
    /// Packages come from the mirror in apt's own configuration of this machine, without
    /// root and without touching apt's state. apt checks the archive's signature, and
    /// each package must have the hash that sockmig knows. What was cut off goes on where
    /// it stopped.
    #[command(after_help = FETCH_EXIT_CODES)]
    Fetch {
        /// Only kernels whose names start with these numbers: 6.1 is every 6.1.x, and
        /// never 6.12 [default: all].
        #[arg(value_name = "NAME")]
        names: Vec<String>,

        /// Those for x86_64, arm64 or s390x [default: this machine's architecture].
        #[arg(long, value_name = "ARCH", value_parser = machine::architecture)]
        arch: Option<Architecture>,
    },
    /// Remove from the cache what is no longer of use.
    ///
    /// That is what the list of kernels no longer names, what a killed run left half
    /// done, and kernels prepared from files that are gone or have changed since.
    #[command(after_help = help::KERNELS)]
    Prune {
        /// Remove everything.
        #[arg(long)]
        all: bool,
    },
}

const FETCH_EXIT_CODES: &str = "\
Example:
  sockmig kernels fetch 6.12 7.2    two lines of the list

The cache is $SOCKMIG_CACHE, $XDG_CACHE_HOME/sockmig, or ~/.cache/sockmig.

Exit codes:
  0    every kernel that was named is ready; without names, those that the mirror has
  2    no such kernel
  69   one that was named cannot be had, or none at all, or the cache cannot be used
  130  interrupted";

/// `sockmig list`.
#[derive(Debug, Args)]
#[command(after_help = help::LIST)]
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
    /// An arrow's label is `flags first:end(bytes) ack n`, numbers relative to the
    /// connection's first ones, as in packetdrill. It goes to the listener that has the
    /// connection, or to S where that is not known. `--trace=plain` shows a line for each
    /// segment, with window and options.
    #[arg(long, value_name = "HOW", value_enum, num_args = 0..=1, require_equals = true,
          default_missing_value = "ladder")]
    pub trace: Option<TraceStyle>,

    /// How to show the verdicts.
    #[arg(long, value_enum, default_value_t = Format::Terminal)]
    pub format: Format,

    /// Write JUnit's XML to a file as well.
    #[arg(long, value_name = "FILE", value_parser = files::besides_stdout())]
    pub junit: Option<PathBuf>,

    /// Write a short page of Markdown to a file as well, for a pull request.
    #[arg(long, value_name = "FILE", value_parser = files::besides_stdout())]
    pub markdown: Option<PathBuf>,

    /// Keep the captures (pcapng) and run.json in this directory.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Run everything this many times.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = number::between::<u32>(1..=100_000))]
    pub repeat: u32,

    /// How many cases run at a time, and three times as many more of those that wait for the
    /// kernel's timers; 1 is one after the other [default: sixteen for each core].
    #[arg(long, value_name = "N", value_parser = number::between::<usize>(1..=1000))]
    pub jobs: Option<usize>,

    /// Kill a case that has not ended after this many seconds [default: 30 and its timers].
    #[arg(long, value_name = "SECONDS", value_parser = number::between::<u32>(1..=86_400))]
    pub deadline: Option<u32>,

    /// Run the cases too that wait longer than three and a half seconds for the kernel's timers.
    #[arg(long)]
    pub long: bool,

    #[command(flatten)]
    pub known: KnownOption,

    #[command(flatten)]
    pub failures: FailureOptions,

    /// Count a skip as a deviation.
    #[arg(long)]
    pub deny_skips: bool,

    /// Count a flaky case as a deviation: one that failed in a slow lab, and did not when it
    /// was tried again.
    #[arg(long)]
    pub deny_flaky: bool,
}

/// `--trace`: how a trace is shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TraceStyle {
    /// A column for each actor, and an arrow for each segment.
    Ladder,
    /// A line for each segment.
    Plain,
}

/// `sockmig explain`.
#[derive(Debug, Args)]
#[command(after_help = help::EXPLAIN)]
pub struct ExplainArguments {
    /// The id of a case, or the start of one; or what else is to be explained: a CVE, a
    /// commit's hash, a known bug's id, a sysctl, a function or counter of the kernel, a server.
    #[arg(value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub id: String,

    #[command(flatten)]
    pub known: KnownOption,

    /// Do not run the case; show what must be observed instead.
    #[arg(long)]
    pub no_run: bool,
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

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Arguments;

    /// The command and everything below it, each with how it is called.
    fn all(command: &Command, called: &str) -> Vec<(String, Command)> {
        let below = command.get_subcommands().flat_map(|sub| {
            let called = format!("{called} {}", sub.get_name());
            all(sub, &called)
        });
        [(called.to_owned(), command.clone())].into_iter().chain(below).collect()
    }

    #[test]
    fn every_help_has_an_example_and_the_exit_codes() {
        let mut command = Arguments::command();
        command.build();
        for (called, mut command) in all(&command, "sockmig") {
            let help = command.render_long_help().to_string();
            let after = help.split_once("--help").expect("the option").1.to_owned();
            // The parent's name stands for what has a few of its own.
            let example = called.rsplit_once(' ').map_or(&*called, |(parent, _)| parent);
            assert!(after.contains(example), "no example of `{called}`:\n{help}");
            assert!(after.to_lowercase().contains("exit code"), "`{called}`:\n{help}");
        }
    }
}
