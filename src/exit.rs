//! Exit codes. They are part of the interface and documented in `--help`.

use std::process::ExitCode;

use scenarios::judge::Verdict;

use crate::output::document::{Blame, CaseDocument, MatrixDocument};
use crate::output::totals::Totals;
use crate::output::word::{self, Word};

/// How the command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything is as expected; known bugs are.
    Expected = 0,
    /// The kernel deviates.
    Deviates = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Nothing ran: no case was selected, or every one was skipped.
    NothingRan = 4,
    /// The laboratory failed, or a result could not be written.
    Unavailable = 69,
    /// For `git bisect run`: this commit says nothing.
    CannotTest = 125,
    /// For `git bisect run`: no commit would say anything; 128 and more end the bisection.
    GiveUp = 129,
    /// Ctrl-C.
    Interrupted = 130,
}

/// What counts as a deviation besides a case that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Denied {
    /// A case that is skipped.
    pub skips: bool,
    /// A case that failed in a discarded try, and not in the last one.
    pub flaky: bool,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// What a run with these totals ends with, when everything could be written.
    ///
    /// A deviation is worth more than a laboratory that broke in another case.
    pub fn of(totals: &Totals, denied: Denied) -> Self {
        match totals {
            Totals { interrupted: true, .. } => Self::Interrupted,
            Totals { failed: 1.., .. } => Self::Deviates,
            Totals { skipped: 1.., .. } if denied.skips => Self::Deviates,
            Totals { flaky: 1.., .. } if denied.flaky => Self::Deviates,
            Totals { errors: 1.., .. } | Totals { no_lab: true, .. } => Self::Unavailable,
            Totals { passed: 0, known_bugs: 0, .. } => Self::NothingRan,
            _ => Self::Expected,
        }
    }

    /// What a matrix ends with, when everything could be written. `named` are the kernels
    /// that the command line asked for by name: one of them that cannot be fetched leaves
    /// the question unanswered, any other is only counted.
    ///
    /// A deviation is worth more than a laboratory that broke elsewhere.
    pub fn of_matrix(found: &MatrixDocument, named: &[String], deny_flaky: bool) -> Self {
        let kernels = &found.kernels;
        let runs = || kernels.iter().filter_map(|kernel| kernel.run.as_ref());
        let any = |is: fn(&Verdict) -> bool| {
            runs().flat_map(|run| &run.cases).any(|case| is(&case.verdict))
        };
        let blamed = |blame| kernels.iter().any(|kernel| kernel.end.counts_as() == blame);
        let missing = kernels
            .iter()
            .any(|kernel| kernel.end.counts_as() == Blame::Mirror && named.contains(&kernel.name));
        if !found.complete || blamed(Blame::User) || runs().any(|run| run.totals.interrupted) {
            return Self::Interrupted;
        }
        let deviates = any(|verdict| matches!(verdict, Verdict::Fail { .. }))
            || blamed(Blame::Kernel)
            || deny_flaky && runs().flat_map(|run| &run.cases).any(CaseDocument::is_flaky)
            || kernels.iter().any(|kernel| !kernel.complaints.is_empty());
        if deviates {
            return Self::Deviates;
        }
        let broke = any(|verdict| matches!(verdict, Verdict::Error { .. }))
            || blamed(Blame::Laboratory)
            || missing
            // A machine that says it has completed and was not heard of every case.
            || kernels.iter().any(|kernel| {
                kernel.end.counts_as() == Blame::Nobody
                    && word::row(kernel, &found.cases).contains(&Word::NotRun.into())
            })
            || runs().any(|run| run.totals.no_lab);
        if broke {
            return Self::Unavailable;
        }
        match any(|verdict| matches!(verdict, Verdict::Pass { .. } | Verdict::KnownBug { .. })) {
            true => Self::Expected,
            false => Self::NothingRan,
        }
    }

    /// The same, when something could not be written or kept: that is not good news.
    pub fn unless_write_failed(self, write_failed: bool) -> Self {
        match self {
            Self::Expected | Self::NothingRan if write_failed => Self::Unavailable,
            exit => exit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use scenarios::engine::DiscardedTry;
    use scenarios::judge::Verdict;

    use crate::fixture::matrix as made;
    use crate::output::document::{Complaint, KernelDocument, MachineEnd};

    #[rstest]
    #[case(Totals { passed: 3, skipped: 1, ..Totals::default() }, Denied::default(), Exit::Expected)]
    #[case(Totals { passed: 3, skipped: 1, ..Totals::default() }, Denied { skips: true, flaky: false }, Exit::Deviates)]
    #[case(Totals { known_bugs: 1, ..Totals::default() }, Denied::default(), Exit::Expected)]
    #[case(Totals { skipped: 4, ..Totals::default() }, Denied::default(), Exit::NothingRan)]
    #[case(Totals::default(), Denied::default(), Exit::NothingRan)]
    #[case(Totals { passed: 1, errors: 1, ..Totals::default() }, Denied::default(), Exit::Unavailable)]
    #[case(Totals { failed: 1, errors: 1, ..Totals::default() }, Denied::default(), Exit::Deviates)]
    #[case(Totals { failed: 1, interrupted: true, ..Totals::default() }, Denied::default(), Exit::Interrupted)]
    #[case(Totals { passed: 1, no_lab: true, ..Totals::default() }, Denied::default(), Exit::Unavailable)]
    #[case(Totals { passed: 1, flaky: 1, ..Totals::default() }, Denied::default(), Exit::Expected)]
    #[case(Totals { passed: 1, flaky: 1, ..Totals::default() }, FLAKY_DENIED, Exit::Deviates)]
    #[case(Totals { passed: 1, retried: 1, ..Totals::default() }, FLAKY_DENIED, Exit::Expected)]
    #[case(Totals { errors: 1, flaky: 1, ..Totals::default() }, FLAKY_DENIED, Exit::Deviates)]
    #[case(Totals { flaky: 1, interrupted: true, ..Totals::default() }, FLAKY_DENIED, Exit::Interrupted)]
    fn totals_decide(#[case] totals: Totals, #[case] denied: Denied, #[case] exit: Exit) {
        assert_eq!(Exit::of(&totals, denied), exit);
    }

    const FLAKY_DENIED: Denied = Denied { skips: false, flaky: true };

    #[test]
    fn a_flaky_case_of_a_matrix_counts_if_it_is_denied() {
        let mut found = one(MachineEnd::Completed, &[made::pass()]);
        let try_again = |found: &mut MatrixDocument, discarded| {
            let run = found.kernels[0].run.as_mut().expect("it ran");
            run.cases[0].discarded = vec![discarded];
        };
        try_again(&mut found, DiscardedTry::TooSlow { what: "late".into() });
        assert_eq!(Exit::of_matrix(&found, &[], true), Exit::Expected);
        try_again(&mut found, DiscardedTry::Failed { mismatches: vec![] });
        assert_eq!(Exit::of_matrix(&found, &[], true), Exit::Deviates);
        assert_eq!(Exit::of_matrix(&found, &[], false), Exit::Expected);
    }

    fn one(end: MachineEnd, verdicts: &[Verdict]) -> MatrixDocument {
        let ids: Vec<String> = (0..verdicts.len()).map(|at| format!("case/{at}")).collect();
        let kernel = made::kernel("6.1", end, &ids, |at, _| Some(verdicts[at].clone()));
        made::matrix(ids, vec![kernel])
    }

    fn why() -> String {
        "because".into()
    }

    #[rstest]
    #[case::passes(one(MachineEnd::Completed, &[made::pass(), made::skip()]), Exit::Expected)]
    #[case::known(one(MachineEnd::Completed, &[made::known()]), Exit::Expected)]
    #[case::has_fix(one(MachineEnd::Completed, &[made::has_fix()]), Exit::Expected)]
    #[case::fails(one(MachineEnd::Completed, &[made::pass(), made::fail("x")]), Exit::Deviates)]
    #[case::fails_and_broke(one(MachineEnd::Completed, &[made::error(), made::fail("x")]), Exit::Deviates)]
    #[case::broke(one(MachineEnd::Completed, &[made::pass(), made::error()]), Exit::Unavailable)]
    #[case::all_skipped(one(MachineEnd::Completed, &[made::skip()]), Exit::NothingRan)]
    #[case::nothing(one(MachineEnd::Completed, &[]), Exit::NothingRan)]
    #[case::no_kernels(made::matrix(vec![], vec![]), Exit::NothingRan)]
    #[case::panicked(one(MachineEnd::Panicked { why: why() }, &[made::pass()]), Exit::Deviates)]
    #[case::panicked_and_broke(one(MachineEnd::Panicked { why: why() }, &[made::error()]), Exit::Deviates)]
    #[case::hung(one(MachineEnd::Hung { why: why() }, &[made::pass()]), Exit::Unavailable)]
    #[case::hung_behind_a_failure(one(MachineEnd::Hung { why: why() }, &[made::fail("x")]), Exit::Deviates)]
    #[case::died(one(MachineEnd::Died { why: why() }, &[made::pass()]), Exit::Unavailable)]
    #[case::garbage(one(MachineEnd::Garbage { why: why() }, &[made::pass()]), Exit::Unavailable)]
    #[case::never_booted(one(MachineEnd::NeverBooted { why: why() }, &[]), Exit::Unavailable)]
    #[case::out_of_memory(one(MachineEnd::OutOfMemory { why: why() }, &[]), Exit::Unavailable)]
    #[case::cannot_boot(one(MachineEnd::CannotBoot { why: why() }, &[]), Exit::Unavailable)]
    #[case::cannot_fetch(one(MachineEnd::CannotFetch { why: why() }, &[]), Exit::NothingRan)]
    #[case::interrupted(one(MachineEnd::Interrupted, &[made::fail("x")]), Exit::Interrupted)]
    fn a_matrix_decides_the_exit_code(#[case] found: MatrixDocument, #[case] exit: Exit) {
        assert_eq!(Exit::of_matrix(&found, &[], false), exit);
    }

    #[test]
    fn what_is_more_than_one_kernel_s_decides_the_exit_code() {
        let mut found = one(MachineEnd::Completed, &[made::pass()]);
        let missing = MachineEnd::CannotFetch { why: why() };
        found.kernels.push(made::kernel("6.16", missing, &[], |_, _| None));
        assert_eq!(Exit::of_matrix(&found, &[], false), Exit::Expected, "it is only counted");
        assert_eq!(Exit::of_matrix(&found, &["6.1".into()], false), Exit::Expected);
        assert_eq!(
            Exit::of_matrix(&found, &["6.16".into()], false),
            Exit::Unavailable,
            "it was asked for"
        );

        let complain = |kernel: &mut KernelDocument| {
            let complaint = Complaint { during: "booting".into(), text: "BUG".into() };
            kernel.complaints.push(complaint);
        };
        complain(&mut found.kernels[0]);
        assert_eq!(Exit::of_matrix(&found, &["6.16".into()], false), Exit::Deviates);
        found.complete = false;
        assert_eq!(Exit::of_matrix(&found, &[], false), Exit::Interrupted);

        let mut found = one(MachineEnd::Completed, &[made::pass()]);
        found.cases.push("case/lost".into());
        assert_eq!(Exit::of_matrix(&found, &[], false), Exit::Unavailable, "a hole is no pass");

        let mut found = one(MachineEnd::Completed, &[made::pass()]);
        found.kernels[0].run.as_mut().expect("a run").totals.no_lab = true;
        assert_eq!(Exit::of_matrix(&found, &[], false), Exit::Unavailable);
    }
}
