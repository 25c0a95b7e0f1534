//! Why a kernel cannot be made ready.

use std::io;
use std::path::{Path, PathBuf};

use harness::in_words;

use crate::architecture::Architecture;
use crate::boot::installed::NotInstalled;
use crate::boot::modules::BadModule;
use crate::boot::no_kernel::NoKernel;
use crate::boot::package::bad_package::BadPackage;
use crate::fetch::cache::CacheError;
use crate::fetch::cannot_fetch::CannotFetch;

/// A kernel cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum NotBootable {
    /// Its packages cannot be had.
    #[error(transparent)]
    CannotFetch(CannotFetch),
    /// The cache cannot be used, not for other kernels either.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The file is no kernel that can be booted.
    #[error("{} {why}", .path.display())]
    NoKernel {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: NoKernel,
    },
    /// The file was written to meanwhile.
    #[error("{} changed while it was read; try again when its build is done", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The package is damaged.
    #[error("the package {} {why}", .path.display())]
    BadPackage {
        /// The package.
        path: PathBuf,
        /// What is wrong with it.
        why: BadPackage,
    },
    /// The packages are whole, and there is no kernel in any.
    #[error(
        "{} no kernel; {}",
        holds(.path, *.more), instead(.depends_on.as_deref(), *.more)
    )]
    EmptyPackage {
        /// The first package.
        path: PathBuf,
        /// How many more there are.
        more: usize,
        /// The package that it depends on and that has the kernel, if it names one.
        depends_on: Option<String>,
    },
    /// There are several kernels, of which only one can be meant.
    #[error(
        "{} holds {} kernels ({}); name the files of one of them",
        .path.display(), .releases.len(), .releases.join(", ")
    )]
    SeveralKernels {
        /// The directory, or the first package.
        path: PathBuf,
        /// Their releases.
        releases: Vec<String>,
    },
    /// Packages belong to another kernel than the image.
    #[error(
        "{} is for the kernel {found} and not {wanted}; give the packages of this kernel",
        .path.display()
    )]
    OtherKernel {
        /// The first package.
        path: PathBuf,
        /// The release that it is for.
        found: String,
        /// The release of the image.
        wanted: String,
    },
    /// Two images were named as one kernel.
    #[error("{} and {} are two kernels; one can have packages with it", .one.display(), .other.display())]
    TwoImages {
        /// One.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// The kernel is for another architecture than the one that was named with it.
    #[error("{name} is a kernel for {architecture}, and --arch says {named}")]
    OtherArchitecture {
        /// The kernel's name.
        name: String,
        /// Its architecture.
        architecture: Architecture,
        /// The one that was named.
        named: Architecture,
    },
    /// The kernel runs on one processor, and was to have several.
    #[error("{name} is User-Mode Linux, which has one processor, and {asked} are asked for")]
    OneProcessor {
        /// The kernel's name.
        name: String,
        /// How many it was to have.
        asked: u32,
    },
    /// The installed kernel that was named is not there.
    #[error(transparent)]
    NotInstalled(#[from] NotInstalled),
    /// The release of the running kernel is not known.
    #[error(
        "cannot read /proc/sys/kernel/osrelease: {}; name the kernel, as in installed:6.12.1",
        in_words(.0)
    )]
    NoRelease(#[source] io::Error),
    /// What was named as modules is something else.
    #[error(
        "{} has no modules: it is neither a directory with them nor a package (.deb, .rpm, \
         .pkg.tar.zst)",
        .path.display()
    )]
    NoModules {
        /// What was named.
        path: PathBuf,
    },
    /// The directory of modules cannot be read.
    #[error("cannot look for modules in {}: {}", .path.display(), in_words(.why))]
    Modules {
        /// The directory.
        path: PathBuf,
        /// The answer.
        why: io::Error,
    },
    /// A module is damaged, or is another kernel's.
    #[error(transparent)]
    BadModule(#[from] BadModule),
}

/// Who holds no kernel.
fn holds(first: &Path, more: usize) -> String {
    match more {
        0 => format!("the package {} holds", first.display()),
        _ => format!("the package {} and {more} more hold", first.display()),
    }
}

/// What to give instead of packages without a kernel.
fn instead(depends_on: Option<&str>, more: usize) -> String {
    match (depends_on, more) {
        (Some(package), 0) => format!("the kernel is in {package}, on which it depends"),
        (Some(package), _) => format!("the kernel is in {package}, on which they depend"),
        (None, _) => "give one with a vmlinuz in it".into(),
    }
}

impl From<CannotFetch> for NotBootable {
    fn from(error: CannotFetch) -> Self {
        match error {
            CannotFetch::Cache(error) => Self::Cache(error),
            error => Self::CannotFetch(error),
        }
    }
}
