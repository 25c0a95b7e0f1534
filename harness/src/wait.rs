//! Waiting for events. The only place where a lab lets time pass.
//!
//! Nothing here sleeps for a fixed time and then hopes: each function returns as soon
//! as its event is there, and gives up at a deadline that a healthy kernel never needs.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Context, Error, Result};

/// How often an event is looked for that no descriptor announces.
const TICK: Duration = Duration::from_millis(1);

/// An event is noticed at the latest after one part in this many of the time that it took: a
/// long wait takes few looks, and hardly longer than the event itself.
const PRECISION: u32 = 100;

/// How long an event may take before it counts as not happening.
///
/// Ten seconds are ten times the first retransmission of a SYN+ACK, the slowest timer
/// that a case of the default run waits for.
pub fn deadline() -> Duration {
    Duration::from_secs(10) * slowness()
}

/// How much slower than usual this machine says it is: `KSFT_MACHINE_SLOW`, which the
/// kernel's test runners export (any value but a number means three).
pub fn slowness() -> u32 {
    static SLOWNESS: OnceLock<u32> = OnceLock::new();
    *SLOWNESS.get_or_init(|| match std::env::var("KSFT_MACHINE_SLOW") {
        Err(_) => 1,
        Ok(value) if value.is_empty() || value == "0" || value == "no" => 1,
        Ok(value) => value.parse::<u32>().map_or(3, |factor| factor.clamp(3, 100)),
    })
}

/// Asks `look` until it finds something, at once, then at every tick, and ever more rarely.
///
/// # Errors
/// [`Error::NeverHappened`] with `what` at the deadline; whatever `look` fails with.
pub fn until<T>(what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    until_within(deadline(), what, look)
}

/// As [`until`], with a deadline of its own.
///
/// # Errors
/// As [`until`].
pub fn until_within<T>(
    within: Duration,
    what: &str,
    look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    until_every(TICK, within, what, look)
}

/// As [`until_within`], for what is not to be looked at that often.
///
/// # Errors
/// As [`until`].
pub fn until_every<T>(
    tick: Duration,
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        let waited = started.elapsed();
        if waited >= within {
            return Err(Error::NeverHappened { what: what.to_owned(), waited: within });
        }
        ready(&[], tick.max(waited / PRECISION))?;
    }
}

/// Asks `look` at once, and again whenever `fd` may have something to read.
///
/// # Errors
/// As [`until`].
pub fn until_readable<T>(
    fd: BorrowedFd<'_>,
    what: &str,
    look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    until_readable_within(deadline(), fd, what, look)
}

/// As [`until_readable`], with a deadline of its own.
///
/// # Errors
/// As [`until`].
pub fn until_readable_within<T>(
    within: Duration,
    fd: BorrowedFd<'_>,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::NeverHappened { what: what.to_owned(), waited: within });
        }
        ready(&[fd], left)?;
    }
}

/// Lets a moment pass before something is looked at again that no descriptor announces.
pub(crate) fn pause(moment: Duration) {
    let _ = ready(&[], moment);
}

/// Waits until one of `fds` can be read (or has failed), `within` at most, and says
/// for each whether it can.
///
/// # Errors
/// `poll` fails.
pub fn ready(fds: &[BorrowedFd<'_>], within: Duration) -> Result<Vec<bool>> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    // Rounded up, so that a wait never becomes a busy loop.
    let millis = u32::try_from(within.as_micros().div_ceil(1000)).unwrap_or(u32::MAX);
    let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno).call(|| format!("poll({} descriptors)", fds.len())),
    }
    Ok(polled.iter().map(|fd| fd.revents().is_some_and(|events| !events.is_empty())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_there_costs_no_time() {
        let asked = std::cell::Cell::new(0);
        let found = until("an event", || {
            asked.set(asked.get() + 1);
            Ok(Some(7))
        });
        assert_eq!((found.expect("found"), asked.get()), (7, 1));
    }

    #[test]
    fn an_event_that_comes_late_is_looked_for_ever_more_rarely() {
        let (started, mut asked) = (Instant::now(), 0);
        let late = Duration::from_millis(400);
        let found = until("an event", || {
            asked += 1;
            Ok((started.elapsed() >= late).then_some(()))
        });
        found.expect("it came");
        // Every millisecond for 100 ms, and then some 140 times.
        assert!(asked < 300, "{asked}");
    }

    #[test]
    fn an_event_that_never_comes_is_named() {
        let error = until_within(Duration::from_millis(3), "the moon", || Ok(None::<()>))
            .expect_err("no moon");
        assert_eq!(error.to_string(), "the moon: not within 3 ms");
    }
}
