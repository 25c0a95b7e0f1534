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
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

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

impl Needs {
    fn machines(self) -> usize {
        match self {
            Self::Two | Self::Edge => SLOTS.len(),
            _ => 1,
        }
    }
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
    free().extend(SLOTS);
    let kernels = Kernels::in_cache();
    let mut tests =
        [bisect::TESTS, matrix::TESTS, program::TESTS, reload::TESTS, broken::TESTS].concat();
    // Behind others, whoever wants both slots would leave one free while it waits.
    tests.sort_by_key(|(_, needs, _)| needs.machines() == 1);
    let trials = tests.into_iter().map(|test| trial(test, &kernels));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn trial((name, needs, test): Test, kernels: &Kernels) -> Trial {
    let unmet = unmet(needs, kernels);
    let name = match &unmet {
        // libtest's own list has no place for a reason but the name.
        Some(reason) => format!("{name} ({reason})"),
        None => name.into(),
    };
    let kernels = kernels.clone();
    Trial::test(name, move || {
        let _slots = slots(needs.machines());
        test(&kernels);
        Ok(())
    })
    .with_ignored_flag(unmet.is_some())
}

fn unmet(needs: Needs, kernels: &Kernels) -> Option<String> {
    if kernels.is_empty() {
        return Some("no kernel in the cache: sockmig kernels fetch".into());
    }
    if needs != Needs::Kernel && !has_qemu() {
        return Some("qemu-system-x86_64 is not installed: apt install qemu-system-x86".into());
    }
    if needs.machines() > 1 && !kernels.are_several() {
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

/// The slots that no test of this process has.
static FREE: Mutex<Vec<&str>> = Mutex::new(Vec::new());
static FREED: Condvar = Condvar::new();

/// A slot, until it is dropped.
struct Slot {
    name: &'static str,
    _lock: File,
}

impl Drop for Slot {
    fn drop(&mut self) {
        free().push(self.name);
        FREED.notify_all();
    }
}

fn free() -> MutexGuard<'static, Vec<&'static str>> {
    // A test that panics does so elsewhere.
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for so many slots: first for other tests of this process, then for other processes.
/// All are taken in one order, so that none waits for another that waits for it.
fn slots(count: usize) -> Vec<Slot> {
    let mut free =
        FREED.wait_while(free(), |free| free.len() < count).unwrap_or_else(PoisonError::into_inner);
    free.sort_unstable();
    let taken: Vec<_> = free.drain(..count).collect();
    drop(free);
    taken.into_iter().map(|name| Slot { name, _lock: lock(name) }).collect()
}

fn lock(name: &str) -> File {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let file = File::create(path).expect("a file to lock");
    file.lock().expect("the lock");
    file
}
