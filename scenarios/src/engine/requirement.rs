//! Whether a case is to be run on this kernel: what it needs, how long it takes, and whether
//! somebody asked for it.

use harness::kernel::Kernel;

use crate::case::{Need, Selected, Setting};
use crate::engine::offered::{self, skip};
use crate::judge::skip::SkipReason;

pub use crate::engine::offered::{MIGRATION_SINCE, Met};

/// Has cases with long timers run where time is real. A guest whose clock leaps over idle
/// time has it set.
pub const LONG: &str = "SOCKMIG_LONG";

/// Which timers of the kernel are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Those of the default run.
    Short,
    /// All.
    Long,
}

impl Patience {
    /// What the environment asks for.
    pub fn of_environment() -> Self {
        Self::asked_for(std::env::var(LONG).ok().as_deref())
    }

    fn asked_for(value: Option<&str>) -> Self {
        match value {
            None | Some("" | "0" | "no") => Self::Short,
            Some(_) => Self::Long,
        }
    }
}

/// Checks whether a case is to be run here: what it needs, and how long it takes.
pub fn runs(selected: &Selected, kernel: &Kernel, patience: Patience) -> Met {
    match requirement(&selected.needs(), selected.setting, kernel) {
        Met::Yes if selected.case.is_long() && patience == Patience::Short => {
            let seconds = selected.case.waits_for.as_millis().div_ceil(1000);
            skip(SkipReason::LongTimers { seconds: seconds as u64 })
        }
        Met::Yes => explicit(selected),
        met => met,
    }
}

/// Whether somebody asked for a case that runs only for those who do.
fn explicit(selected: &Selected) -> Met {
    let because = selected.case.needs.iter().find_map(|need| match need {
        Need::ExplicitOnly => Some(SkipReason::OnlyByName),
        Need::LongWork => Some(SkipReason::LongWork),
        _ => None,
    });
    because.filter(|_| !selected.named).map_or(Met::Yes, skip)
}

/// Checks what a case needs against what the kernel has.
pub fn requirement(needs: &[Need], setting: Setting, kernel: &Kernel) -> Met {
    let of_family = setting.family.needs_ipv6().then_some(Need::Ipv6);
    let needs = of_family.iter().chain(needs);
    let answers = needs.map(|need| offered::check(*need, setting.family, kernel));
    answers.into_iter().find(|met| *met != Met::Yes).unwrap_or(Met::Yes)
}

#[cfg(test)]
mod configurations;
#[cfg(test)]
mod tests;
