//! After how many failures nothing more is begun (`--max-fail`).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::judge::verdict::Verdict;

/// When a run begins no more cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureLimit {
    /// After this many.
    pub most: NonZeroU32,
    /// What is counted.
    pub of: Counted,
}

/// What counts as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// A case that fails, and one whose laboratory broke.
    Failures,
    /// A case that fails, and one that shows a known bug: what a bisection looks for.
    Deviations,
}

impl FailureLimit {
    /// One is enough.
    pub fn first(of: Counted) -> Self {
        Self { most: NonZeroU32::MIN, of }
    }

    fn counts(self, verdict: &Verdict) -> bool {
        match verdict {
            Verdict::Fail { .. } => true,
            Verdict::Error { .. } => self.of == Counted::Failures,
            Verdict::KnownBug { .. } => self.of == Counted::Deviations,
            Verdict::Pass { .. } | Verdict::Skip { .. } => false,
        }
    }
}

/// How many failures there were, for all who count together.
#[derive(Debug, Default)]
pub struct FailureCount {
    limit: Option<FailureLimit>,
    counted: AtomicU32,
}

impl FailureCount {
    /// None yet. Without a limit it is never reached.
    pub fn up_to(limit: Option<FailureLimit>) -> Self {
        Self { limit, counted: AtomicU32::new(0) }
    }

    /// Counts a verdict, if it is a failure.
    pub fn count(&self, verdict: &Verdict) {
        if self.limit.is_some_and(|limit| limit.counts(verdict)) {
            self.counted.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Whether nothing more is to be begun.
    pub fn is_reached(&self) -> bool {
        let counted = self.counted.load(Ordering::Acquire);
        self.limit.is_some_and(|limit| counted >= limit.most.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn error() -> Verdict {
        Verdict::Error { reason: "no room".into() }
    }

    fn fail() -> Verdict {
        Verdict::Fail { mismatches: vec![] }
    }

    #[rstest]
    #[case::nothing(Verdict::pass(), false)]
    #[case::a_failure(fail(), true)]
    #[case::an_error(error(), true)]
    fn failures_are_counted(#[case] verdict: Verdict, #[case] counts: bool) {
        let count = FailureCount::up_to(Some(FailureLimit::first(Counted::Failures)));
        count.count(&verdict);
        assert_eq!(count.is_reached(), counts);
    }

    #[test]
    fn a_laboratory_that_breaks_is_nothing_that_a_bisection_looks_for() {
        let count = FailureCount::up_to(Some(FailureLimit::first(Counted::Deviations)));
        count.count(&error());
        assert!(!count.is_reached());
        count.count(&fail());
        assert!(count.is_reached());
    }

    #[test]
    fn the_limit_is_reached_by_as_many_as_it_says() {
        let limit = FailureLimit { most: NonZeroU32::MIN.saturating_add(1), of: Counted::Failures };
        let count = FailureCount::up_to(Some(limit));
        count.count(&fail());
        assert!(!count.is_reached());
        count.count(&error());
        assert!(count.is_reached());
    }

    #[test]
    fn without_a_limit_it_is_never_reached() {
        let count = FailureCount::default();
        count.count(&fail());
        assert!(!count.is_reached());
    }
}
