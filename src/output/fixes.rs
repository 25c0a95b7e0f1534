//! Fixes that a kernel has and its version has not: each is reported once, not for each case.

use harness::kernel::Kernel;
use scenarios::judge::{NamedBug, Verdict};

/// Gathers them from the verdicts of one kernel.
#[derive(Debug, Default)]
pub struct Fixes {
    fixed: Vec<NamedBug>,
    shown: Vec<String>,
}

impl Fixes {
    /// Takes a verdict into account.
    pub fn note(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Pass { has_fix } => {
                for bug in has_fix {
                    if !self.fixed.contains(bug) {
                        self.fixed.push(bug.clone());
                    }
                }
            }
            Verdict::KnownBug { bug, .. } => self.shown.push(bug.id.clone()),
            Verdict::Fail { .. } | Verdict::Skip { .. } | Verdict::Error { .. } => {}
        }
    }

    /// The bugs whose fix the kernel has. One that another case has shown is not fixed.
    pub fn all(&self) -> Vec<&NamedBug> {
        self.fixed.iter().filter(|bug| !self.shown.contains(&bug.id)).collect()
    }
}

impl<'v> FromIterator<&'v Verdict> for Fixes {
    fn from_iter<I: IntoIterator<Item = &'v Verdict>>(verdicts: I) -> Self {
        let mut fixes = Self::default();
        verdicts.into_iter().for_each(|verdict| fixes.note(verdict));
        fixes
    }
}

/// What stands above them.
pub fn heading(kernel: &Kernel) -> String {
    format!("This kernel has fixes that Linux {} has not:", kernel.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::matrix as made;

    #[test]
    fn a_fix_is_told_once_and_not_where_the_bug_was_seen() {
        let fixed = [made::has_fix(), made::pass(), made::has_fix()];
        let fixes: Fixes = fixed.iter().collect();
        assert_eq!(fixes.all().len(), 1);
        let both = [made::has_fix(), made::known()];
        assert!(both.iter().collect::<Fixes>().all().is_empty());
    }
}
