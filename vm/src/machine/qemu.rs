//! QEMU's command line.
//!
//! Each part was chosen by measuring: the kernel is booted as an ELF through PVH where it
//! can be (no decompression in the guest), the emulator runs in one thread (several
//! corrupt kernels while they patch themselves), and TCG is asked for outright (a
//! `/dev/kvm` that opens and never runs a guest does not fall back).

use std::path::Path;
use std::process::Command;

use harness::guest::{GUEST_ARGUMENT, VIRTIO_PORT};

use crate::boot::bootable::Image;
use crate::machine::running::CONSOLE;

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";
/// The package that has it, in Debian and Ubuntu.
pub const PACKAGE: &str = "qemu-system-x86";
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

/// How a machine is built.
#[derive(Debug, Clone, Copy)]
pub struct Hardware {
    /// What executes.
    pub accel: Accel,
    /// Which clock.
    pub clock: Clock,
    /// Memory, in MiB.
    pub memory: u32,
}

/// The command that boots `image` with the initial RAM file system in its directory.
pub fn command(image: &Image, hardware: Hardware) -> Command {
    let mut qemu = Command::new(PROGRAM);
    let Hardware { accel, clock, memory } = hardware;
    qemu.args(["-M", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
    match accel {
        Accel::Tcg => qemu.args(["-accel", "tcg,thread=single", "-cpu", "max,la57=off"]),
        Accel::Kvm => qemu.args(["-accel", "kvm", "-cpu", "host"]),
    };
    if clock == Clock::Virtual {
        qemu.args(["-icount", "shift=2,sleep=off"]);
    }
    qemu.args(["-smp", "1", "-m", &memory.to_string()]);
    qemu.arg("-kernel").arg(path(image)).args(["-initrd", INITRAMFS, "-append"]);
    qemu.arg(kernel_arguments("ttyS0", VIRTIO_PORT, clock));
    qemu.args(["-chardev", &format!("file,id=console,path={CONSOLE}")]);
    qemu.args(["-serial", "chardev:console", "-device", "virtio-serial-pci,max_ports=2"]);
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
        "console={console} quiet loglevel=5 panic=-1 norandmaps no_timer_check \
         random.trust_cpu=on cryptomgr.notests {passed}-- {GUEST_ARGUMENT} {port}"
    )
}

fn path(image: &Image) -> &Path {
    match image {
        Image::Pvh(path) | Image::BzImage(path) | Image::Uml(path) => path,
    }
}
