//! Ending a load from outside, and seeing how far it is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Shared between a load and the thread that started it.
#[derive(Debug, Default)]
pub struct LoadControl {
    stopping: AtomicBool,
    settled_us: AtomicU64,
}

impl LoadControl {
    /// Has the load start no more clients. It ends when the last one has its outcome.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether every client that started before `moment`, since the epoch, has its outcome.
    pub fn is_settled(&self, moment: Duration) -> bool {
        u128::from(self.settled_us.load(Ordering::Acquire)) > moment.as_micros()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Everybody who started before has an outcome.
    pub(super) fn settle(&self, before: Duration) {
        self.settled_us.store(before.as_micros() as u64, Ordering::Release);
    }
}
