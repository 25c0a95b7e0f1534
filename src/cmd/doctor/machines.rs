//! What this machine allows `sockmig matrix` and `sockmig vm-run`. None of it keeps the
//! other commands from anything, so that none of it changes the exit code.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::in_words;
use harness::kernel::disk;
use indicatif::DecimalBytes;
use vm::architecture::Architecture;
use vm::boot::no_kernel::NoKernel;
use vm::boot::{image, installed, prepare};
use vm::fetch::cache::Cache;
use vm::fetch::choice;
use vm::fetch::kernels::Kernel;
use vm::machine::{accel, qemu};

use crate::cmd::doctor::finding::Finding;
use crate::machine::prepare::arch_or_own;

/// What a kernel takes in the cache, with its package, and then some.
const ROOM_FOR_A_KERNEL: u64 = 200_000_000;
/// What a machine takes while it runs, even with a saved state next to it.
const ROOM_FOR_A_MACHINE: u64 = 500_000_000;

/// Looks at QEMU, KVM, the cache, and the room for both.
pub fn findings() -> Vec<Finding> {
    let here = arch_or_own(None);
    let mut findings = vec![qemu(here)];
    findings.extend(others(here));
    match Cache::open() {
        Ok(cache) => {
            findings.push(kvm(&cache));
            findings.push(kernels(&cache, here));
            findings.push(installed_kernel());
            // It is made when it is needed.
            let there = cache.root().ancestors().find(|at| at.exists()).unwrap_or(cache.root());
            findings.push(room("cache", there, ROOM_FOR_A_KERNEL, "SOCKMIG_CACHE"));
        }
        Err(e) => findings.push(Finding::bad("kernels", "no cache", e.to_string())),
    }
    findings.push(room("machines", &env::temp_dir(), ROOM_FOR_A_MACHINE, "TMPDIR"));
    findings
}

/// The version of QEMU for an architecture, if it is there and runs.
fn version(architecture: Architecture) -> Option<String> {
    let program = qemu::program(architecture);
    let answer = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let answer = answer.ok().filter(|answer| answer.status.success())?;
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    text.lines().next()?.split(" version ").nth(1).map(str::to_owned)
}

fn qemu(here: Architecture) -> Finding {
    match version(here) {
        Some(version) => Finding::good("QEMU", version),
        None => Finding::bad(
            "QEMU",
            format!("no {} that runs", qemu::program(here)),
            format!("other kernels cannot be booted; apt install {}", qemu::package(here)),
        ),
    }
}

/// The other architectures whose kernels QEMU emulates here, if there are any.
fn others(here: Architecture) -> Option<Finding> {
    let others = Architecture::ALL.into_iter().filter(|other| *other != here);
    let emulated: Vec<String> = others
        .filter_map(|other| version(other).map(|version| format!("{other} ({version})")))
        .collect();
    let found = || Finding::good("QEMU, others", emulated.join(", "));
    (!emulated.is_empty()).then(found)
}

fn kvm(cache: &Cache) -> Finding {
    match (accel::opens(), accel::tried(cache)) {
        (false, _) if Path::new("/dev/kvm").exists() => Finding::bad(
            "KVM",
            "/dev/kvm does not let this user in",
            "QEMU's emulator is used; the group kvm may use it",
        ),
        (false, _) => Finding::good("KVM", "none; QEMU's emulator is used"),
        (true, None) => {
            Finding::good("KVM", "/dev/kvm opens; whether it runs guests, the first matrix tries")
        }
        (true, Some(true)) => Finding::good("KVM", "runs guests"),
        (true, Some(false)) => {
            Finding::good("KVM", "opens, and runs no guest here; QEMU's emulator is used")
        }
    }
}

fn kernels(cache: &Cache, here: Architecture) -> Finding {
    let ready = |kernel: &&Kernel| prepare::ready(&prepare::place(kernel, cache)).is_some();
    let (all, ready) = (choice::of(here).count(), choice::of(here).filter(ready).count());
    let at = cache.root().display();
    let found = format!("{ready} of {all} ready, in {at}");
    match ready {
        0 => Finding::bad("kernels", found, "sockmig kernels fetch"),
        _ => Finding::good("kernels", found),
    }
}

/// What `--kernel installed` would boot.
fn installed_kernel() -> Finding {
    const WHAT: &str = "this kernel";
    let release = match installed::running() {
        Ok(release) => release,
        Err(e) => {
            return Finding::bad(
                WHAT,
                format!("unknown: {}", in_words(&e)),
                "mount -t proc proc /proc",
            );
        }
    };
    let Ok(image) = installed::image(Path::new("/"), &release) else {
        return Finding::good(WHAT, format!("{release} is not installed here"));
    };
    let found = image.display().to_string();
    match image::identify(&image) {
        Ok(_) => Finding::good(WHAT, format!("{found}; --kernel installed boots it in a guest")),
        Err(NoKernel::Forbidden) => Finding::bad(
            WHAT,
            format!("{found} may not be read by this user"),
            "--kernel installed needs it; run the matrix as root",
        ),
        Err(why) => Finding::bad(WHAT, format!("{found} {why}"), "--kernel installed needs it"),
    }
}

fn room(what: &'static str, at: &Path, needed: u64, variable: &str) -> Finding {
    match disk::free(at) {
        Ok(free) if free < needed => Finding::bad(
            what,
            format!("{} free in {}", DecimalBytes(free), at.display()),
            format!(
                "{} may be needed; free some, or set {variable} to a directory elsewhere",
                DecimalBytes(needed)
            ),
        ),
        Ok(free) => Finding::good(what, format!("{} free in {}", DecimalBytes(free), at.display())),
        Err(e) => Finding::bad(
            what,
            format!("{}: {}", at.display(), in_words(&e)),
            format!("set {variable} to a directory that is there"),
        ),
    }
}
