//! Where a kernel's machines are made: once prepared, started as often as needed.

use std::cell::{Cell, OnceCell};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use harness::guest::tag;
use harness::in_words;
use harness::wait;

use crate::architecture::Architecture;
use crate::boot::bootable::{Bootable, Image};
use crate::boot::initramfs::Initramfs;
use crate::machine::console::{self, KernelReport};
use crate::machine::end::{EarlyEnd, EndReason, NeverBooted};
use crate::machine::guest_program::{GuestProgram, OtherArchitecture};
use crate::machine::monitor::Monitor;
use crate::machine::qemu::{self, Accel, Clock, EmulatorFault, Hardware, INITRAMFS};
use crate::machine::running::{CONSOLE, Machine, NotStarted};
use crate::machine::scratch::Scratch;
use crate::machine::uml::{Uml, Unfit};

/// How long a machine may take until its suite is up: sixty times what a quiet host needs.
fn boot_deadline(accel: Accel) -> Duration {
    let seconds = match accel {
        Accel::Tcg => 120,
        // There are hosts whose KVM never runs a guest, and reports no error.
        Accel::Kvm => 20,
    };
    Duration::from_secs(seconds) * wait::slowness()
}

/// Memory, in MiB, that a guest needs for files in addition to its own. While it unpacks them it
/// has them twice, and a file system in memory may have half of what the archive leaves.
fn memory_for(bytes: usize) -> u32 {
    u32::try_from((3 * bytes).div_ceil(1 << 20)).unwrap_or(u32::MAX)
}

/// Memory, in MiB, that a kernel takes for itself.
const KERNEL: u32 = 64;

/// Memory, in MiB, without which no guest comes up whose archive has this many bytes: for the
/// archive, what is unpacked of it, and a kernel. One that has less may hang
/// before it says anything.
fn least_memory(archive_bytes: usize) -> u32 {
    u32::try_from((2 * archive_bytes) >> 20).unwrap_or(u32::MAX).saturating_add(KERNEL / 2)
}

/// What can be done where files of a machine cannot be written.
fn room(why: &io::Error) -> &'static str {
    match why.kind() {
        io::ErrorKind::StorageFull
        | io::ErrorKind::QuotaExceeded
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::NotFound => "; free some space, or set TMPDIR",
        _ => "",
    }
}

/// Why there is no machine.
#[derive(Debug, thiserror::Error)]
pub enum NotUp {
    /// It could not be started.
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    /// There is no sockmig for it.
    #[error(transparent)]
    OtherArchitecture(#[from] OtherArchitecture),
    /// The processor cannot run it.
    #[error("KVM runs no kernel for {kernel} on {}; say --accel tcg", std::env::consts::ARCH)]
    NotForKvm {
        /// The kernel's architecture.
        kernel: Architecture,
    },
    /// The emulator does something wrong that cannot be avoided.
    #[error(
        "the emulator computes VCKSM wrongly, even without vector instructions; take another \
         version of {program}"
    )]
    FaultyEmulator {
        /// The emulator.
        program: &'static str,
    },
    /// It is a User-Mode Linux binary that is no use.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// What it needs could not be written.
    #[error("cannot prepare a machine in {directory}: {}{}", in_words(.why), room(.why))]
    NoRoom {
        /// Where.
        directory: String,
        /// The system's answer.
        why: io::Error,
    },
    /// Its own files do not fit.
    #[error(
        "{memory} MiB of memory are too little for the guest's files, which take {needed}; give \
         it more with --memory"
    )]
    LittleMemory {
        /// What the guest was to have, in MiB.
        memory: u32,
        /// What it must have at least.
        needed: u32,
    },
    /// It was up, and could not be saved for its successors.
    #[error("cannot save the machine: {}{}", in_words(.why), room(.why))]
    NotSaved {
        /// The monitor's answer.
        why: io::Error,
    },
    /// It was up, and had not kept all of the files that it was given.
    #[error("the guest has no room for its files ({line}); give it more with --memory")]
    NotUnpacked {
        /// The kernel's own line about it.
        line: String,
    },
    /// It was started, and ended before its suite was up.
    #[error("{}", .0.reason)]
    EndedEarly(Box<EarlyEnd>),
}

/// What a guest said when it was up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Up {
    /// From the start of the machine, by the host's clock.
    pub took: Duration,
    /// What is missing in it: modules that could not be loaded, and the like.
    pub missing: Vec<String>,
    /// How the first start ended, of a machine that was started once more.
    pub first: Option<EndReason>,
}

/// The file with a saved machine's state, in the machines' directory.
const STATE: &str = "state";

/// Files and directories of this machine that a guest sees at the same paths.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// Absolute paths; of a directory everything in it.
    pub paths: Vec<PathBuf>,
    /// Names that are left out, wherever they are.
    pub without: Vec<&'static str>,
}

/// A kernel and what its machines are made of, in a directory that goes with the value.
pub struct Host {
    bootable: Bootable,
    hardware: Hardware,
    /// What is run in place of QEMU, if the kernel is a process itself.
    uml: Option<Uml>,
    directory: Scratch,
    /// What the emulator does wrong, and its machines do without since that was seen.
    avoided: Cell<Option<EmulatorFault>>,
    /// What a saved machine said when it was up.
    saved: OnceCell<Up>,
}

/// How a start went that was in time.
enum Started {
    Up(Machine, Up),
    /// The guest has found that the emulator does something wrong.
    OnFaultyEmulator(EmulatorFault),
}

/// Whether it may be the emulator's doing that a machine ended like this. With several processors,
/// each of them a thread of QEMU 7.2, one boot in fifty stands still when the second processor comes.
/// A kernel that hangs itself does so again.
fn emulator_may_have_hung(hardware: Hardware, end: &EndReason) -> bool {
    let late = matches!(end, EndReason::NeverBooted(NeverBooted::TookTooLong { .. }));
    late && hardware.accel == Accel::Tcg && hardware.processors > 1
}

impl Host {
    /// Writes the initial RAM file system: `program` is its sockmig, and it has what is `shared`.
    ///
    /// # Errors
    /// [`NotUp::OtherArchitecture`]; [`NotUp::NotForKvm`]; [`NotUp::NoRoom`];
    /// [`NotUp::LittleMemory`]; [`NotUp::Unfit`].
    pub fn prepare(
        bootable: Bootable,
        hardware: Hardware,
        program: &GuestProgram,
        shared: &Shared,
    ) -> Result<Self, NotUp> {
        let kernel = bootable.architecture;
        let program = program.file_for(kernel)?;
        if hardware.accel == Accel::Kvm && Architecture::of_this_program() != Some(kernel) {
            return Err(NotUp::NotForKvm { kernel });
        }
        let temporary = std::env::temp_dir();
        let no_room = |why| NotUp::NoRoom { directory: temporary.display().to_string(), why };
        let directory = Scratch::make(&temporary).map_err(no_room)?;
        // Such a kernel says itself what it was built with.
        let told = match &bootable.image {
            Image::Uml(binary) => Some(Uml::configuration(binary)?.into_bytes()),
            Image::Pvh(_) | Image::BzImage(_) | Image::Plain(_) => None,
        };
        let write = || {
            let mut archive = Initramfs::create(&directory.path().join(INITRAMFS), program)?;
            archive.modules(&bootable.modules)?;
            archive.not_given(&bootable.not_given())?;
            let known = bootable.config.as_ref().map(std::fs::read).transpose()?;
            told.or(known).iter().try_for_each(|config| archive.configuration(config))?;
            let own = archive.written();
            let skip = |path: &Path| shared.without.iter().any(|name| path.ends_with(name));
            shared.paths.iter().try_for_each(|path| archive.share(path, &skip))?;
            Ok((own, archive.finish()? - own))
        };
        let (own_bytes, shared_bytes) = write().map_err(no_room)?;
        let needed = least_memory(own_bytes);
        // User-Mode Linux is small, and reports it when it has no room.
        if hardware.memory < needed && !matches!(bootable.image, Image::Uml(_)) {
            return Err(NotUp::LittleMemory { memory: hardware.memory, needed });
        }
        let memory = hardware.memory.saturating_add(memory_for(shared_bytes));
        // What is asked for has room for this program; a large one leaves too little for more.
        let memory = match shared_bytes {
            0 => memory,
            _ => memory.max(memory_for(own_bytes + shared_bytes).saturating_add(KERNEL)),
        };
        let hardware = Hardware { memory, ..hardware };
        let uml = match &bootable.image {
            Image::Uml(binary) => Some(Uml::examine(binary, memory)?),
            Image::Pvh(_) | Image::BzImage(_) | Image::Plain(_) => None,
        };
        let (avoided, saved) = (Cell::default(), OnceCell::new());
        Ok(Self { bootable, hardware, uml, directory, avoided, saved })
    }

    /// Where the machines' files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The kernel's architecture.
    pub fn architecture(&self) -> Architecture {
        self.bootable.architecture
    }

    /// What executes the guest, for people.
    pub fn engine(&self) -> &'static str {
        match (&self.uml, self.hardware.accel, self.avoided.get()) {
            (Some(_), ..) => "User-Mode Linux",
            (None, Accel::Tcg, None) => "QEMU, TCG",
            (None, Accel::Tcg, Some(EmulatorFault::VectorChecksum)) => {
                "QEMU, TCG without vector instructions (it computes VCKSM wrongly)"
            }
            (None, Accel::Kvm, _) => "QEMU, KVM",
        }
    }

    /// Which clock the guest lives by: the real one also if the kernel has no other.
    pub fn clock(&self) -> Clock {
        match &self.uml {
            Some(uml) if !uml.can_travel() => Clock::Real,
            _ => self.hardware.clock,
        }
    }

    /// Starts a machine and waits until its suite is up. The thread that calls this must
    /// outlive the machine.
    ///
    /// # Errors
    /// [`NotUp`].
    pub fn boot(&self) -> Result<(Machine, Up), NotUp> {
        self.boot_within(boot_deadline(self.hardware.accel))
    }

    /// As [`Host::boot`], with a deadline of its own.
    ///
    /// # Errors
    /// [`NotUp`].
    pub fn boot_within(&self, deadline: Duration) -> Result<(Machine, Up), NotUp> {
        self.bring_up(deadline, |_| {})
    }

    /// Starts a machine whose command `complete` has completed; once more if the emulator does
    /// something wrong that the machine can do without, or if it may have hung.
    fn bring_up(
        &self,
        deadline: Duration,
        complete: impl Fn(&mut Command),
    ) -> Result<(Machine, Up), NotUp> {
        let mut first = None;
        loop {
            let mut command = self.command()?;
            complete(&mut command);
            let started = match self.start(command, deadline) {
                Err(NotUp::EndedEarly(end))
                    if first.is_none() && self.may_have_hung(&end.reason) =>
                {
                    first = Some(end.reason);
                    continue;
                }
                started => started?,
            };
            match started {
                Started::Up(machine, up) => return Ok((machine, Up { first, ..up })),
                Started::OnFaultyEmulator(fault) if self.avoided.replace(Some(fault)).is_none() => {
                }
                Started::OnFaultyEmulator(_) => {
                    let program = qemu::program(self.bootable.architecture);
                    return Err(NotUp::FaultyEmulator { program });
                }
            }
        }
    }

    fn may_have_hung(&self, end: &EndReason) -> bool {
        self.uml.is_none() && emulator_may_have_hung(self.hardware, end)
    }

    /// A machine that was up before: the first one is booted and saved, and every later
    /// one goes on from there, so that each finds the same pristine kernel. User-Mode
    /// Linux cannot be saved, and boots in the time in which others are restored.
    ///
    /// # Errors
    /// [`NotUp`].
    pub fn restore(&self) -> Result<(Machine, Up), NotUp> {
        if self.uml.is_some() {
            return self.boot();
        }
        let up = match self.saved.get() {
            Some(up) => up.clone(),
            None => self.save()?,
        };
        let started = Instant::now();
        let mut command = self.command()?;
        // The devices must be those of the machine that was saved.
        qemu::with_monitor(&mut command);
        command.args(["-incoming", &format!("exec:cat {STATE}")]);
        let mut machine = self.start_process(command)?;
        machine.set_ready();
        Ok((machine, Up { took: up.took + started.elapsed(), ..up }))
    }

    fn save(&self) -> Result<Up, NotUp> {
        let (machine, up) =
            self.bring_up(boot_deadline(self.hardware.accel), qemu::with_monitor)?;
        let not_saved = |why| NotUp::NotSaved { why };
        let monitor = self.directory.path().join(qemu::MONITOR);
        Monitor::connect(&monitor)
            .and_then(|mut m| m.save(self.directory.path(), STATE))
            .map_err(not_saved)?;
        drop(machine);
        Ok(self.saved.get_or_init(|| up).clone())
    }

    /// What the machine that was started last has printed so far.
    fn console(&self) -> String {
        console::text(&std::fs::read(self.directory().join(CONSOLE)).unwrap_or_default())
    }

    fn command(&self) -> Result<Command, NotUp> {
        match &self.uml {
            None => Ok(qemu::command(&self.bootable, self.hardware, self.avoided.get())),
            Some(uml) => uml.command(self.directory(), self.hardware.clock).map_err(|why| {
                NotUp::NoRoom { directory: self.directory().display().to_string(), why }
            }),
        }
    }

    fn start_process(&self, command: Command) -> Result<Machine, NotStarted> {
        let package = qemu::package(self.bootable.architecture);
        Machine::start(command, package, self.directory.path())
    }

    fn start(&self, command: Command, deadline: Duration) -> Result<Started, NotUp> {
        let started = Instant::now();
        let mut machine = self.start_process(command)?;
        let mut missing = Vec::new();
        loop {
            let left = deadline.saturating_sub(started.elapsed());
            let frame = machine.hear(left).map_err(NotUp::EndedEarly)?;
            match frame.tag {
                tag::READY => break,
                tag::MISSING => missing.push(String::from_utf8_lossy(&frame.payload).into_owned()),
                tag::EMULATOR_FAULT => {
                    if let Some(fault) = EmulatorFault::named(&frame.payload) {
                        return Ok(Started::OnFaultyEmulator(fault));
                    }
                }
                _ => {}
            }
        }
        machine.set_ready();
        match KernelReport::of(&self.console()).not_unpacked {
            Some(line) => Err(NotUp::NotUnpacked { line }),
            None => Ok(Started::Up(machine, Up { took: started.elapsed(), missing, first: None })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::end::ProcessEnd;
    use harness::Errno;
    use rstest::rstest;
    use std::error::Error as _;

    fn late() -> NeverBooted {
        NeverBooted::TookTooLong { waited: Duration::from_secs(120) }
    }

    fn ended() -> NeverBooted {
        let process = ProcessEnd { status: None, stderr: String::new() };
        NeverBooted::Ended { process, printed: true }
    }

    #[rstest]
    #[case(Accel::Tcg, 2, late(), true)]
    #[case(Accel::Tcg, 1, late(), false)]
    #[case(Accel::Kvm, 2, late(), false)]
    #[case(Accel::Tcg, 2, ended(), false)]
    fn only_an_emulator_with_several_processors_may_have_hung(
        #[case] accel: Accel,
        #[case] processors: u32,
        #[case] end: NeverBooted,
        #[case] expected: bool,
    ) {
        let hardware = Hardware { accel, clock: Clock::Real, memory: 256, processors };
        assert_eq!(emulator_may_have_hung(hardware, &EndReason::NeverBooted(end)), expected);
    }

    #[test]
    fn an_answer_is_said_once_and_has_the_advice_that_fits() {
        let of = |errno: Errno| NotUp::NoRoom { directory: "/tmp".into(), why: errno.into() };
        assert!(of(Errno::EINVAL).source().is_none(), "it is in the sentence");
        assert!(of(Errno::ENOSPC).to_string().ends_with("; free some space, or set TMPDIR"));
        assert!(!of(Errno::EINVAL).to_string().contains("TMPDIR"));
    }
}
