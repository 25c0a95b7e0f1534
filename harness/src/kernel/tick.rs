//! How long a jiffy is.

use std::time::Duration;

use nix::time::{ClockId, clock_getres};

use crate::error::{Context, Result};

/// The time between two ticks of the running kernel (`1 / CONFIG_HZ`): the coarse clock moves with
/// each.
///
/// # Errors
/// The kernel has no such clock.
pub fn tick() -> Result<Duration> {
    clock_getres(ClockId::CLOCK_MONOTONIC_COARSE)
        .map(Duration::from)
        .call(|| "clock_getres(CLOCK_MONOTONIC_COARSE)".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jiffy_is_as_long_as_kernels_can_have_it() {
        let tick = tick().expect("every kernel has it");
        assert!(
            (Duration::from_micros(990)..=Duration::from_millis(10)).contains(&tick),
            "{tick:?}"
        );
    }
}
