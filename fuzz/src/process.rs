//! Workers, started again and again, and what ended them.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};
use std::{env, thread};

use anyhow::Context;
use clap::ValueEnum;
use harness::process::subprocess::die_with_parent;

use crate::target::Target;

/// How much longer than it should a worker may take before it counts as waiting for something
/// that never comes.
const OVERTIME: Duration = Duration::from_secs(300);

/// No more findings are kept of one run: most are the same ones.
const MOST: usize = 50;

/// What a run of a target found.
#[derive(Debug, Default)]
pub struct Found {
    /// Inputs that were read.
    pub inputs: u64,
    /// The files of those that ended a worker.
    pub findings: Vec<PathBuf>,
}

/// Runs a target for so long, beginning with this seed. Inputs that end a worker are kept in
/// `keep`, each with what the worker said.
///
/// # Errors
/// No worker can be started, or a file not be written.
pub fn run(target: Target, seed: u64, for_: Duration, keep: &Path) -> anyhow::Result<Found> {
    let until = Instant::now() + for_;
    let scratch = scratch()?;
    // Nothing else is in its directory: what a reader writes elsewhere shows.
    let input = scratch.path().join("read/input");
    fs::create_dir(scratch.path().join("read")).context("cannot make a directory")?;
    let mut found = Found::default();
    let mut seed = seed;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || found.findings.len() == MOST {
            return Ok(found);
        }
        let said = scratch.path().join("said");
        let done = scratch.path().join("done");
        let file = |path: &Path| {
            File::create(path).with_context(|| format!("cannot write {}", path.display()))
        };
        let mut worker = Command::new(env::current_exe().context("cannot find this program")?);
        die_with_parent(&mut worker);
        let worker = worker
            .args(["--worker", "--seed", &seed.to_string()])
            .args(["--seconds", &left.as_secs().max(1).to_string()])
            .args([target.name().as_str(), "--input"])
            .arg(&input)
            .stderr(file(&said)?)
            .stdout(file(&done)?)
            .spawn()
            .context("cannot start a worker")?;
        let end = ended(worker, left + OVERTIME)?;
        let said = fs::read_to_string(&said).unwrap_or_default();
        // The number of inputs, where it came to its end.
        let inputs = fs::read_to_string(&done).unwrap_or_default();
        found.inputs += inputs.trim().parse::<u64>().unwrap_or_default();
        if !end.is_some_and(|status| status.success()) {
            let kept = kept(&input, target, keep)?;
            let how = end.map_or("it never ended".to_owned(), |status| status.to_string());
            println!("{}: {} ({how})\n{}", target.name(), kept.display(), said.trim_end());
            found.findings.push(kept);
        }
        seed = seed.wrapping_add(1);
    }
}

impl Target {
    /// As the command line has it.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A directory in memory, if there is one: every input is written there.
pub fn scratch() -> anyhow::Result<tempfile::TempDir> {
    let mut made = tempfile::Builder::new();
    made.prefix("sockmig-fuzz-");
    let in_memory = made.tempdir_in("/dev/shm");
    in_memory.or_else(|_| made.tempdir()).context("cannot make a temporary directory")
}

/// How it ended; nothing if it had to be killed.
fn ended(mut worker: Child, within: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let until = Instant::now() + within;
    while Instant::now() < until {
        if let Some(status) = worker.try_wait().context("cannot wait for a worker")? {
            return Ok(Some(status));
        }
        // It works for minutes: how soon its end is noticed does not matter.
        thread::sleep(Duration::from_millis(100));
    }
    worker.kill().context("cannot kill a worker")?;
    worker.wait().context("cannot wait for a worker")?;
    Ok(None)
}

fn kept(input: &Path, target: Target, keep: &Path) -> anyhow::Result<PathBuf> {
    let bytes = fs::read(input).with_context(|| format!("cannot read {}", input.display()))?;
    let mut hash = DefaultHasher::new();
    bytes.hash(&mut hash);
    let directory = keep.join(target.name());
    let path = directory.join(format!("{:016x}", hash.finish()));
    let write = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, bytes));
    write.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
