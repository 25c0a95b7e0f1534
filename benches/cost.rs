//! What a case costs compared with a plain C program that does the same, and what the suite
//! costs compared with the longest timer of the kernel that it has to wait for.
//!
//! `cargo bench --bench cost [-- TURNS]`. Everything is measured in turns within one run,
//! so that whatever else the machine does falls on both sides.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::kernel::Kernel;
use harness::process::Labs;
use scenarios::case::Selected;
use scenarios::catalogue;
use scenarios::engine::{self, RunPlan};
use scenarios::judge::Verdict;
use scenarios::requirement::Patience;

/// The case that `baseline.c` mirrors.
const CASE: &str = "quiz1/v4/off";

/// How the runs of a turn follow each other.
struct Turn {
    name: &'static str,
    jobs: usize,
    runs: usize,
}

/// `a run` of the first is what a case costs until nothing is left of its lab; in the
/// others, a lab is taken down while the next one works.
const KINDS: &[Turn] = &[
    Turn { name: "alone", jobs: 1, runs: 1 },
    Turn { name: "one after the other", jobs: 1, runs: 5 },
    Turn { name: "two at a time", jobs: 2, runs: 5 },
];

/// How many turns there are, and how many runs of the suite, unless the caller says.
const TURNS: usize = 20;

fn main() {
    engine::enter_if_lab();
    let turns = turns();
    let labs = Labs::default();
    let kernel = engine::probe(&labs)
        .unwrap_or_else(|broken| panic!("{}", scenarios::advice::no_lab(&broken)));
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

/// A case against the C programme.
fn compare(kernel: &Kernel, turns: usize) {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let baseline = compile(directory.path());
    if baseline.is_none() {
        println!("no C compiler `cc` that works: {CASE} without the C program to compare it with");
    }
    let case = catalogue::select(&[CASE.into()]).expect("the case")[0];
    println!("\n{:32}{HEADER}{:>10}", "ms", "a run");
    for turn in KINDS {
        let mut of_c = Samples::default();
        let mut of_case = Samples::default();
        for _ in 0..turns {
            if let Some(baseline) = &baseline {
                of_c.add(run_baseline(baseline, turn));
            }
            of_case.add(run_case(kernel, case, turn));
        }
        if baseline.is_some() {
            println!("{:32}{}", format!("C programme, {}", turn.name), of_c.row());
        }
        println!("{:32}{}", format!("{CASE}, {}", turn.name), of_case.row());
        if baseline.is_some() {
            println!("{:32}{}", "  ratio", of_case.ratio(&of_c));
        }
    }
}

/// The suite against the longest timer that it waits for.
fn suite(labs: &Labs, kernel: &Kernel, turns: usize) {
    let selection = catalogue::all();
    let plan = RunPlan { patience: Patience::Short, ..RunPlan::default() };
    let waited_for = selection.iter().filter(|selected| !selected.case.is_long());
    let longest = waited_for.map(|selected| selected.case.waits_for).max();
    let longest = longest.unwrap_or_default();
    let mut samples = Samples::default();
    for _ in 0..turns {
        let started = Instant::now();
        engine::run(labs, kernel, &selection, plan, |event| {
            if let engine::Event::Finished(outcome) = event {
                expect_no_failure(&outcome.id, &outcome.verdict);
            }
        });
        let each = vec![started.elapsed()];
        labs.wait();
        samples.add(Samples { each, whole: started.elapsed() });
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
fn run_baseline(baseline: &Path, turn: &Turn) -> Samples {
    let output = Command::new(baseline)
        .args([turn.jobs.to_string(), turn.runs.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .expect("the C programme starts");
    assert!(output.status.success(), "the C programme: {}", output.status);
    let micros = String::from_utf8_lossy(&output.stdout).into_owned();
    let micros = micros.lines().map(|line| line.parse().expect("microseconds"));
    let each: Vec<_> = micros.map(Duration::from_micros).collect();
    // The programme's own start is not one of its runs.
    let whole = each.iter().sum::<Duration>() / turn.jobs as u32;
    Samples { each, whole }
}

/// One turn of the case. Ends when nothing is left of any of its labs.
fn run_case(kernel: &Kernel, case: Selected, turn: &Turn) -> Samples {
    let started = Instant::now();
    let labs = Labs::default();
    let in_a_row = || -> Vec<Duration> {
        let run = |_| {
            let outcome =
                engine::run_once(&labs, kernel, &case, 1, RunPlan::default()).expect("a lab");
            expect_no_failure(&outcome.id, &outcome.verdict);
            outcome.took
        };
        let each = (0..turn.runs).map(run).collect();
        // A lab dies with the thread that started it, so that this one has to wait.
        labs.wait();
        each
    };
    let each = thread::scope(|scope| {
        let jobs: Vec<_> = (0..turn.jobs).map(|_| scope.spawn(in_a_row)).collect();
        jobs.into_iter().flat_map(|job| job.join().expect("a job")).collect()
    });
    Samples { each, whole: started.elapsed() }
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
    fn add(&mut self, more: Self) {
        self.each.extend(more.each);
        self.each.sort_unstable();
        self.whole += more.whole;
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
