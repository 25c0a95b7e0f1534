//! Whether this process is a fork of another one of this program's.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the program's start.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between this process and the program's start. Costs no system call, as a
/// comparison of process ids would.
pub(crate) fn count() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// To be called first by a process that was forked.
pub(crate) fn count_this() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
