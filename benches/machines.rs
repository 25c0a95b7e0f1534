//! What a kernel costs: a bare boot, the two quizzes, each further case, and every kernel
//! with the quizzes.
//!
//! `cargo bench --bench machines [-- TURNS]`. Everything is measured in turns within one
//! run. Needs QEMU, and kernels that are ready: `sockmig kernels fetch`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The kernel that single measurements are of.
const KERNEL: &str = "6.12.117";

/// How many turns there are unless the caller says.
const TURNS: usize = 5;

/// What is measured, by the arguments of sockmig that do it.
const MEASURED: &[(&str, &[&str])] = &[
    ("bare boot, and off again", &["vm-run", "--kernel", KERNEL, "--", SOCKMIG, "--version"]),
    ("the two quizzes (12 cases)", &["matrix", "--kernel", KERNEL, "quiz1", "quiz2"]),
    ("every case", &["matrix", "--kernel", KERNEL]),
    (
        "the two quizzes, a kernel each",
        &["matrix", "--kernel", KERNEL, "--fresh", "quiz1", "quiz2"],
    ),
    ("every kernel with the quizzes", &["matrix", "quiz1", "quiz2"]),
];

const SOCKMIG: &str = env!("CARGO_BIN_EXE_sockmig");

fn main() {
    let given = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let turns = given.map_or(TURNS, |given| given.parse().expect("a number of turns")).max(1);
    let mut took: Vec<Vec<Duration>> = MEASURED.iter().map(|_| vec![]).collect();
    for _ in 0..turns {
        for (what, arguments) in took.iter_mut().zip(MEASURED.iter().map(|m| m.1)) {
            what.push(time(Command::new(SOCKMIG).args(arguments)));
        }
    }
    println!("{KERNEL}, the median of {turns} turns");
    let medians: Vec<Duration> = took.into_iter().map(median).collect();
    for ((what, _), median) in MEASURED.iter().zip(&medians) {
        println!("  {what:<32} {:>6.2} s", median.as_secs_f64());
    }
    let (bare, quizzes, all) = (medians[0], medians[1], medians[2]);
    println!(
        "  quizzes / bare boot              {:>6.2}",
        quizzes.as_secs_f64() / bare.as_secs_f64()
    );
    let cases = cases();
    let further = all.saturating_sub(quizzes).as_secs_f64() * 1000.0 / (cases - 12) as f64;
    println!("  each of {:<3} further cases        {further:>6.0} ms", cases - 12);
}

fn time(command: &mut Command) -> Duration {
    let started = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    let took = started.elapsed();
    let status = status.expect("it can be started");
    assert!(status.success(), "{command:?}: {status}");
    took
}

fn cases() -> usize {
    let listed = Command::new(SOCKMIG).arg("list").output().expect("it can be started");
    listed.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}
