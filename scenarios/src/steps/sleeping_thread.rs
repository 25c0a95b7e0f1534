//! Threads that sleep in a call on a listener.

use std::time::Duration;

use harness::errno_name;
use harness::lab::Lab;
use harness::lab::blocked_thread::{BlockedThread, Way};
use harness::socket::{Listener, NO_WAKE_UP_MS};

use crate::judge::expectation::Expectation;

/// A thread sleeps on A, which `end` ends without closing it.
pub(crate) fn ended_under(
    lab: &mut Lab,
    way: Way,
    end: impl FnOnce(&mut Lab, &Listener) -> harness::Result<String>,
) -> harness::Result<()> {
    let a = lab.listen("A")?;
    let thread = BlockedThread::start(&a, way)?;
    let b = lab.listen("B")?;
    let before = lab.counters()?;
    let came = end(lab, &a)?;
    lab.observe("the call", came);
    let within = Duration::from_millis(NO_WAKE_UP_MS.into());
    let found = asleep_or_woken(&thread, within)?;
    lab.observe("the waiter", found);
    let returned = match thread.end() {
        Ok(child) => child.map_or("no child", |_| "a child").to_owned(),
        Err(harness::Error::Tested { source, .. }) => errno_name(&source),
        Err(e) => return Err(e),
    };
    lab.observe("the waiter's call returns", returned);
    lab.observe_counters(&before)?;
    lab.observe_service(&b)
}

pub(crate) fn ended_under_must(returned: &str) -> Expectation {
    Expectation::new()
        .fact("the call", "ok")
        .fact("the waiter", "woken")
        .fact("the waiter's call returns", returned)
        .fact("B serves a fresh client", "yes")
        .counters(&[])
}

pub(crate) fn asleep_or_woken(
    thread: &BlockedThread,
    within: Duration,
) -> harness::Result<&'static str> {
    Ok(if thread.is_woken(within)? { "woken" } else { "asleep" })
}
