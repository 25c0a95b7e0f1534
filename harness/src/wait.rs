//! Waiting for events. The only place where a lab lets time pass.
//!
//! Nothing here sleeps for a fixed time and then hopes: each function returns as soon
//! as its event is there, and gives up at a deadline that a healthy kernel never needs.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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

/// What is waited for, of what broken kernels never let happen in case after case.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Awaited {
    /// Closed sockets are freed.
    SocketsFreed,
    /// A segment is on the wire.
    Segment,
    /// `connect` returns.
    Connection,
    /// `accept` returns a child.
    Child,
    /// `recv` returns something.
    Data,
    /// A thread's call returns.
    WakeUp,
}

impl Awaited {
    fn bit(self) -> u8 {
        1 << self as u8
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::SocketsFreed => "closed sockets to be freed",
            Self::Segment => "segments",
            Self::Connection => "connect to return",
            Self::Child => "children to accept",
            Self::Data => "something to receive",
            Self::WakeUp => "threads to be woken",
        }
    }
}

/// A wait that was in vain.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct RanOut {
    /// What did not happen.
    pub awaited: Awaited,
    /// How long was waited.
    #[serde(rename = "waited_ms", alias = "waited", with = "crate::json::milliseconds")]
    #[schemars(with = "f64")]
    pub waited: Duration,
    /// It was waited shorter than usual, since such waits had been in vain before.
    pub shortened: bool,
}

/// What this process waits for shorter than usual; bits of [`Awaited`].
static SHORTENED: AtomicU8 = AtomicU8::new(0);

/// Which waits of this process were in vain.
static RAN_OUT: Mutex<Vec<RanOut>> = Mutex::new(Vec::new());

/// A shortened wait is this many times shorter. Two seconds are left where ten are usual: more
/// than the slowest timer of the kernel takes that a wait of these kinds is for.
const SHORTER: u32 = 5;

/// And looks for what no descriptor announces this many times more rarely.
const RARER: u32 = 10;

/// From now on this process waits for these shorter than usual.
pub fn shorten(these: &[Awaited]) {
    SHORTENED.store(these.iter().fold(0, |bits, one| bits | one.bit()), Ordering::Release);
}

/// The waits of this process that were in vain until now.
pub fn ran_out() -> Vec<RanOut> {
    RAN_OUT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// How long something is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// So long.
    pub within: Duration,
    /// The kind of wait, if broken kernels may make it shorter.
    awaited: Option<Awaited>,
    shortened: bool,
}

impl From<Duration> for Patience {
    /// Always as long as this.
    fn from(within: Duration) -> Self {
        Self { within, awaited: None, shortened: false }
    }
}

/// How long something of this kind is waited for: the [`deadline`], unless such waits were
/// [shortened](shorten).
pub fn patience(awaited: Awaited) -> Patience {
    let shortened = SHORTENED.load(Ordering::Acquire) & awaited.bit() != 0;
    let within = if shortened { deadline() / SHORTER } else { deadline() };
    Patience { within, awaited: Some(awaited), shortened }
}

impl Patience {
    /// The error of a wait for `what` that was in vain. It is noted.
    pub fn ran_out(self, what: impl Into<String>) -> Error {
        let Self { within: waited, awaited, shortened } = self;
        if let Some(awaited) = awaited {
            let mut all = RAN_OUT.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(RanOut { awaited, waited, shortened });
        }
        Error::NeverHappened { what: what.into(), waited, shortened }
    }

    /// How often something is looked for that no descriptor announces.
    fn tick(self, usual: Duration) -> Duration {
        if self.shortened { usual * RARER } else { usual }
    }

    /// After which part of the time that it took an event is noticed.
    fn precision(self) -> u32 {
        if self.shortened { PRECISION / RARER } else { PRECISION }
    }
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
    within: impl Into<Patience>,
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
    within: impl Into<Patience>,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let (patience, started) = (within.into(), Instant::now());
    let tick = patience.tick(tick);
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        let waited = started.elapsed();
        if waited >= patience.within {
            return Err(patience.ran_out(what));
        }
        ready(&[], tick.max(waited / patience.precision()))?;
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
    within: impl Into<Patience>,
    fd: BorrowedFd<'_>,
    what: &str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let patience = within.into();
    let end = Instant::now() + patience.within;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(patience.ran_out(what));
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
    fn a_shorter_wait_is_of_its_kind_alone_and_says_so() {
        shorten(&[Awaited::WakeUp]);
        let (short, usual) = (patience(Awaited::WakeUp), patience(Awaited::Segment));
        shorten(&[]);
        assert_eq!((short.within, usual.within), (deadline() / SHORTER, deadline()));
        let error = short.ran_out("a thread's call to return").to_string();
        assert!(error.ends_with("such waits were in vain before"), "{error}");
        let noted = RanOut { awaited: Awaited::WakeUp, waited: short.within, shortened: true };
        assert!(ran_out().contains(&noted));
        assert!(!usual.ran_out("a segment").to_string().contains("shorter"));
    }

    /// The slowest timer that such a wait is for is the first retransmission of a SYN+ACK.
    #[test]
    fn a_shorter_wait_is_longer_than_what_it_waits_for() {
        assert!(deadline() / SHORTER >= Duration::from_secs(2));
    }

    #[test]
    fn an_event_that_never_comes_is_named() {
        let error = until_within(Duration::from_millis(3), "the moon", || Ok(None::<()>))
            .expect_err("no moon");
        assert_eq!(error.to_string(), "the moon: not within 3 ms");
    }
}
