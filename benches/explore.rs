//! How many histories that nobody wrote are played in a second, and what one costs.
//!
//! `cargo bench --bench explore [-- SECONDS]`. Two labs play histories that do not wait for timers
//! of the kernel: what those cost is the kernel's time. The numbers are the same each time.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use explore::generate::Recipe;
use explore::job::lab_work;
use explore::model::ModelBug;
use explore::run::{Plan, explore};
use explore::witness;
use harness::process::Labs;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// For how long histories are played, in seconds, unless the caller says.
const SECONDS: u64 = 20;

/// As many labs as the goal is about.
const LABS: usize = 2;

/// What two cores of a machine that does nothing else are to do.
const A_SECOND: f64 = 300.0;

fn main() -> ExitCode {
    harness::process::entry::enter(|work| lab_work(work).unwrap_or_default());
    let labs = Labs::default();
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let seconds = given.map_or(SECONDS, |given| given.parse().expect("a number of seconds"));
    let bugs: BTreeSet<ModelBug> = match witness::found(&labs, ModelBug::ALL) {
        Ok(bugs) => bugs,
        Err(why) => {
            eprintln!("histories cannot be played: {why}");
            return ExitCode::FAILURE;
        }
    };
    let plan = Plan {
        recipe: Recipe { only: vec![], bugs, wait_every: 0 },
        seed: 1,
        count: None,
        time: Some(Duration::from_secs(seconds)),
        jobs: LABS,
        waiting_jobs: 0,
        rest: Duration::ZERO,
        is_guided: false,
        fail_fast: false,
    };
    let (began, before) = (Instant::now(), processor_time());
    let (total, ended) = explore(&labs, &plan, |_| {});
    let (took, used) = (began.elapsed(), processor_time() - before);
    if let Err(why) = ended {
        eprintln!("histories cannot be played: {why}");
        return ExitCode::FAILURE;
    }
    let histories = total.histories.max(1) as f64;
    println!(
        "{} histories of {:.1} acts in {:.1} s with {LABS} labs: {:.0} a second (to reach: {A_SECOND:.0})",
        total.histories,
        total.steps as f64 / histories,
        took.as_secs_f64(),
        histories / took.as_secs_f64(),
    );
    println!(
        "{:.2} ms of processor time a history; {:.0} % of what {LABS} cores have",
        used.as_secs_f64() * 1000.0 / histories,
        used.as_secs_f64() * 100.0 / took.as_secs_f64() / LABS as f64,
    );
    println!("disagreements: {}; left: {}", total.findings.len(), total.left.len());
    ExitCode::SUCCESS
}

/// The processor time of labs that have ended, and of this process.
fn processor_time() -> Duration {
    [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN]
        .into_iter()
        .filter_map(|who| getrusage(who).ok())
        .flat_map(|usage| [usage.user_time(), usage.system_time()])
        .map(duration)
        .sum()
}

fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Duration::from_micros(micros)
}
