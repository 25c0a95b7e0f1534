//! Why a kernel cannot be made ready.

use std::io;
use std::path::PathBuf;

use crate::boot::image::NoKernel;
use crate::boot::modules::BadModule;
use crate::boot::package::BadPackage;
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
    /// The package is whole, and there is no kernel in it.
    #[error("the package {} holds no kernel; {}", .path.display(), instead(.depends_on.as_deref()))]
    EmptyPackage {
        /// The package.
        path: PathBuf,
        /// The package that it depends on and that has the kernel, if it names one.
        depends_on: Option<String>,
    },
    /// The directory of modules cannot be read.
    #[error("cannot look for modules in {}: {source}", .path.display())]
    Modules {
        /// The directory.
        path: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// A module is damaged, or is another kernel's.
    #[error(transparent)]
    BadModule(#[from] BadModule),
}

/// What to give instead of a package without a kernel.
fn instead(depends_on: Option<&str>) -> String {
    match depends_on {
        Some(package) => format!("the kernel is in {package}, on which it depends"),
        None => "give one with a vmlinuz in it".into(),
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
