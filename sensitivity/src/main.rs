//! Which wrong lines of the kernel the cases notice.
//!
//! One line of the kernel's source is made wrong at a time. Each broken kernel is built as a User-Mode
//! Linux, and cases run on it until one fails. docs/sensitivity.md says how to use it.

mod change;
mod digest;
mod explored;
mod function;
mod kernel;
mod operator;
mod outcome;
mod place;
mod raced;
mod report;
mod results;
mod sample;
mod score;
mod subject;
mod survivor;
mod systematic;
mod token;
mod tools;
mod work;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Parser;

use crate::kernel::{Builder, Machine};
use crate::operator::Operator;
use crate::outcome::Outcome;
use crate::place::Place;
use crate::report::Scored;
use crate::results::Results;
use crate::sample::{Candidate, Sample};
use crate::score::{By, Suite};

/// Measures which wrong lines of the kernel the cases notice.
#[derive(Debug, Parser)]
struct Arguments {
    /// The cases that run on each kernel, or with `--race` the pairs; all of them if nothing is named.
    cases: Vec<String>,

    /// How many systematic changes are drawn and scored. Those for which the compiler makes the same
    /// code are drawn again.
    #[arg(long, value_name = "N", default_value_t = 20)]
    sample: usize,

    /// What they are drawn with: the same seed, the same changes.
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// Only systematic changes of this kind.
    #[arg(long)]
    operator: Option<Operator>,

    /// Only changes of this function.
    #[arg(long, value_name = "NAME")]
    function: Option<String>,

    /// Every change with a name, too.
    #[arg(long)]
    named: bool,

    /// Show the changes, and build nothing.
    #[arg(long)]
    list: bool,

    /// The source of the kernel, in place of Debian's package.
    #[arg(long, value_name = "DIRECTORY")]
    source: Option<PathBuf>,

    /// Where everything is kept that is made. A run that was ended goes on there.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/sensitivity")]
    keep: PathBuf,

    /// The sockmig whose cases run.
    #[arg(long, value_name = "FILE")]
    sockmig: PathBuf,

    /// When the run on one kernel is ended, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    bound: u64,

    /// Instead of cases, play this number of histories that nobody wrote on each kernel, as
    /// `sockmig explore --count` does; the changes with a name are those then whose mechanism the
    /// model knows.
    #[arg(long, value_name = "N", conflicts_with_all = ["cases", "only_survivors"])]
    explore: Option<u64>,

    /// Instead of cases, race pairs on each kernel, each for this number of seconds, as `sockmig race`
    /// does; what is named are pairs then, in place of those that a change is looked for by, and the
    /// changes with a name are those that only two processors can show.
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["explore", "only_survivors"])]
    race: Option<u64>,

    /// With `--race`, on kernels that watch their memory, their locks and their objects (KASAN, lockdep
    /// and others), and not only what they do.
    #[arg(long, requires = "race")]
    watched: bool,

    /// Score only what no sockmig has noticed yet and what a case could notice: for one that has the
    /// cases of those before it, and more.
    #[arg(long)]
    only_survivors: bool,

    /// How many kernels are scored at the same time.
    #[arg(long, value_name = "N", default_value_t = 2)]
    jobs: usize,

    /// Write the report to this file; otherwise it is shown.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(arguments.sockmig.is_file(), "{} is no sockmig", arguments.sockmig.display());
    let machine = match arguments.race {
        Some(_) if arguments.watched => Machine::Watched,
        Some(_) => Machine::TwoProcessors,
        None => Machine::UserMode,
    };
    let place = Place::at(&arguments.keep, machine.directory())?;
    place.put_source(arguments.source.as_deref())?;
    let mut named = match machine {
        Machine::UserMode => subject::named()?,
        Machine::TwoProcessors | Machine::Watched => subject::of_two_processors()?,
    };
    if arguments.explore.is_some() {
        named.retain(|change| change.in_model);
    }
    let sample = Sample {
        wanted: arguments.sample,
        seed: arguments.seed,
        operator: arguments.operator,
        function: arguments.function.clone(),
    };
    let mut candidates = sample.drawn(&place)?;
    if arguments.named {
        candidates.splice(0..0, sample.named(&place, &named)?);
    }
    if arguments.list {
        let lines: Vec<_> = candidates.iter().map(|one| format!("{}\n", one.change)).collect();
        show(&lines.concat())?;
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("building the whole kernel");
    let builder = Builder::new(&place, machine)?;
    let bound = Duration::from_secs(arguments.bound);
    let by = match (arguments.explore, arguments.race) {
        (Some(histories), _) => By::Explore { histories },
        (None, Some(seconds)) => By::Race { pairs: arguments.cases.clone(), seconds },
        (None, None) => By::Cases(arguments.cases.clone()),
    };
    let suite = Suite::new(&arguments.sockmig, by, bound)?;
    let results = Results::open(&place.results())?;
    let survivors = survivor::survivors()?;
    let pairs: BTreeSet<String> =
        candidates.iter().flat_map(|candidate| candidate.pairs.iter().cloned()).collect();
    let work = work::Work {
        builder: &builder,
        suite: &suite,
        place: &place,
        results: &results,
        pairs: &Vec::from_iter(pairs),
        only_survivors: arguments.only_survivors.then_some(&survivors),
    };
    let whole = work.whole()?;
    ensure!(whole == Outcome::Survived, "on the kernel without any change: {whole}");
    // What is checked out when it is done may be another.
    let commit = commit();
    let outcomes = work.done(&candidates, arguments.sample, arguments.jobs)?;
    let scored = Scored {
        kernel: &version(&place)?,
        commit: &commit,
        machine,
        seed: arguments.seed,
        changes: candidates
            .iter()
            .zip(&outcomes)
            .filter_map(|(Candidate { change, .. }, outcome)| Some((change, outcome.as_ref()?)))
            .filter(|(_, outcome)| outcome.is_scored())
            .collect(),
        named: &named,
        survivors: &survivors,
    };
    let text = scored.markdown();
    match &arguments.report {
        Some(file) => {
            fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
        None => show(&text)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output. A reader who has seen enough is no error.
fn show(text: &str) -> anyhow::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("cannot write"),
        _ => Ok(()),
    }
}

/// The commit of this repository that is checked out, and its date.
fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "log", "-1", "--format=commit %h of %cs"]);
    let said = git.output().ok().filter(|output| output.status.success());
    let line = said.and_then(|output| String::from_utf8(output.stdout).ok());
    line.map_or_else(|| "an unknown commit".to_owned(), |line| line.trim().to_owned())
}

/// The source's own version, such as `6.12.117`.
fn version(place: &Place) -> anyhow::Result<String> {
    let makefile = place.pristine("Makefile")?;
    let part = |name: &str| {
        let line =
            makefile.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
        line.map(str::trim).with_context(|| format!("the source's Makefile has no {name}"))
    };
    Ok(format!("{}.{}.{}", part("VERSION")?, part("PATCHLEVEL")?, part("SUBLEVEL")?))
}
