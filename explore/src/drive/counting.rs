//! When the kernel's counters are read.

use std::collections::BTreeMap;

use harness::Result;
use harness::net::witness::Counters;

use crate::model::Counter;
use crate::step::Step;

/// Whether counters are read after a step. The kernel writes hundreds of lines each time, which
/// takes it longer than most steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CountersAre {
    Read,
    /// What has grown is seen when they are read the next time: at the last step at the latest.
    LeftForLater,
}

impl CountersAre {
    /// After a step. If `must` be, they are read in any case.
    pub(super) fn after(step: &Step, must: bool) -> Self {
        match must || may_be_counted(step) {
            true => Self::Read,
            false => Self::LeftForLater,
        }
    }
}

/// Whether the kernel counts what comes of such a step, at times: a segment, or an end.
fn may_be_counted(step: &Step) -> bool {
    match step {
        Step::Send { .. } | Step::Shutdown { .. } | Step::Close { .. } | Step::Wait => true,
        Step::Set(_)
        | Step::Listen { .. }
        | Step::ListenAgain { .. }
        | Step::Duplicate { .. }
        | Step::Accept { .. }
        | Step::SelectIndex { .. }
        | Step::SelectByHash { .. } => false,
    }
}

/// By how much each counter has grown since it was `last` read, which is now.
pub(super) fn grown(last: &mut Counters) -> Result<BTreeMap<Counter, i64>> {
    let now = Counters::read()?;
    let grown = |counter: &Counter| now.grown(last, counter.name()).filter(|grown| *grown != 0);
    let counters =
        Counter::ALL.iter().filter_map(|counter| Some((*counter, grown(counter)?))).collect();
    *last = now;
    Ok(counters)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::ListenerId;

    #[test]
    fn only_what_cannot_be_counted_is_left_for_later() {
        let a = ListenerId(0);
        let accept = Step::Accept { listener: a };
        assert_eq!(CountersAre::after(&accept, false), CountersAre::LeftForLater);
        assert_eq!(CountersAre::after(&accept, true), CountersAre::Read);
        assert_eq!(CountersAre::after(&Step::Close { listener: a }, false), CountersAre::Read);
    }
}
