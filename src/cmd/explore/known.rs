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
    let mut found = BTreeSet::new();
    for bug in ModelBug::ALL {
        let row = builtin().bugs.iter().find(|row| row.id == bug.id());
        let is_possible = row.is_some_and(|row| row.releases.say(&kernel.base).is_some());
        if is_possible && witness::shows(labs, bug)? {
            found.insert(bug);
        }
    }
    Ok(found)
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
