//! Kernels that are ready to boot.

use std::path::{Path, PathBuf};

use harness::guest::modules::NotGiven;

use crate::architecture::Architecture;

/// A kernel that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootable {
    /// As [`Choice::name`](crate::fetch::choice::Choice::name) says.
    pub name: String,
    /// What `uname -r` will say, where that is known without a boot.
    pub release: Option<String>,
    /// On which machines it runs.
    pub architecture: Architecture,
    /// What to boot.
    pub image: Image,
    /// The modules of [`WANTED`](crate::boot::modules::WANTED) that it has, and what they need, in load order.
    pub modules: Vec<Module>,
    /// Those of the wanted modules that it has built in, as far as its packages say.
    pub built_in: Vec<String>,
    /// Those of the wanted modules that are neither: there is no such module, or nothing says
    /// that it is built in.
    pub absent: Vec<String>,
    /// The packages that have modules and were not given, as far as those that were given say.
    pub elsewhere: Vec<String>,
    /// The kernel's build configuration.
    pub config: Option<PathBuf>,
    /// The directory of the cache that is its own.
    pub kept_in: PathBuf,
}

impl Bootable {
    /// What a guest has to do without.
    pub fn not_given(&self) -> NotGiven {
        NotGiven { modules: self.absent.clone(), packages: self.elsewhere.clone() }
    }
}

/// What to boot, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Image {
    /// An ELF with a PVH entry point, which QEMU enters without a boot loader's detour.
    Pvh(PathBuf),
    /// A kernel that unpacks itself in the guest.
    BzImage(PathBuf),
    /// What its architecture's own loaders start: arm64's `Image`, s390x's `bzImage`.
    Plain(PathBuf),
    /// A User-Mode Linux binary: a process, and no matter for QEMU.
    Uml(PathBuf),
}

impl Image {
    /// Its file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Pvh(path) | Self::BzImage(path) | Self::Plain(path) | Self::Uml(path) => path,
        }
    }
}

/// A kernel module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name, `-` written as `_`.
    pub name: String,
    /// Its file, not compressed.
    pub path: PathBuf,
}
