//! Why a file is not a kernel that can be booted.

use std::io;

use harness::in_words;

use crate::architecture::Architecture;
use crate::boot::regular::NotRegular;

/// A file is not a kernel that can be booted here.
#[derive(Debug, thiserror::Error)]
pub enum NoKernel {
    /// The user may not read the file; distributions give kernels to root alone.
    #[error("may not be read by this user; run as root, or name a copy that may be read")]
    Forbidden,
    /// The file cannot be read.
    #[error("cannot be read: {}", in_words(.0))]
    Unreadable(#[source] io::Error),
    /// It is no file, and would keep a reader waiting or never end.
    #[error("{0}; name a kernel, or a package with one")]
    NotRegular(NotRegular),
    /// It is a directory, and nothing in it can be booted.
    #[error(
        "is a directory without a kernel: there are neither packages in it, nor a build, nor \
         boot/vmlinuz-* or lib/modules/*/vmlinuz"
    )]
    EmptyDirectory,
    /// It is something else altogether.
    #[error(
        "is not a kernel: neither a bzImage, an Image for arm64 nor a vmlinux, a package (.deb, \
         .rpm, .pkg.tar.zst) or a UML binary"
    )]
    SomethingElse,
    /// It is a kernel for other machines.
    #[error("is a kernel for {0}; only those for {all} can be booted", all = all())]
    Machine(&'static str),
    /// It is a kernel in a form that QEMU does not boot on its architecture.
    #[error("is a vmlinux for {architecture}, which QEMU does not boot; give {instead}")]
    OtherForm {
        /// The architecture.
        architecture: Architecture,
        /// What the build has that can be booted.
        instead: &'static str,
    },
    /// Its end is missing.
    #[error("is truncated: {has} bytes of at least {needs}; copy or build it again")]
    Truncated {
        /// Bytes that are there.
        has: u64,
        /// Bytes that there must be by its header.
        needs: u64,
    },
    /// Its compressed part does not decompress, or not to a kernel.
    #[error("is damaged: {0}; copy or build it again")]
    Damaged(String),
    /// QEMU cannot enter it.
    #[error("has no PVH entry point, which QEMU needs; give the bzImage, or build with CONFIG_PVH")]
    NoEntry,
}

/// The architectures whose kernels can be booted, in a sentence.
fn all() -> String {
    let names = Architecture::ALL.map(Architecture::name);
    match names.split_last() {
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

impl From<io::Error> for NoKernel {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ => Self::Unreadable(error),
        }
    }
}
