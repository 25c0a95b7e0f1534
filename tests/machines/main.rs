//! Machines with real kernels, as the command starts, watches and buries them.
//!
//! They boot what is ready in the cache and nothing else: the network is never used.
//! What cannot run here is ignored, and says why.

mod bisect;
mod broken;
mod kernels;
mod matrix;
mod play;
mod program;
mod reload;
#[path = "../support/mod.rs"]
mod support;

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

use kernels::Kernels;

/// What a test needs of this machine, beside one kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// A kernel, and nothing to boot it with.
    Kernel,
    /// One machine at a time.
    Machine,
    /// Two kernels, and two machines at a time.
    Two,
    /// The kernels on both sides of the lost wake-up's mending.
    Edge,
    /// A KVM that opens and never runs a guest.
    DeadKvm,
}

/// A test: its name, what it needs, and what it does.
type Test = (&'static str, Needs, fn(&Kernels));

fn main() -> ExitCode {
    // In a guest this is the program that is run.
    if let Some(part) = play::part() {
        return play::play(&part);
    }
    let mut arguments = Arguments::from_args();
    // As many as there are slots.
    arguments.test_threads.get_or_insert(SLOTS.len());
    let kernels = Kernels::in_cache();
    let tests =
        [bisect::TESTS, matrix::TESTS, program::TESTS, reload::TESTS, broken::TESTS].concat();
    let trials = tests.into_iter().enumerate().map(|(index, test)| trial(index, test, &kernels));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn trial(index: usize, (name, needs, test): Test, kernels: &Kernels) -> Trial {
    let unmet = unmet(needs, kernels);
    let name = match &unmet {
        // libtest's own list has no place for a reason but the name.
        Some(reason) => format!("{name} ({reason})"),
        None => name.into(),
    };
    let kernels = kernels.clone();
    Trial::test(name, move || {
        let _slots = match needs {
            Needs::Two | Needs::Edge => SLOTS.map(slot).into(),
            _ => vec![slot(SLOTS[index % SLOTS.len()])],
        };
        test(&kernels);
        Ok(())
    })
    .with_ignored_flag(unmet.is_some())
}

fn unmet(needs: Needs, kernels: &Kernels) -> Option<String> {
    let two_machines = matches!(needs, Needs::Two | Needs::Edge);
    if kernels.is_empty() {
        return Some("no kernel in the cache: sockmig kernels fetch".into());
    }
    if needs != Needs::Kernel && !has_qemu() {
        return Some("qemu-system-x86_64 is not installed: apt install qemu-system-x86".into());
    }
    if two_machines && !kernels.are_several() {
        return Some("one kernel in the cache: sockmig kernels fetch".into());
    }
    match needs {
        Needs::Edge if kernels.edge().is_none() => {
            Some("sockmig kernels fetch 6.1.174 6.1.176".into())
        }
        Needs::DeadKvm if !kernels.has_dead_kvm() => {
            Some("no KVM that is known to open and run nothing".into())
        }
        _ => None,
    }
}

fn has_qemu() -> bool {
    let told = Command::new(vm::qemu::PROGRAM).arg("--version").output();
    told.is_ok_and(|told| told.status.success())
}

/// So many machines run at a time, those of other test processes among them.
const SLOTS: [&str; 2] = ["machine-1", "machine-2"];

/// Waits for a slot. Those who need several take them in order, so that none waits for
/// another that waits for it.
fn slot(name: &str) -> File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let file = File::create(path).expect("a file to lock");
    file.lock().expect("the lock");
    file
}
