//! Which bugs of the model the running kernel has.

use std::collections::BTreeSet;

use explore::model::ModelBug;
use explore::run::Stopped;
use explore::witness;
use harness::kernel::Kernel;
use harness::process::Labs;
use scenarios::judge::builtin::builtin;

/// The bugs that a history shows, of those that the kernel's version does not exclude: one that
/// it must not have is not to be taken for known.
pub(super) fn of_this_kernel(labs: &Labs, kernel: &Kernel) -> Result<BTreeSet<ModelBug>, Stopped> {
    witness::found(labs, not_excluded(kernel))
}

/// The bugs that no history shows, since they need two processors, and that the kernel's version
/// does not exclude.
pub(in crate::cmd) fn of_two_processors(kernel: &Kernel) -> impl Iterator<Item = ModelBug> {
    not_excluded(kernel).filter(|bug| bug.needs_two_processors())
}

fn not_excluded(kernel: &Kernel) -> impl Iterator<Item = ModelBug> {
    let is_possible = |bug: &ModelBug| {
        let row = builtin().bugs.iter().find(|row| row.id == bug.id());
        row.is_some_and(|row| row.releases.say(&kernel.base).is_some())
    };
    ModelBug::ALL.into_iter().filter(is_possible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bug_of_the_model_is_in_the_list_of_known_bugs() {
        for bug in ModelBug::ALL {
            assert!(builtin().bugs.iter().any(|row| row.id == bug.id()), "{bug}");
        }
    }
}
