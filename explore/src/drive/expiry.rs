//! When the kernel's timer wheel fires.

use std::time::Duration;

use harness::Result;
use harness::kernel::tick::tick;

/// TCP_TIMEOUT_INIT: how long the first timer of a request takes.
const TIMEOUT: Duration = Duration::from_secs(1);

/// For how many jiffies a level of the wheel has slots, before those of the next one are eight
/// times as long (`LVL_START()` of `kernel/time/timer.c`).
const SLOTS: u128 = 63;

/// How much longer (`LVL_CLK_DIV`).
const LONGER: u32 = 8;

/// The moments at which timers of requests fire: so far apart as the slots of the wheel are long,
/// and known once one was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry {
    slot: Duration,
    seen: Option<Duration>,
}

impl Expiry {
    /// Of the running kernel.
    ///
    /// # Errors
    /// The kernel does not say how long a jiffy is.
    pub(super) fn open() -> Result<Self> {
        Ok(Self { slot: slot(tick()?), seen: None })
    }

    /// A timer fired at this time, since the Unix epoch.
    pub(super) fn learn(&mut self, fired: Duration) {
        self.seen = Some(fired);
    }

    /// When a timer fires that was set at this time, since the Unix epoch; about, while none was
    /// seen.
    pub(super) fn of(&self, set: Duration) -> Duration {
        let due = set + TIMEOUT;
        let Some(seen) = self.seen.filter(|seen| *seen <= due) else { return due + self.slot / 2 };
        let slots = (due - seen).as_nanos() / self.slot.as_nanos() + 1;
        seen + self.slot * slots as u32
    }
}

/// How long the slot is in which a timer of this timeout is put.
fn slot(tick: Duration) -> Duration {
    let jiffies = TIMEOUT.as_nanos() / tick.as_nanos().max(1);
    let (mut slot, mut slots) = (tick, SLOTS);
    while jiffies >= slots {
        slot *= LONGER;
        slots *= u128::from(LONGER);
    }
    slot
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::hz_100(10_000, 80)]
    #[case::hz_250(4_000, 32)]
    #[case::hz_1000(1_000, 64)]
    fn a_slot_is_as_long_as_the_level_says(#[case] microseconds: u64, #[case] milliseconds: u64) {
        let slot = slot(Duration::from_micros(microseconds));
        assert_eq!(slot, Duration::from_millis(milliseconds));
    }

    /// Timers of one slot fire together, and each a second after it was set or later.
    #[test]
    fn a_timer_fires_at_the_end_of_its_slot() {
        let ms = Duration::from_millis;
        let mut expiry = Expiry { slot: ms(32), seen: None };
        assert_eq!(expiry.of(ms(5)), ms(1005 + 16));
        expiry.learn(ms(1010));
        for (set, fires) in [(11, 1042), (41, 1042), (42, 1074), (500, 1522), (509, 1522)] {
            assert_eq!(expiry.of(ms(set)), ms(fires), "{set}");
        }
    }
}
