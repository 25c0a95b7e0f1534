//! Prepared kernels that are in use: nobody removes them.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::boot::bootable::Bootable;
use crate::boot::manifest::FILE;
use crate::fetch::cache::{At, CacheError};

/// What this process uses. Closing a file gives up its lock.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Keeps a kernel where it is for as long as this process lives, and makes it the one that was
/// used last.
pub fn hold(kernel: &Bootable) {
    // What cannot be locked is at worst prepared again.
    if let Ok(file) = File::open(kernel.kept_in.join(FILE))
        && file.lock_shared().is_ok()
    {
        HELD.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }
    let manifest = File::options().write(true).open(kernel.kept_in.join(FILE));
    let _ = manifest.and_then(|file| file.set_modified(SystemTime::now()));
}

/// The right to remove a kernel, for as long as the value lives; nothing if somebody uses it.
///
/// # Errors
/// It cannot be found out.
pub(crate) fn to_remove(dir: &Path) -> Result<Option<Unused>, CacheError> {
    let path = dir.join(FILE);
    // What was never finished is used by nobody.
    let Ok(file) = File::open(&path) else { return Ok(Some(Unused(None))) };
    match file.try_lock() {
        Ok(()) => Ok(Some(Unused(Some(file)))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e).at("lock", &path),
    }
}

/// A kernel that nobody uses.
pub(crate) struct Unused(
    #[expect(dead_code, reason = "it is locked while it is open")] Option<File>,
);
