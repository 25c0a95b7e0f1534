//! Room on disks.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Bytes that this user may still write to the file system of `path`.
///
/// # Errors
/// There is no such path.
pub fn free(path: &Path) -> io::Result<u64> {
    let system = statvfs(path)?;
    Ok(system.blocks_available() as u64 * system.fragment_size() as u64)
}
