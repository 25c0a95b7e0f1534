//! s390x's `bzImage`: what its loaders put into memory and start (`arch/s390/boot/head.S`).

use crate::boot::bzimage::release_at_start;

/// The magic number, and where it is.
const MAGIC: (usize, &[u8]) = (0x1_0008, b"S390EP");

/// Where it says where its version is, a big-endian number of eight bytes: `kernel_version` of
/// `struct parmarea`, since Linux 5.2.
const VERSION_AT: usize = 0x1_0428;

/// As much of a file as has both.
pub(crate) const START: usize = VERSION_AT + 8;

/// Whether a file that begins like this is one.
pub(crate) fn is_one(start: &[u8]) -> bool {
    start.get(MAGIC.0..).is_some_and(|at| at.starts_with(MAGIC.1))
}

/// What `uname -r` of it will say, if it says that.
pub(crate) fn release(image: &[u8]) -> Option<String> {
    let at = image.get(VERSION_AT..START)?.try_into().map(u64::from_be_bytes).ok()?;
    let version = image.get(usize::try_from(at).ok().filter(|at| *at != 0)?..)?;
    version.first().filter(|first| first.is_ascii_digit())?;
    Some(release_at_start(version))
}
