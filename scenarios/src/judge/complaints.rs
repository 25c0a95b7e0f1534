//! What the kernel's own log, and its taint, do to a verdict.

use harness::kernel::taint::Taint;

use crate::judge::known::{Candidate, What};
use crate::judge::releases::VersionSays;
use crate::judge::verdict::{Mismatch, NamedBug, Verdict};

/// What the kernel's log complained of while a case ran, and how that tainted it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaints {
    /// As a row about the case says.
    pub known: Vec<String>,
    /// Anything else.
    pub strange: Vec<String>,
    /// What the kernel has got that the known complaints do not account for.
    pub taint: Taint,
    /// The bug that these complaints alone show, without a fact that differs.
    pub logged_bug: Option<(NamedBug, VersionSays)>,
}

impl Complaints {
    /// Separates those that a row expects, by their first lines, from others; `gained` is how the
    /// kernel was tainted meanwhile.
    pub fn sorted(complaints: Vec<String>, gained: Taint, rows: &[Candidate<'_>]) -> Self {
        let (known, strange): (Vec<_>, _) = complaints.into_iter().partition(|complaint| {
            let first = complaint.lines().next().unwrap_or_default();
            rows.iter().flat_map(|row| &row.facts.log).any(|part| first.contains(part.as_str()))
        });
        let taint = if known.is_empty() { gained } else { gained.but_warned() };
        let shows = |row: &&Candidate<'_>| row.facts.show_in_log_alone() && !known.is_empty();
        let logged_bug = rows.iter().filter(shows).find_map(|row| match row.what {
            What::Bug(bug) => Some((bug.named(), row.version)),
            What::History(_) => None,
        });
        Self { known, strange, taint, logged_bug }
    }
}

impl Verdict {
    /// The verdict when the kernel's log complained (WARN, BUG, oops) while the case ran:
    /// or it was tainted: whatever else was seen, the kernel deviates, and not as it is known
    /// to unless the complaints are known, too. Not everything that taints it is logged.
    pub fn with_complaints(self, complaints: &Complaints) -> Self {
        let deviation = |complaint: &String| Mismatch {
            what: "the kernel's log".into(),
            expected: vec!["no WARN, BUG or oops".into()],
            actual: complaint.lines().next().unwrap_or_default().to_owned(),
            trace_line: None,
        };
        let Complaints { known, strange, taint, logged_bug } = complaints;
        let tainted = || Mismatch {
            what: "the kernel's taint".into(),
            expected: vec!["as before".into()],
            actual: format!("gained {taint}"),
            trace_line: None,
        };
        let logged = known.iter().chain(strange).map(deviation);
        let deviations: Vec<_> = logged.chain((!taint.is_none()).then(tainted)).collect();
        match self {
            verdict if deviations.is_empty() => verdict,
            Self::Pass { .. }
                if let Some((bug, version)) = logged_bug
                    && strange.is_empty()
                    && taint.is_none() =>
            {
                let (bug, version) = (Box::new(bug.clone()), *version);
                Self::KnownBug { bug, version, mismatches: deviations }
            }
            Self::KnownBug { bug, version, mut mismatches }
                if strange.is_empty() && taint.is_none() =>
            {
                mismatches.extend(deviations);
                Self::KnownBug { bug, version, mismatches }
            }
            Self::Fail { mut mismatches } | Self::KnownBug { mut mismatches, .. } => {
                mismatches.extend(deviations);
                Self::Fail { mismatches }
            }
            Self::Pass { .. } | Self::Skip { .. } => Self::Fail { mismatches: deviations },
            error @ Self::Error { .. } => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use harness::kernel::base::Family;

    use super::*;
    use crate::judge::builtin::about;

    #[test]
    fn a_kernel_that_complains_deviates() {
        let complaint = "WARNING: CPU: 0 PID: 7 at net/a.c:1\nCall Trace:".to_owned();
        let pass = Verdict::pass();
        assert_eq!(pass.clone().with_complaints(&Complaints::default()), pass);
        let Verdict::Fail { mismatches } =
            pass.with_complaints(&Complaints::sorted(vec![complaint], Taint::default(), &[]))
        else {
            panic!("a pass");
        };
        assert_eq!(mismatches[0].actual, "WARNING: CPU: 0 PID: 7 at net/a.c:1");
    }

    #[test]
    fn a_kernel_that_is_tainted_deviates() {
        let warning = vec!["WARNING: net/a.c".to_owned()];
        let pass = Verdict::pass();
        let complaints = Complaints::sorted(warning, warned(), &[]);
        let Verdict::Fail { mismatches } = pass.with_complaints(&complaints) else {
            panic!("a pass");
        };
        assert_eq!(mismatches.len(), 2);
        assert_eq!(mismatches[1].actual, "gained W (it has warned)");
        let error = Verdict::Error { reason: "no lab".into() };
        assert_eq!(error.clone().with_complaints(&complaints), error, "nothing was learned");
    }

    fn warned() -> Taint {
        serde_json::from_str("512").expect("a number")
    }

    #[test]
    fn complaints_that_are_known_leave_a_known_bug_what_it_is() {
        let rows = about("mptcp/timer/v4", "7.2.13", Family::KernelOrg);
        let What::Bug(bug) = rows[0].what else { panic!("no bug") };
        let token = "WARNING: net/mptcp/token.c:204 at mptcp_token_accept+0x87/0x110".to_owned();
        let other = "BUG: kernel NULL pointer dereference".to_owned();
        let (bug, version) = (Box::new(bug.named()), VersionSays::HasIt);
        let bug = Verdict::KnownBug { bug, version, mismatches: vec![] };
        let verdict = |from: &Verdict, complaints: &[&String], rows: &[Candidate<'_>]| {
            let complaints = complaints.iter().map(|text| (*text).clone()).collect();
            from.clone().with_complaints(&Complaints::sorted(complaints, warned(), rows))
        };
        let known = verdict(&bug, &[&token], &rows);
        assert!(matches!(known, Verdict::KnownBug { .. }) && known.mismatches().len() == 1);
        for (from, complaints, rows) in [
            (&bug, vec![&token, &other], &rows[..]),
            (&bug, vec![&token], &[][..]),
            (&Verdict::pass(), vec![&token], &rows[..]),
        ] {
            let strange = verdict(from, &complaints, rows);
            assert!(matches!(strange, Verdict::Fail { .. }), "{strange:?}");
        }
    }

    #[test]
    fn a_bug_may_show_in_the_log_alone() {
        let rows = about("mptcp/timer-join/v4/on", "6.1.174", Family::KernelOrg);
        let underflow = "refcount_t: underflow; use-after-free.".to_owned();
        let other = "BUG: kernel NULL pointer dereference".to_owned();
        let pass = Verdict::pass();
        let verdict = |complaints: &[&String], rows: &[Candidate<'_>]| {
            let complaints = complaints.iter().map(|text| (*text).clone()).collect();
            pass.clone().with_complaints(&Complaints::sorted(complaints, warned(), rows))
        };
        let logged = verdict(&[&underflow], &rows);
        assert!(matches!(logged, Verdict::KnownBug { .. }), "{logged:?}");
        for strange in [verdict(&[&underflow, &other], &rows), verdict(&[&underflow], &[][..])] {
            assert!(matches!(strange, Verdict::Fail { .. }), "{strange:?}");
        }
    }
}
