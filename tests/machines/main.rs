//! Machines with real kernels, as the command starts, watches and ends them.
//!
//! They boot what is ready in the cache and nothing else: the network is never used.
//! What cannot run here is ignored, and says why.

mod bisect;
mod broken;
mod kernels;
mod locks;
mod matrix;
mod packages;
mod play;
mod program;
mod reload;
#[path = "../support/mod.rs"]
mod support;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

use kernels::Kernels;
use packages::Tool;

/// What a test needs of this machine, apart from one kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// A kernel, and nothing to boot it with.
    Kernel,
    /// One machine at a time.
    Machine,
    /// Two kernels, and two machines at a time.
    Two,
    /// The last kernel with the lost wake-up, and the first with the fix.
    Edge,
    /// A KVM that opens and never runs a guest.
    DeadKvm,
    /// Debian's packages of a kernel, tools that make others of them, and one machine.
    Tools(&'static [Tool]),
}

impl Needs {
    fn machines(self) -> usize {
        match self {
            Self::Two | Self::Edge => locks::COUNT,
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
    arguments.test_threads.get_or_insert(locks::COUNT);
    let kernels = Kernels::in_cache();
    let mut tests = [
        bisect::TESTS,
        matrix::TESTS,
        packages::TESTS,
        program::TESTS,
        reload::TESTS,
        broken::TESTS,
    ]
    .concat();
    // After others, a test that needs two machines would leave one idle while it waits.
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
        locks::with_machines(needs.machines(), move || test(&kernels));
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
        Needs::Tools(_) if kernels.debs().is_none() => {
            Some("no package with modules in the cache: sockmig kernels fetch".into())
        }
        Needs::Tools(tools) => {
            let missing = tools.iter().find(|tool| !tool.works())?;
            Some(format!("{} does not work here: apt install {}", missing.program, missing.package))
        }
        _ => None,
    }
}

fn has_qemu() -> bool {
    let version = Command::new(vm::machine::qemu::PROGRAM).arg("--version").output();
    version.is_ok_and(|version| version.status.success())
}
