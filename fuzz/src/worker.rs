//! The process that reads inputs, one after the other, until it ends or is ended by one of them.

use std::collections::HashSet;
use std::path::Path;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::Context;
use fastrand::Rng;
use nix::sys::resource::{Resource, setrlimit};
use nix::time::{ClockId, clock_gettime};

use crate::mutation;
use crate::target::Target;

/// How long one input may take, of the process's own time: others may use the processors.
const LONGEST: Duration = Duration::from_secs(10);

/// Inputs that reached something new are kept, up to so many.
const MOST: usize = 4000;

/// How the process ends when an input took too long.
pub const TOO_LONG: i32 = 3;

/// What a worker did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Work {
    /// Inputs that were read.
    pub inputs: u64,
    /// Different results among them.
    pub results: usize,
}

/// Reads inputs made from the seed for so long. Each is in the file `input` while it is read.
pub fn work(target: Target, seed: u64, for_: Duration, input: &Path) -> anyhow::Result<Work> {
    let until = Instant::now() + for_;
    limit(target)?;
    let number = watch();
    let mut random = Rng::with_seed(seed);
    let mut corpus = target.corpus();
    let whole = corpus.len();
    let mut results = HashSet::new();
    let mut work = Work::default();
    while Instant::now() < until {
        // Those that are whole are the best to begin with: of them all is read.
        let most = if random.bool() { whole } else { corpus.len() };
        let mut bytes = match work.inputs as usize {
            first if first < whole => corpus[first].clone(),
            _ => corpus[random.usize(..most)].clone(),
        };
        if work.inputs >= whole as u64 {
            for _ in 0..=random.u8(..3) {
                bytes = mutation::changed(&bytes, &mut random);
            }
        }
        number.fetch_add(1, Ordering::Relaxed);
        if results.insert(again(target, &bytes, input)?) && corpus.len() < MOST {
            corpus.push(bytes);
        }
        work.inputs += 1;
        work.results = results.len();
    }
    Ok(work)
}

/// Reads one input.
pub fn again(target: Target, bytes: &[u8], input: &Path) -> anyhow::Result<String> {
    fs::write(input, bytes).with_context(|| format!("cannot write {}", input.display()))?;
    Ok(target.read(bytes, input))
}

/// Memory beyond what is needed is an error of whoever asks for it.
pub fn limit(target: Target) -> anyhow::Result<()> {
    let most = target.address_space();
    setrlimit(Resource::RLIMIT_AS, most, most).context("setrlimit(RLIMIT_AS)")
}

/// Ends the process when an input takes too long. The number is to be changed with each.
fn watch() -> Arc<AtomicU64> {
    let number = Arc::new(AtomicU64::new(0));
    let watched = Arc::clone(&number);
    thread::spawn(move || {
        let mut since = (0, Duration::ZERO);
        loop {
            let now = (watched.load(Ordering::Relaxed), processor_time());
            if now.0 != since.0 {
                since = now;
            }
            if now.1.saturating_sub(since.1) > LONGEST {
                eprintln!("it is not read after {} s of processor time", LONGEST.as_secs());
                exit(TOO_LONG);
            }
            // A sample, not a wait: what is looked for is that nothing happens.
            thread::sleep(Duration::from_millis(500));
        }
    });
    number
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}
