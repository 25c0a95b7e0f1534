//! What a kernel costs: a bare boot, the two quizzes, each further case, and every kernel
//! with the quizzes.
//!
//! `cargo bench --bench machines [-- TURNS]`. Everything is measured in turns within one
//! run. Needs QEMU, and kernels that are ready: `sockmig kernels fetch`.

mod measured;

use std::process::Command;
use std::time::Duration;

use crate::measured::{Cost, cost, median};

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
    let mut costs: Vec<Vec<Cost>> = MEASURED.iter().map(|_| vec![]).collect();
    for _ in 0..turns {
        for (costs, (_, arguments)) in costs.iter_mut().zip(MEASURED) {
            costs.push(cost(Command::new(SOCKMIG).args(*arguments)));
        }
    }
    println!("{KERNEL}, medians of {turns} turns {:>20} {:>9}", "wall", "CPU");
    let medians: Vec<Cost> = costs.iter().map(|costs| median(costs)).collect();
    for ((what, _), Cost { wall, cpu }) in MEASURED.iter().zip(&medians) {
        println!("  {what:<42} {:>7.2} s {:>7.2} s", wall.as_secs_f64(), cpu.as_secs_f64());
    }
    let further = cases() - 12;
    let [bare, quizzes, all, ..] = medians[..] else { unreachable!("a median each") };
    let ratio = |of: fn(Cost) -> Duration| of(quizzes).as_secs_f64() / of(bare).as_secs_f64();
    let each = |of: fn(Cost) -> Duration| {
        of(all).saturating_sub(of(quizzes)).as_secs_f64() * 1000.0 / further as f64
    };
    let (wall, cpu) = (ratio(|cost| cost.wall), ratio(|cost| cost.cpu));
    println!("  {:<42} {wall:>7.2}   {cpu:>7.2}", "quizzes / bare boot");
    let (wall, cpu) = (each(|cost| cost.wall), each(|cost| cost.cpu));
    println!("  {:<42} {wall:>7.0} ms {cpu:>6.0} ms", format!("each of {further} further cases"));
}

fn cases() -> usize {
    let listed = Command::new(SOCKMIG).arg("list").output().expect("it can be started");
    listed.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count()
}
