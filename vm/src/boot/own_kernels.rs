//! The user's own kernels in the cache: a few of them, those that were used last.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::boot::in_use;
use crate::boot::manifest::FILE;
use crate::fetch::cache::{At, Cache, CacheError, remove};

/// How many are kept. A bisection is at one of them, and goes back to few of the others.
pub const KEPT: usize = 16;

/// How the names of their directories begin.
pub(crate) const PREFIX: &str = "path-";

/// Removes all but the [`KEPT`] that were used last, except for those that a running sockmig
/// uses.
///
/// # Errors
/// One of them cannot be removed.
pub(crate) fn remove_oldest(cache: &Cache) -> Result<(), CacheError> {
    let dir = cache.ready();
    let mut used: Vec<(SystemTime, PathBuf)> = vec![];
    for entry in fs::read_dir(&dir).at("read", &dir)? {
        let entry = entry.at("read", &dir)?;
        // What is not finished has no manifest, and somebody is at it.
        if entry.file_name().to_string_lossy().starts_with(PREFIX)
            && let Ok(manifest) = fs::metadata(entry.path().join(FILE))
        {
            used.push((manifest.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
        }
    }
    used.sort();
    let too_many = used.len().saturating_sub(KEPT);
    for (_, path) in &used[..too_many] {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(lock) = cache.try_lock(&name)? else { continue };
        if let Some(_unused) = in_use::to_remove(path)? {
            remove(path)?;
            lock.discard();
        }
    }
    Ok(())
}
