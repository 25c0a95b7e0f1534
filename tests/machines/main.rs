//! Machines with real kernels, as the command starts, watches and ends them.
//!
//! They boot what is ready in the cache and nothing else: the network is never used.
//! What cannot run here is ignored, and says why.

mod bisect;
mod broken;
mod explore;
mod kernels;
mod locks;
mod matrix;
mod packages;
mod play;
mod program;
mod race;
mod reload;
#[path = "../support/mod.rs"]
mod support;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

use kernels::{EDGES, Kernels};
use packages::Tool;

/// What a test needs of this machine: which kernels it can use, and what it boots them with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing.
    Nothing,
    /// Any kernel, and nothing to boot it with.
    Kernel,
    /// Any kernel, one machine at a time.
    Machine,
    /// A kernel with migration (Linux 5.14), one machine at a time.
    Migrating,
    /// A kernel that brings modules, one machine at a time.
    Modules,
    /// A kernel that is booted from an ELF, one machine at a time.
    Elf,
    /// Any two kernels, and two machines at a time.
    Two,
    /// The last kernel with the lost wake-up in its line, and the first with the fix.
    Edge,
    /// A KVM that opens and never runs a guest, and any kernel.
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
        race::TESTS,
        explore::TESTS,
        reload::TESTS,
        broken::TESTS,
    ]
    .concat();
    let any_cache: Test = ("kernels/any_cache_will_do", Needs::Nothing, kernels::any_cache_will_do);
    tests.push(any_cache);
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
    if needs == Needs::Nothing {
        return None;
    }
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
            let edges = EDGES.map(|edge| format!("sockmig kernels fetch {}", edge.join(" ")));
            Some(edges.join(", or "))
        }
        Needs::Migrating if kernels.migrating().is_none() => {
            Some("no kernel with migration in the cache: sockmig kernels fetch 6.12".into())
        }
        Needs::Modules if kernels.with_modules().is_none() => {
            Some("no kernel with modules in the cache: sockmig kernels fetch 6.12".into())
        }
        Needs::Elf if kernels.vmlinux().is_none() => {
            Some("no kernel in the cache is booted from an ELF: sockmig kernels fetch 6.12".into())
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

/// QEMU for the kernels that are booted here.
pub const PROGRAM: &str = "qemu-system-x86_64";

fn has_qemu() -> bool {
    let version = Command::new(PROGRAM).arg("--version").output();
    version.is_ok_and(|version| version.status.success())
}
