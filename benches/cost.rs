//! What a case costs beside a plain C programme that does the same, and what the suite
//! costs beside the longest timer of the kernel that it has to wait for.
//!
//! `cargo bench --bench cost [-- RUNS]`. Everything is measured in turns within one run,
//! so that whatever else the machine does falls on both sides.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::kernel::Kernel;
use harness::process::Labs;
use scenarios::case::Selected;
use scenarios::engine::{self, Plan};
use scenarios::judge::Verdict;
use scenarios::{catalogue, report};

/// The case that `baseline.c` mirrors.
const CASE: &str = "quiz1/v4/off";

/// How many runs each side has in a turn.
const RUNS_IN_A_TURN: usize = 5;

/// How many turns there are, and how many runs of the suite, unless the caller says.
const TURNS: usize = 20;

fn main() {
    engine::enter_if_lab();
    let turns = turns();
    let labs = Labs::default();
    let kernel =
        engine::probe(&labs).unwrap_or_else(|broken| panic!("{}", report::no_lab(&broken)));
    println!(
        "{kernel}, {} cores, {turns} turns",
        thread::available_parallelism().map_or(1, usize::from)
    );
    compare(&kernel, turns);
    suite(&labs, &kernel, turns);
}

/// The first argument that is not one of cargo's flags.
fn turns() -> usize {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let turns = given.map_or(TURNS, |given| given.parse().expect("a number of turns"));
    turns.max(1)
}

/// A case against the C programme: one after the other, and two at a time.
fn compare(kernel: &Kernel, turns: usize) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let baseline = compile(directory.path());
    if baseline.is_none() {
        println!("no C compiler `cc` that works: {CASE} without the C programme beside it");
    }
    let case = catalogue::select(&[CASE.into()]).expect("the case")[0];
    println!("\n{:32}{HEADER}{:>10}", "ms", "a run");
    for jobs in [1, 2] {
        let mut of_c = Samples::default();
        let mut of_case = Samples::default();
        for _ in 0..turns {
            if let Some(baseline) = &baseline {
                of_c.measure(|| run_baseline(baseline, jobs));
            }
            of_case.measure(|| run_case(kernel, case, jobs));
        }
        let how = if jobs == 1 { "one after the other" } else { "two at a time" };
        if baseline.is_some() {
            println!("{:32}{}", format!("C programme, {how}"), of_c.row());
        }
        println!("{:32}{}", format!("{CASE}, {how}"), of_case.row());
        if baseline.is_some() {
            println!("{:32}{}", "  ratio", of_case.ratio(&of_c));
        }
    }
}

/// The suite against the longest timer that it waits for.
fn suite(labs: &Labs, kernel: &Kernel, turns: usize) {
    let selection = catalogue::all();
    let plan = Plan { rounds: 1, jobs: engine::default_jobs(), deadline: None };
    let longest = selection.iter().map(|selected| selected.case.waits_for).max();
    let longest = longest.unwrap_or_default();
    let mut samples = Samples::default();
    for _ in 0..turns {
        samples.measure(|| {
            let started = Instant::now();
            engine::run(labs, kernel, &selection, plan, |event| {
                if let engine::Event::Finished(outcome) = event {
                    expect_no_failure(&outcome.id, &outcome.verdict);
                }
            });
            let took = started.elapsed();
            labs.wait();
            vec![took]
        });
    }
    println!("\n{:32}{HEADER}{:>10}", "ms", "in all");
    println!(
        "{:32}{}",
        format!("{} cases, {} at a time", selection.len(), plan.jobs),
        samples.row()
    );
    println!("{:32}{:10.2}", "longest timer", millis(longest));
    let timer = Samples { each: vec![longest], whole: longest };
    println!("{:32}{}", "  ratio", samples.ratio(&timer));
}

/// The C programme, if there is a compiler for it.
fn compile(directory: &Path) -> Option<PathBuf> {
    let programme = directory.join("baseline");
    let mut cc = Command::new("cc")
        .args(["-O2", "-x", "c", "-", "-o"])
        .arg(&programme)
        .stdin(Stdio::piped())
        .spawn()
        .ok()?;
    // A compiler that dies early says why; its status is what counts.
    let _ = cc.stdin.take()?.write_all(include_bytes!("baseline.c"));
    cc.wait().ok()?.success().then_some(programme)
}

/// One turn of the C programme, which says itself how long each run took.
fn run_baseline(baseline: &Path, jobs: usize) -> Vec<Duration> {
    let output = Command::new(baseline)
        .args([jobs.to_string(), RUNS_IN_A_TURN.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("the C programme starts");
    assert!(output.status.success(), "the C programme: {}", output.status);
    let micros = String::from_utf8_lossy(&output.stdout).into_owned();
    micros.lines().map(|line| Duration::from_micros(line.parse().expect("microseconds"))).collect()
}

/// One turn of the case. Ends when nothing is left of any of its labs.
fn run_case(kernel: &Kernel, case: Selected, jobs: usize) -> Vec<Duration> {
    let labs = Labs::default();
    let in_a_row = || -> Vec<Duration> {
        (0..RUNS_IN_A_TURN)
            .map(|_| {
                let outcome =
                    engine::run_once(&labs, kernel, &case, 1, engine::default_deadline(&case))
                        .expect("a lab");
                expect_no_failure(&outcome.id, &outcome.verdict);
                outcome.took
            })
            .collect()
    };
    let took = thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(in_a_row)).collect();
        jobs.into_iter().flat_map(|job| job.join().expect("a job")).collect()
    });
    labs.wait();
    took
}

/// A fast failure must not look like a fast success.
fn expect_no_failure(id: &str, verdict: &Verdict) {
    let failed = matches!(verdict, Verdict::Fail { .. } | Verdict::Error { .. });
    assert!(!failed, "{id}: {verdict:?}");
}

const HEADER: &str = "   minimum    median   maximum";

/// What was measured of one side.
#[derive(Default)]
struct Samples {
    /// How long each run took, until its result was there.
    each: Vec<Duration>,
    /// How long all turns took, until nothing was left of any run.
    whole: Duration,
}

impl Samples {
    fn measure(&mut self, turn: impl FnOnce() -> Vec<Duration>) {
        let started = Instant::now();
        self.each.extend(turn());
        self.whole += started.elapsed();
        self.each.sort_unstable();
    }

    /// Minimum, median, maximum; and the share of a run in the whole.
    fn numbers(&self) -> [f64; 4] {
        let count = self.each.len();
        let of = |index: usize| millis(self.each[index]);
        [of(0), of(count / 2), of(count - 1), millis(self.whole) / count as f64]
    }

    fn row(&self) -> String {
        self.numbers().map(|number| format!("{number:10.2}")).concat()
    }

    fn ratio(&self, to: &Self) -> String {
        let (numbers, to) = (self.numbers(), to.numbers());
        std::array::from_fn::<_, 4, _>(|i| format!("{:10.2}", numbers[i] / to[i])).concat()
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
