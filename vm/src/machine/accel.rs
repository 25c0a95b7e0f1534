//! Whether KVM can be trusted.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use harness::wait;

use crate::boot::bootable::Bootable;
use crate::fetch::cache::{Cache, KVM};
use crate::machine::guest_program::GuestProgram;
use crate::machine::host::{Host, Shared};
use crate::machine::qemu::{Accel, Clock, Hardware};

/// KVM boots a kernel within a second. Where it is there and runs nothing, this is lost.
const TRIAL: Duration = Duration::from_secs(5);

/// The best accelerator that works: KVM if a trial boot of `kernel`, which is for this machine,
/// succeeds with it.
///
/// A `/dev/kvm` that opens proves nothing, since some never run a guest. The trial's
/// result is kept until this machine is started again.
pub fn best(kernel: &Bootable, program: &GuestProgram, memory: u32, cache: &Cache) -> Accel {
    if !opens() {
        return Accel::Tcg;
    }
    let runs = tried(cache).unwrap_or_else(|| {
        let hardware = Hardware { accel: Accel::Kvm, clock: Clock::Real, memory, processors: 1 };
        let runs = Host::prepare(kernel.clone(), hardware, program, &Shared::default())
            .is_ok_and(|host| host.boot_within(TRIAL * wait::slowness()).is_ok());
        keep(cache, runs);
        runs
    });
    if runs { Accel::Kvm } else { Accel::Tcg }
}

/// Whether there is a KVM that lets this user in.
pub fn opens() -> bool {
    OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

/// Whether KVM worked when it was tried, if it was tried since this machine was started.
pub fn tried(cache: &Cache) -> Option<bool> {
    match std::fs::read_to_string(kept(cache)).as_deref() {
        Ok(WORKS) => Some(true),
        Ok(DOES_NOT_WORK) => Some(false),
        _ => None,
    }
}

const WORKS: &str = "works";
const DOES_NOT_WORK: &str = "does not work";

fn kept(cache: &Cache) -> PathBuf {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    cache.of_this_boot(boot.trim())
}

/// A result that cannot be kept is found out again.
fn keep(cache: &Cache, runs: bool) {
    let word = if runs { WORKS } else { DOES_NOT_WORK };
    let unfinished = tempfile::Builder::new().prefix(KVM).tempfile_in(cache.root());
    let _ = unfinished.and_then(|mut file| {
        file.write_all(word.as_bytes())?;
        Ok(file.persist(kept(cache))?)
    });
}
