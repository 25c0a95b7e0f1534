//! Waits that are in vain in case after case, and are made shorter then: a broken kernel leaks in
//! every case, or never wakes anybody, and each time is a long wait for nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use harness::wait::{Awaited, RanOut};

use crate::judge::verdict::Verdict;

/// After this many cases with such a wait later ones are shorter.
const ENOUGH: u32 = 3;

/// What was waited for in vain, and in how many cases.
///
/// Only cases that fail count: on a kernel that is as it must be, or has known bugs alone, every
/// wait is as long as the first.
#[derive(Debug, Default)]
pub(crate) struct VainWaits(Mutex<BTreeMap<Awaited, u32>>);

impl VainWaits {
    /// Notes the waits of a case that were in vain, and not shorter than usual.
    pub(crate) fn note(&self, verdict: &Verdict, ran_out: &[RanOut]) {
        if !matches!(verdict, Verdict::Fail { .. }) {
            return;
        }
        let mut these: Vec<Awaited> =
            ran_out.iter().filter(|wait| !wait.shortened).map(|wait| wait.awaited).collect();
        these.sort_unstable();
        these.dedup();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for awaited in these {
            *counts.entry(awaited).or_default() += 1;
        }
    }

    /// What a case that begins now is to wait for shorter than usual.
    pub(crate) fn to_shorten(&self) -> Vec<Awaited> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().filter(|(_, count)| **count >= ENOUGH).map(|(awaited, _)| *awaited).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn in_vain(awaited: Awaited) -> RanOut {
        RanOut { awaited, waited: Duration::from_secs(10), shortened: false }
    }

    fn fail() -> Verdict {
        Verdict::Fail { mismatches: vec![] }
    }

    #[test]
    fn three_cases_that_fail_shorten_what_they_waited_for_in_vain() {
        let waits = VainWaits::default();
        let freed = in_vain(Awaited::SocketsFreed);
        for _ in 1..ENOUGH {
            // Twice in a case is once.
            waits.note(&fail(), &[freed, freed, in_vain(Awaited::Segment)]);
            assert_eq!(waits.to_shorten(), []);
        }
        waits.note(&fail(), &[freed]);
        assert_eq!(waits.to_shorten(), [Awaited::SocketsFreed]);
    }

    #[test]
    fn cases_that_are_as_they_must_be_shorten_nothing() {
        let waits = VainWaits::default();
        for _ in 0..=ENOUGH {
            waits.note(&Verdict::pass(), &[in_vain(Awaited::WakeUp)]);
        }
        assert_eq!(waits.to_shorten(), []);
    }

    #[test]
    fn a_wait_that_was_short_proves_nothing() {
        let waits = VainWaits::default();
        let short = RanOut { shortened: true, ..in_vain(Awaited::Child) };
        for _ in 0..=ENOUGH {
            waits.note(&fail(), &[short]);
        }
        assert_eq!(waits.to_shorten(), []);
    }
}
