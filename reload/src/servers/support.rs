//! What the real servers share: writing their files, and seeing their listeners.

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::load::listener_monitor::listeners;
use harness::{Context, Result};

/// How long one reload of such a server takes at least: old processes take their time.
pub(super) const RELOAD_TAKES: Duration = Duration::from_millis(400);

/// Writes a configuration.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).call(|| format!("write({})", path.display()))
}

/// Whether there are `count` listeners at the lab's port.
pub(super) fn are_listening(count: usize) -> bool {
    listeners().is_ok_and(|listeners| listeners.len() == count)
}
