//! Damaged and hostile inputs for everything of sockmig that reads files.
//!
//! Inputs are made from whole ones, by changes that know their formats. A worker process with a
//! limit on memory reads one after the other; whatever ends it (a panic, memory, a stack, time) is a
//! finding, whose input is kept. docs/fuzzing.md says how to use it.

mod corpus;
mod mutation;
mod process;
mod reading;
mod target;
mod worker;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, ValueEnum};

use crate::target::Target;

/// Has damaged and hostile inputs read, and keeps those that should have been refused.
#[derive(Debug, Parser)]
struct Arguments {
    /// What to fuzz; everything if nothing is named.
    targets: Vec<Target>,

    /// How long each target is fuzzed.
    #[arg(long, default_value_t = 60)]
    seconds: u64,

    /// What the inputs are made from: the same seed, the same inputs. By default another one each
    /// time.
    #[arg(long)]
    seed: Option<u64>,

    /// Where inputs are kept that were a finding.
    #[arg(long, default_value = "target/fuzz")]
    keep: PathBuf,

    /// Reads this input instead, as one target does, and shows what comes of it.
    #[arg(long, conflicts_with = "seconds")]
    again: Option<PathBuf>,

    /// This is a worker.
    #[arg(long, hide = true, requires = "input")]
    worker: bool,

    /// The file that a worker's input is in.
    #[arg(long, hide = true)]
    input: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..));
    let for_ = Duration::from_secs(arguments.seconds);
    let targets = match arguments.targets.as_slice() {
        [] => Target::value_variants(),
        named => named,
    };
    if let (true, Some(input)) = (arguments.worker, &arguments.input) {
        println!("{}", worker::work(targets[0], seed, for_, input)?.inputs);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = &arguments.again {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let place = process::scratch()?;
        for target in targets {
            worker::limit(*target)?;
            println!("{}", worker::again(*target, &bytes, &place.path().join("input"))?);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut findings = 0;
    for target in targets {
        let start = Instant::now();
        let found = process::run(*target, seed, for_, &arguments.keep)?;
        findings += found.findings.len();
        println!(
            "{}: {} inputs in {} s from seed {seed}, findings: {}",
            target.name(),
            found.inputs,
            start.elapsed().as_secs(),
            found.findings.len()
        );
    }
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
