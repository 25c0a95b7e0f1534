//! What a case costs in User-Mode Linux, compared with a C program that does the same there, and
//! what every case costs.
//!
//! `cargo bench --bench uml -- KERNEL [TURNS]`. Everything is measured in turns within one run,
//! by processor time. Needs a User-Mode Linux binary, and a C compiler that links statically.

mod measured;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::measured::{Cost, cost, median};

/// How many turns there are unless the caller says.
const TURNS: usize = 5;

/// How many runs of a quiz there are in one machine, besides the first.
const RUNS: u32 = 100;

/// The case that `baseline.c` mirrors.
const CASE: &str = "quiz1/v4/off";

const SOCKMIG: &str = env!("CARGO_BIN_EXE_sockmig");

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let Some(kernel) = words.next() else {
        println!("no User-Mode Linux kernel: cargo bench --bench uml -- KERNEL [TURNS]");
        return;
    };
    let turns = words.next().map_or(TURNS, |turns| turns.parse().expect("a number of turns"));
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let baseline = directory.path().join("baseline");
    compile(&baseline);
    let baseline = baseline.to_string_lossy();
    let (mut of_c, mut of_case, mut of_all) = (vec![], vec![], vec![]);
    for _ in 0..turns.max(1) {
        of_c.push(each(&kernel, |runs| vec![baseline.to_string(), "1".into(), runs]));
        of_case.push(each(&kernel, |runs| {
            [SOCKMIG, "run", "--jobs", "1", "--repeat", &runs, CASE].map(str::to_owned).into()
        }));
        let every = ["matrix", "--jobs", "1", "--kernel", &kernel];
        of_all.push(cost(Command::new(SOCKMIG).args(every)));
    }
    let [c, case, all] = [of_c, of_case, of_all].map(|costs| median(&costs).cpu.as_secs_f64());
    println!("{kernel}, medians of {turns} turns, CPU");
    println!("  {:<32} {:>8.2} ms", "the C program", c * 1e3);
    println!("  {CASE:<32} {:>8.2} ms", case * 1e3);
    println!("  {:<32} {:>8.2}", "ratio", case / c);
    println!("  {:<32} {all:>8.2} s", "every case");
}

fn compile(baseline: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/baseline.c");
    let compiled = Command::new("cc").args(["-O2", "-static", source, "-o"]).arg(baseline).status();
    assert!(compiled.is_ok_and(|status| status.success()), "cc links a static program");
}

/// What one more run costs in a machine that does some.
fn each(kernel: &str, program: impl Fn(String) -> Vec<String>) -> Cost {
    let of = |runs: u32| {
        let mut command = Command::new(SOCKMIG);
        command.args(["vm-run", "--kernel", kernel, "--"]).args(program(runs.to_string()));
        cost(&mut command)
    };
    let (one, many) = (of(1), of(1 + RUNS));
    let share = |many: Duration, one| many.saturating_sub(one) / RUNS;
    Cost { wall: share(many.wall, one.wall), cpu: share(many.cpu, one.cpu) }
}
