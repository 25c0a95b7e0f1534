//! Reloads of servers that others wrote, a file each. They run in the lab, in the foreground,
//! with configurations that are made here, in a directory that only the lab sees.

mod apache;
mod gunicorn;
mod haproxy;
mod nginx;
mod uvicorn;

use std::fs;
use std::path::Path;
use std::time::Duration;

use harness::listening::listeners;
use harness::{Context, Result};

use crate::strategy::Strategy;

/// How long one reload of such a server takes at least: old processes take their time.
const TAKES: Duration = Duration::from_millis(400);

/// What the table shows of them.
pub(crate) fn strategies() -> Vec<Strategy> {
    [
        nginx::strategies(),
        haproxy::strategies(),
        apache::strategies(),
        gunicorn::strategies(),
        uvicorn::strategies(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Writes a configuration.
fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).call(|| format!("write({})", path.display()))
}

/// Whether so many listeners are there.
fn are_listening(count: usize) -> bool {
    listeners().is_ok_and(|listeners| listeners.len() == count)
}
