//! The formats of packages, recognised by their first bytes.

use std::io::Read;
use std::ops::Range;

use crate::boot::compression::Compression;

/// Where a tar archive has its own magic number.
const MAGIC_OF_TAR: Range<usize> = 257..262;

/// The format of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackageFormat {
    /// Debian's and Ubuntu's.
    Deb,
    /// That of Fedora, RHEL, SUSE and Amazon.
    Rpm,
    /// A tar archive, compressed or not: Arch's packages, and what `make tarzst-pkg` makes in a
    /// kernel's tree.
    Tar,
}

impl PackageFormat {
    /// The format of a file that starts with `start` and goes on with `rest`; nothing if it is
    /// no package.
    pub fn of(start: &[u8], rest: impl Read) -> Option<Self> {
        if start.starts_with(b"!<arch>\n") {
            return Some(Self::Deb);
        }
        if start.starts_with(&[0xed, 0xab, 0xee, 0xdb]) {
            return Some(Self::Rpm);
        }
        let is_tar = match Compression::of(start) {
            None => start.get(MAGIC_OF_TAR) == Some(b"ustar"),
            Some(compression) => is_compressed_tar(compression, start.chain(rest)),
        };
        is_tar.then_some(Self::Tar)
    }
}

fn is_compressed_tar(compression: Compression, file: impl Read) -> bool {
    let mut inside = [0; MAGIC_OF_TAR.end];
    let opened = compression.open(file);
    opened.is_ok_and(|mut reader| reader.read_exact(&mut inside).is_ok())
        && &inside[MAGIC_OF_TAR] == b"ustar"
}
