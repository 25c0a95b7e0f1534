//! What `matrix` and `vm-run` have in common: which kernels, and on what they are booted.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vm::architecture::Architecture;

use crate::cli::number::between;

/// What kernels are booted, and on what.
#[derive(Debug, Args)]
pub struct MachineArguments {
    /// A kernel: the start of a name in `sockmig kernels list` (6.1 is every 6.1.x, never
    /// 6.12); `installed`, or `installed:RELEASE`, for one of this machine; or the path of a
    /// bzImage, an Image for arm64, a vmlinux, a User-Mode Linux binary, a package (.deb, .rpm, .pkg.tar.zst), or a
    /// directory with one of these. A.deb+B.deb is one kernel in several packages [default:
    /// every kernel of the list].
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Vec<String>,

    /// The architecture of the kernels of the list: x86_64, arm64 or s390x. QEMU emulates any on
    /// any [default: that of this machine, or of the program that vm-run runs].
    #[arg(long, value_name = "ARCH", value_parser = architecture)]
    pub arch: Option<Architecture>,

    /// The sockmig that runs in guests: one of the same version, for the kernels' architecture.
    /// Only kernels of another architecture than this machine's need it.
    #[arg(long, value_name = "FILE")]
    pub guest_binary: Option<PathBuf>,

    /// Where the modules of a kernel are that is given by its path: a directory or packages.
    #[arg(long, value_name = "PATH")]
    pub modules: Option<PathBuf>,

    /// What executes the guest. `auto` takes KVM where a trial boot succeeds with it.
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub accel: AccelChoice,

    /// The guest's clock: `virtual` counts instructions and leaps over idle time, so that
    /// long timers cost nothing; KVM has `real` alone [default: virtual where it can be].
    #[arg(long, value_enum)]
    pub clock: Option<ClockChoice>,

    /// The guest's memory, in MiB; vm-run adds what the files take that the guest gets.
    #[arg(long, value_name = "MIB", default_value_t = 256,
          value_parser = between::<u32>(64..=65_536))]
    pub memory: u32,

    /// How many processors the guest has. A virtual clock is that of one alone, and User-Mode Linux
    /// has one, so that it is refused with several.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = between::<u32>(1..=64))]
    pub processors: u32,
}

/// What a command is done on that otherwise asks the running kernel.
#[derive(Debug, Args)]
pub struct OtherKernel {
    /// Do it in a virtual machine with this kernel: the start of a name in `sockmig kernels list`,
    /// or a path, as for vm-run.
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Option<String>,

    /// The sockmig that runs there: one of the same version, for the kernel's architecture. Only
    /// a kernel of another architecture than this machine's needs it.
    #[arg(long, value_name = "FILE", requires = "kernel")]
    pub guest_binary: Option<PathBuf>,
}

/// `--accel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AccelChoice {
    /// KVM where it works.
    Auto,
    /// QEMU's emulator.
    Tcg,
    /// The processor.
    Kvm,
}

/// `--clock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ClockChoice {
    /// The host's.
    Real,
    /// The emulator's.
    Virtual,
}

/// By the name that the kernel, Debian or `uname -m` has for it.
pub(super) fn architecture(text: &str) -> Result<Architecture, String> {
    let is_called = |one: &Architecture| {
        [one.name(), one.of_debian(), one.of_rust()].into_iter().any(|name| name == text)
    };
    let all = Architecture::ALL.map(Architecture::name).join(", ");
    Architecture::ALL.into_iter().find(is_called).ok_or_else(|| format!("one of {all} is needed"))
}
