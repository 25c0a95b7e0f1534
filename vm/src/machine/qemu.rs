//! QEMU's command line.
//!
//! Each part was chosen by measuring: the kernel is booted as an ELF through PVH where it
//! can be (no decompression in the guest), the emulator runs in one thread (several
//! corrupt kernels while they patch themselves), and TCG is asked for outright (a
//! `/dev/kvm` that opens and never runs a guest does not fall back).

use std::process::Command;

use harness::guest::emulator::VECTOR_CHECKSUM;
use harness::guest::{GUEST_ARGUMENT, VIRTIO_PORT};

use crate::architecture::Architecture;
use crate::boot::bootable::Bootable;
use crate::machine::running::CONSOLE;

/// The program for an architecture.
pub fn program(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "qemu-system-x86_64",
        Architecture::Arm64 => "qemu-system-aarch64",
        Architecture::S390x => "qemu-system-s390x",
    }
}

/// The package that has it, in Debian and Ubuntu; newer releases have one for s390x alone.
pub fn package(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "qemu-system-x86",
        Architecture::Arm64 => "qemu-system-arm",
        Architecture::S390x => "qemu-system-misc, or qemu-system-s390x",
    }
}

/// The initial RAM file system, in a machine's directory.
pub const INITRAMFS: &str = "initramfs";
/// The socket of QEMU's monitor, in a machine's directory.
pub const MONITOR: &str = "monitor";

/// Variables of this program's environment that a guest gets too, and what they are there
/// when they are not set here. An emulated processor is a slow one.
const PASSED_ON: [(&str, Option<&str>); 4] =
    [("KSFT_MACHINE_SLOW", Some("3")), ("SOCKMIG_GATE", None), (LONG, None), (JOBS, None)];

/// What has a guest wait for the kernel's longest timers. They cost nothing where time
/// leaps over them.
pub const LONG: &str = "SOCKMIG_LONG";

/// How many labs there are at a time. Where time leaps, waiting costs nothing, and one
/// after the other each has the processor to itself.
pub const JOBS: &str = "SOCKMIG_JOBS";

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// QEMU's emulator.
    Tcg,
    /// The processor, through the host's kernel.
    Kvm,
}

/// Which clock a guest lives by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// It counts instructions, 4 ns each, and jumps to the next timer when the guest is
    /// idle. Shorter ones make the kernel's busy waits longer, longer ones make time pass
    /// quickly for whoever computes.
    Virtual,
    /// The host's.
    Real,
}

impl Clock {
    /// As it is called on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Real => "real",
        }
    }
}

/// What an emulator does otherwise than the processor that it emulates, as a guest has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmulatorFault {
    /// s390x: the vector instruction for checksums, by which the kernel takes good segments for
    /// damaged ones. QEMU 7.2 has it.
    VectorChecksum,
}

impl EmulatorFault {
    /// The fault that a guest reports by this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        (name == VECTOR_CHECKSUM.as_bytes()).then_some(Self::VectorChecksum)
    }
}

/// How a machine is built.
#[derive(Debug, Clone, Copy)]
pub struct Hardware {
    /// What executes.
    pub accel: Accel,
    /// Which clock.
    pub clock: Clock,
    /// Memory, in MiB.
    pub memory: u32,
    /// How many processors. A virtual clock is that of one alone.
    pub processors: u32,
}

/// What QEMU calls the parts of an architecture's machine, and its kernel their drivers.
struct Parts {
    machine: &'static str,
    /// Of the emulated processor.
    cpu: &'static str,
    /// The device of the serial line, in the kernel.
    console: &'static str,
    virtio_serial: &'static str,
    /// What its kernels are told besides.
    arguments: &'static str,
}

fn parts(architecture: Architecture, avoided: Option<EmulatorFault>) -> Parts {
    match architecture {
        Architecture::X86_64 => Parts {
            machine: "q35",
            cpu: "max,la57=off",
            console: "ttyS0",
            virtio_serial: "virtio-serial-pci",
            arguments: "no_timer_check ",
        },
        Architecture::Arm64 => Parts {
            machine: "virt",
            // Pointers are signed in a way that costs an emulator little: half of the time.
            cpu: "max,pauth-impdef=on",
            console: "ttyAMA0",
            virtio_serial: "virtio-serial-pci",
            arguments: "",
        },
        Architecture::S390x => Parts {
            machine: "s390-ccw-virtio",
            cpu: match avoided {
                None => "max",
                Some(EmulatorFault::VectorChecksum) => "max,vx=off,vxeh=off",
            },
            console: "ttysclp0",
            virtio_serial: "virtio-serial-ccw",
            arguments: "",
        },
    }
}

/// The command that boots a kernel with the initial RAM file system in its directory, on a machine
/// that does without what the emulator does wrong.
pub fn command(kernel: &Bootable, hardware: Hardware, avoided: Option<EmulatorFault>) -> Command {
    let mut qemu = Command::new(program(kernel.architecture));
    let parts = parts(kernel.architecture, avoided);
    let Hardware { accel, clock, memory, processors } = hardware;
    qemu.args(["-M", parts.machine, "-nodefaults", "-no-user-config", "-display", "none"]);
    qemu.arg("-no-reboot");
    match accel {
        // One thread costs less, and with more two processors really run at the same time.
        Accel::Tcg if processors > 1 => {
            qemu.args(["-accel", "tcg,thread=multi", "-cpu", parts.cpu])
        }
        Accel::Tcg => qemu.args(["-accel", "tcg,thread=single", "-cpu", parts.cpu]),
        Accel::Kvm => qemu.args(["-accel", "kvm", "-cpu", "host"]),
    };
    if clock == Clock::Virtual {
        qemu.args(["-icount", "shift=2,sleep=off"]);
    }
    qemu.args(["-smp", &processors.to_string(), "-m", &memory.to_string()]);
    qemu.arg("-kernel").arg(kernel.image.path()).args(["-initrd", INITRAMFS, "-append"]);
    let arguments = kernel_arguments(parts.console, VIRTIO_PORT, clock);
    qemu.arg(format!("{}{arguments}", parts.arguments));
    qemu.args(["-chardev", &format!("file,id=console,path={CONSOLE}")]);
    qemu.args(["-serial", "chardev:console", "-device"]);
    qemu.arg(format!("{},max_ports=2", parts.virtio_serial));
    qemu.args(["-chardev", "stdio,id=port,signal=off"]);
    qemu.args(["-device", &format!("virtserialport,chardev=port,name={VIRTIO_PORT}")]);
    qemu
}

/// Adds a monitor, through which the machine can be made to save itself.
pub fn with_monitor(qemu: &mut Command) {
    qemu.args(["-chardev", &format!("socket,id=monitor,path={MONITOR},server=on,wait=off")]);
    qemu.args(["-mon", "chardev=monitor,mode=control"]);
}

/// The command line of the kernel, and through it of its first process.
///
/// Warnings reach the console; a panic ends the machine at once; and there is no wait
/// for entropy. The kernel does not try its ciphers out, which is four tenths of the time that
/// an emulated machine takes to boot. Without randomised addresses, the emulator's translation
/// of a program is still good when the program is started again. What the kernel does not know
/// and has an equals sign becomes its first process's environment.
pub fn kernel_arguments(console: &str, port: &str, clock: Clock) -> String {
    let passed: String = PASSED_ON
        .iter()
        .filter_map(|(name, otherwise)| {
            let here = std::env::var(name).ok();
            let there = match (*name, clock) {
                (LONG | JOBS, Clock::Virtual) => Some("1"),
                _ => here.as_deref().or(*otherwise),
            };
            Some(format!("{name}={} ", there?))
        })
        .collect();
    format!(
        "console={console} quiet loglevel=5 panic=-1 norandmaps \
         random.trust_cpu=on cryptomgr.notests {passed}-- {GUEST_ARGUMENT} {port}"
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::boot::bootable::Image;
    use rstest::rstest;

    fn line(architecture: Architecture, accel: Accel, avoided: Option<EmulatorFault>) -> String {
        let kernel = Bootable {
            name: "one".into(),
            release: None,
            architecture,
            image: Image::Plain("/image".into()),
            modules: vec![],
            built_in: vec![],
            absent: vec![],
            elsewhere: vec![],
            config: None,
            kept_in: PathBuf::new(),
        };
        let qemu = command(
            &kernel,
            Hardware { accel, clock: Clock::Virtual, memory: 256, processors: 1 },
            avoided,
        );
        let words = [qemu.get_program()].into_iter().chain(qemu.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[rstest]
    #[case(
        Architecture::X86_64,
        &["qemu-system-x86_64 -M q35 ", " -cpu max,la57=off ", "no_timer_check console=ttyS0 "]
    )]
    #[case(
        Architecture::Arm64,
        &["qemu-system-aarch64 -M virt ", " -cpu max,pauth-impdef=on ", " console=ttyAMA0 "]
    )]
    #[case(
        Architecture::S390x,
        &["qemu-system-s390x -M s390-ccw-virtio ", " -cpu max ", " console=ttysclp0 ",
          " virtio-serial-ccw,max_ports=2 "]
    )]
    fn every_architecture_has_its_machine(
        #[case] architecture: Architecture,
        #[case] parts: &[&str],
    ) {
        let line = line(architecture, Accel::Tcg, None);
        for part in parts {
            assert!(line.contains(part), "`{part}`: {line}");
        }
        assert!(line.contains(" -kernel /image -initrd initramfs "), "{line}");
    }

    #[test]
    fn what_the_emulator_does_wrong_is_switched_off() {
        let fault = EmulatorFault::named(b"VCKSM");
        assert_eq!(fault, Some(EmulatorFault::VectorChecksum));
        let emulated = line(Architecture::S390x, Accel::Tcg, fault);
        assert!(emulated.contains(" -cpu max,vx=off,vxeh=off "), "{emulated}");
        assert!(line(Architecture::S390x, Accel::Kvm, None).contains(" -cpu host "));
    }
}
