//! Two things done at the same time, each on a processor of its own.

use std::hint::spin_loop;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::yield_now;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::error::{Context, Result};
use crate::process::entry::use_every_cpu;
use crate::process::thread::spawn_scoped;
use crate::wait::pause;

/// How long both sides spin until the first one begins: longer than one takes to see what the
/// other has written.
const LEAD: Duration = Duration::from_micros(2);

/// How long both spin before a moment that is known: a sleep ends late by less where the machine is
/// not busy.
const SPINS: Duration = Duration::from_millis(2);

/// There is no beginning yet.
const NOT_YET: u64 = u64::MAX;

/// Two processors, on the first of which this thread stays.
#[derive(Debug)]
pub struct TwoProcessors {
    other: usize,
}

/// What came of two things that were done at the same time.
#[derive(Debug)]
pub struct AtOnce<A, B> {
    /// What this thread's returned.
    pub here: A,
    /// What the other one's returned.
    pub there: B,
    /// When this one's began, since the Unix epoch.
    pub here_began: Duration,
    /// How much later the other one began, in nanoseconds; less than zero if it began before.
    pub apart: i64,
}

impl<A, B> AtOnce<A, B> {
    /// When the other one's began, since the Unix epoch.
    pub fn there_began(&self) -> Duration {
        let nanoseconds = self.here_began.as_nanos() as u64;
        Duration::from_nanos(nanoseconds.saturating_add_signed(self.apart))
    }
}

impl TwoProcessors {
    /// Takes two of the processors that this process may use, and leaves this thread on one; no
    /// two if there is one alone.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take() -> Result<Option<Self>> {
        use_every_cpu()?;
        let allowed =
            sched_getaffinity(Pid::from_raw(0)).call(|| "sched_getaffinity(this thread)".into())?;
        let mut processors = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu) == Ok(true));
        let (Some(own), Some(other)) = (processors.next(), processors.next()) else {
            return Ok(None);
        };
        stay_on(own)?;
        Ok(Some(Self { other }))
    }

    /// Does one thing here and another one on the other processor, where it begins `apart`
    /// nanoseconds later; earlier if that is less than zero. When exactly they begin, the result
    /// says: an interrupt may come between.
    ///
    /// # Errors
    /// There is no room for a thread, or it must not run on the other processor.
    pub fn at_once<A, B: Send>(
        &self,
        apart: i64,
        here: impl FnOnce() -> A,
        there: impl FnOnce() -> B + Send,
    ) -> Result<AtOnce<A, B>> {
        let epoch = Instant::now();
        let wall_clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = || epoch.elapsed().as_nanos() as u64;
        let until = |moment: u64| {
            while now() < moment {
                spin_loop();
            }
        };
        let (is_ready, begins) = (AtomicBool::new(false), AtomicU64::new(NOT_YET));
        std::thread::scope(|scope| {
            let other = spawn_scoped(scope, || {
                stay_on(self.other)?;
                is_ready.store(true, Ordering::Release);
                let begins = loop {
                    match begins.load(Ordering::Acquire) {
                        NOT_YET => spin_loop(),
                        begins => break begins,
                    }
                };
                until(begins.saturating_add_signed(apart.max(0)));
                let began = now();
                Ok((there(), began))
            })?;
            while !is_ready.load(Ordering::Acquire) && !other.is_finished() {
                yield_now();
            }
            let begin = now() + LEAD.as_nanos() as u64;
            begins.store(begin, Ordering::Release);
            until(begin + (-apart).max(0) as u64);
            let began = now();
            let here = here();
            let other = other.join().unwrap_or_else(|panic| resume_unwind(panic));
            let (there, other_began) = other?;
            let here_began = wall_clock + Duration::from_nanos(began);
            Ok(AtOnce { here, there, here_began, apart: other_began as i64 - began as i64 })
        })
    }

    /// Does something on the other processor at a moment. Both processors spin until then from a
    /// little before, so that neither sleeps deeply when it comes, and sleep before that: who has
    /// slept is let in at once where others are at work.
    ///
    /// # Errors
    /// There is no room for a thread, or it must not run on the other processor.
    pub fn there_at<B: Send>(
        &self,
        moment: Instant,
        there: impl FnOnce() -> B + Send,
    ) -> Result<B> {
        std::thread::scope(|scope| {
            let other = spawn_scoped(scope, || {
                stay_on(self.other)?;
                spin_until(moment);
                Ok(there())
            })?;
            spin_until(moment);
            other.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

/// Sleeps, and spins at last.
fn spin_until(moment: Instant) {
    pause(moment.saturating_duration_since(Instant::now() + SPINS));
    while Instant::now() < moment {
        spin_loop();
    }
}

fn stay_on(processor: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(processor).call(|| format!("CPU_SET({processor})"))?;
    sched_setaffinity(Pid::from_raw(0), &only)
        .call(|| format!("sched_setaffinity(CPU {processor})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread of its own, whose processor it changes.
    #[test]
    fn each_runs_on_its_own_and_the_later_one_begins_later() {
        let tried = std::thread::spawn(|| {
            let two = TwoProcessors::take().expect("processors")?;
            let on = || nix::sched::sched_getcpu().expect("a processor");
            let mut apart = Vec::new();
            for asked in [-50_000, 50_000] {
                let done = two.at_once(asked, on, on).expect("both");
                assert_ne!(done.here, done.there);
                apart.push(done.apart);
            }
            Some(apart)
        });
        let Some(apart) = tried.join().expect("no panic") else { return };
        assert!(apart[0] < 0 || apart[1] > 0, "{apart:?}");
    }
}
