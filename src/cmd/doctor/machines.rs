//! What this machine allows `sockmig matrix` and `sockmig vm-run`. None of it keeps the
//! other commands from anything, so that none of it changes the exit code.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::kernel::disk;
use indicatif::DecimalBytes;
use vm::boot::prepare;
use vm::fetch::cache::Cache;
use vm::fetch::kernels::table;
use vm::machine::{accel, qemu};

use crate::cmd::doctor::finding::Finding;

/// What a kernel takes in the cache, with its package, and then some.
const ROOM_FOR_A_KERNEL: u64 = 200_000_000;
/// What a machine takes while it runs, even with a saved state next to it.
const ROOM_FOR_A_MACHINE: u64 = 500_000_000;

/// Looks at QEMU, KVM, the cache, and the room for both.
pub fn findings() -> Vec<Finding> {
    let mut findings = vec![qemu()];
    match Cache::open() {
        Ok(cache) => {
            findings.push(kvm(&cache));
            findings.push(kernels(&cache));
            // It is made when it is needed.
            let there = cache.root().ancestors().find(|at| at.exists()).unwrap_or(cache.root());
            findings.push(room("cache", there, ROOM_FOR_A_KERNEL, "SOCKMIG_CACHE"));
        }
        Err(e) => findings.push(Finding::bad("kernels", "no cache", e.to_string())),
    }
    findings.push(room("machines", &env::temp_dir(), ROOM_FOR_A_MACHINE, "TMPDIR"));
    findings
}

fn qemu() -> Finding {
    let answer = Command::new(qemu::PROGRAM).arg("--version").stdin(Stdio::null()).output();
    let answer = answer.ok().filter(|answer| answer.status.success());
    let first = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned());
    let version = first.as_deref().and_then(|text| text.lines().next()?.split(" version ").nth(1));
    match version {
        Some(version) => Finding::good("QEMU", version),
        None => Finding::bad(
            "QEMU",
            format!("no {} that runs", qemu::PROGRAM),
            format!("other kernels cannot be booted; apt install {}", qemu::PACKAGE),
        ),
    }
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

fn kernels(cache: &Cache) -> Finding {
    let place = |kernel| prepare::place(kernel, cache);
    let ready = table().iter().filter(|kernel| prepare::ready(&place(kernel)).is_some()).count();
    let (all, at) = (table().len(), cache.root().display());
    let found = format!("{ready} of {all} ready, in {at}");
    match ready {
        0 => Finding::bad("kernels", found, "sockmig kernels fetch"),
        _ => Finding::good("kernels", found),
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
            format!("{}: {e}", at.display()),
            format!("set {variable} to a directory that is there"),
        ),
    }
}
