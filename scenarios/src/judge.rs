//! The pure part: an observation, an expectation, a verdict.

use harness::observation::Observation;
use harness::taint::Taint;
use harness::trace::Trace;
use serde::{Deserialize, Serialize};

use crate::expectation::{Expectation, Wire};
use crate::known::{Kind, Known};

/// What a run of a case comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// As expected.
    Pass {
        /// An expectation of a bug that this kernel should have and has not.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        stale: Option<String>,
    },
    /// The kernel deviates.
    Fail {
        /// In what.
        mismatches: Vec<Mismatch>,
    },
    /// The case says nothing about this kernel.
    Skip {
        /// Why; a claim that was checked.
        reason: String,
    },
    /// The kernel deviates as it is known to.
    KnownBug {
        /// What is wrong with it.
        reason: String,
        /// The commit that mends it, if there is one.
        fix: Option<String>,
        /// In what.
        mismatches: Vec<Mismatch>,
    },
    /// The laboratory broke. Nothing was learned about the kernel.
    Error {
        /// How.
        reason: String,
    },
}

impl Verdict {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass { .. } => "pass",
            Self::Fail { .. } => "fail",
            Self::Skip { .. } => "skip",
            Self::KnownBug { .. } => "known bug",
            Self::Error { .. } => "error",
        }
    }

    /// In what the kernel deviates.
    pub fn mismatches(&self) -> &[Mismatch] {
        match self {
            Self::Fail { mismatches } | Self::KnownBug { mismatches, .. } => mismatches,
            Self::Pass { .. } | Self::Skip { .. } | Self::Error { .. } => &[],
        }
    }

    /// Why it came so, where that was told.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Skip { reason } | Self::Error { reason } | Self::KnownBug { reason, .. } => {
                Some(reason)
            }
            Self::Pass { stale } => stale.as_deref(),
            Self::Fail { .. } => None,
        }
    }

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
        let Complaints { known, strange, taint } = complaints;
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
            Self::KnownBug { reason, fix, mut mismatches }
                if strange.is_empty() && taint.is_none() =>
            {
                mismatches.extend(deviations);
                Self::KnownBug { reason, fix, mismatches }
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

/// What the kernel's log complained of while a case ran, and how that tainted it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Complaints {
    /// As the case's row of `expectations.toml` says.
    pub known: Vec<String>,
    /// Anything else.
    pub strange: Vec<String>,
    /// What the kernel has got that the known complaints do not account for.
    pub taint: Taint,
}

impl Complaints {
    /// Tells those that a row expects, by their first lines, from others; `gained` is how the
    /// kernel was tainted meanwhile.
    pub fn sorted(complaints: Vec<String>, gained: Taint, rows: &[&Known]) -> Self {
        let (known, strange): (Vec<_>, _) = complaints.into_iter().partition(|complaint| {
            let first = complaint.lines().next().unwrap_or_default();
            rows.iter().flat_map(|row| &row.log).any(|part| first.contains(part.as_str()))
        });
        let taint = if known.is_empty() { gained } else { gained.but_warned() };
        Self { known, strange, taint }
    }
}

/// One deviation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Of what: a fact's name, or whose wire.
    pub what: String,
    /// Everything that would have been acceptable.
    pub expected: Vec<String>,
    /// What was there.
    pub actual: String,
    /// For a wire: the index in the whole trace of the first wrong line; the trace's
    /// length when it ended too early.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trace_line: Option<usize>,
}

/// Compares what was seen with what must be seen, and with what is known of this kernel.
pub fn judge(
    expectation: &Expectation,
    known: &[&Known],
    observation: &Observation,
    trace: &Trace,
) -> Verdict {
    let mismatches = compare(expectation, observation, trace);
    if mismatches.is_empty() {
        let stale = known.iter().find(|known| !known.by_chance);
        let stale =
            stale.map(|row| format!("expected on this kernel and not seen: {}", row.reason));
        return Verdict::Pass { stale };
    }
    let explains = |known: &&&Known| {
        let there = expectation.clone().with(&known.observed());
        compare(&there, observation, trace).is_empty()
    };
    match known.iter().find(explains) {
        None => Verdict::Fail { mismatches },
        Some(Known { kind: Kind::History, .. }) => Verdict::Pass { stale: None },
        Some(Known { reason, fix, .. }) => {
            Verdict::KnownBug { reason: reason.clone(), fix: fix.clone(), mismatches }
        }
    }
}

fn compare(expectation: &Expectation, observation: &Observation, trace: &Trace) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    if let Some(stopped) = &observation.stopped {
        mismatches.push(Mismatch {
            what: "the case's course".into(),
            expected: vec!["to reach its end".into()],
            actual: stopped.clone(),
            trace_line: None,
        });
    }
    for (name, acceptable) in &expectation.facts {
        let actual = observation.get(name);
        if actual.is_some_and(|value| acceptable.accepts(value)) {
            continue;
        }
        if actual.is_none() && observation.stopped.is_some() {
            continue; // It was stopped before it could look.
        }
        mismatches.push(Mismatch {
            what: name.clone(),
            expected: vec![acceptable.to_string()],
            actual: actual.map_or_else(|| "not observed".into(), ToString::to_string),
            trace_line: None,
        });
    }
    mismatches.extend(expectation.wires.iter().filter_map(|wire| compare_wire(wire, trace)));
    mismatches
}

fn compare_wire(wire: &Wire, trace: &Trace) -> Option<Mismatch> {
    let lines = trace.lines();
    let compared = wire.compared(&lines);
    let parting = wire.parts_from(&compared)?;
    let wrong = compared.get(parting.at);
    let trace_line = wrong.map_or(lines.len(), |wrong| {
        lines.iter().position(|line| std::ptr::eq(line, *wrong)).unwrap_or(lines.len())
    });
    Some(Mismatch {
        what: format!("the wire of {}", wire.actor),
        expected: parting.expected,
        actual: wrong.map_or_else(|| "nothing more".into(), |line| line.what.clone()),
        trace_line: Some(trace_line),
    })
}

#[cfg(test)]
mod tests {
    use harness::kernel::Version;
    use harness::observation::{Fact, Value};

    use super::*;
    use crate::catalogue;
    use crate::expectation::Acceptable;

    /// What a perfect kernel would make a case observe, wires left out.
    fn perfect(expectation: &Expectation) -> Observation {
        let facts = expectation.facts.iter().map(|(name, acceptable)| Fact {
            name: name.clone(),
            value: match acceptable {
                Acceptable::OneOf(values) => values[0].clone(),
                Acceptable::Between(low, _) => Value::Number(*low),
            },
        });
        Observation { facts: facts.collect(), stopped: None }
    }

    fn verdict(expectation: &Expectation, observation: &Observation) -> Verdict {
        judge(expectation, &[], observation, &Trace::default())
    }

    #[test]
    fn every_fact_of_every_case_matters() {
        for selected in catalogue::all() {
            let must = Expectation { wires: vec![], ..selected.expectation() };
            let good = perfect(&must);
            assert_eq!(verdict(&must, &good), Verdict::Pass { stale: None }, "{}", selected.id());
            for index in 0..good.facts.len() {
                let mut wrong = good.clone();
                wrong.facts[index].value = "something else".into();
                let mut missing = good.clone();
                let name = missing.facts.remove(index).name;
                for observation in [wrong, missing] {
                    let Verdict::Fail { mismatches } = verdict(&must, &observation) else {
                        panic!("{}: {name} does not matter", selected.id());
                    };
                    assert_eq!(mismatches.len(), 1);
                    assert_eq!(mismatches[0].what, name);
                }
            }
        }
    }

    #[test]
    fn a_known_bug_is_that_bug_and_no_other() {
        let must = Expectation::new().fact("the waiter", "woken").fact("OutRsts", 0);
        let known = crate::known::about("wake-up/epoll/v4", Version::new(6, 1, 170));
        assert!(!known.is_empty(), "the row about the lost wake-up");
        let judged = |woken: &str, resets: i64| {
            let fact = |name: &str, value: Value| Fact { name: name.into(), value };
            let facts = vec![fact("the waiter", woken.into()), fact("OutRsts", resets.into())];
            let observation = Observation { facts, stopped: None };
            judge(&must, &known, &observation, &Trace::default())
        };
        assert!(matches!(judged("asleep", 0), Verdict::KnownBug { fix: Some(_), .. }));
        assert!(matches!(judged("woken", 0), Verdict::Pass { stale: Some(_) }), "it was fixed");
        assert!(matches!(judged("asleep", 1), Verdict::Fail { .. }), "another bug besides");
        assert!(matches!(judged("woken", 1), Verdict::Fail { .. }), "another bug instead");
    }

    #[test]
    fn a_bug_that_shows_by_chance_need_not_and_is_told_from_others() {
        let id = "mptcp/request-to-tcp/v4";
        let selected = catalogue::all().into_iter().find(|one| one.id() == id).expect("a case");
        let must = selected.expectation();
        let judged = |version, rows: &[usize]| {
            let known = crate::known::about(id, version);
            let there =
                rows.iter().fold(must.clone(), |must, &row| must.with(&known[row].observed()));
            (known.len(), judge(&must, &known, &perfect(&there), &Trace::default()))
        };
        let (lost, mended) = (Version::new(7, 2, 13), Version::new(7, 3, 4));
        assert!(matches!(judged(lost, &[0]), (2, Verdict::KnownBug { fix: Some(_), .. })));
        assert!(matches!(judged(lost, &[1]), (2, Verdict::KnownBug { fix: None, .. })));
        assert!(matches!(judged(lost, &[]), (2, Verdict::Pass { stale: Some(_) })));
        assert_eq!(judged(mended, &[]), (1, Verdict::Pass { stale: None }));
        assert!(matches!(judged(mended, &[0]), (1, Verdict::KnownBug { fix: None, .. })));
    }

    #[test]
    fn a_kernel_that_complains_deviates() {
        let complaint = "WARNING: CPU: 0 PID: 7 at net/a.c:1\nCall Trace:".to_owned();
        let pass = Verdict::Pass { stale: None };
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
        let pass = Verdict::Pass { stale: None };
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
        let rows = crate::known::about("mptcp/timer/v4", Version::new(7, 2, 13));
        let row = rows[0];
        let token = "WARNING: net/mptcp/token.c:204 at mptcp_token_accept+0x87/0x110".to_owned();
        let other = "BUG: kernel NULL pointer dereference".to_owned();
        let bug = Verdict::KnownBug { reason: row.reason.clone(), fix: None, mismatches: vec![] };
        let verdict = |from: &Verdict, complaints: &[&String], rows: &[&Known]| {
            let complaints = complaints.iter().map(|text| (*text).clone()).collect();
            from.clone().with_complaints(&Complaints::sorted(complaints, warned(), rows))
        };
        let known = verdict(&bug, &[&token], &rows);
        assert!(matches!(known, Verdict::KnownBug { .. }) && known.mismatches().len() == 1);
        for (from, complaints, rows) in [
            (&bug, vec![&token, &other], &rows[..]),
            (&bug, vec![&token], &[]),
            (&Verdict::Pass { stale: None }, vec![&token], &rows[..]),
        ] {
            let strange = verdict(from, &complaints, rows);
            assert!(matches!(strange, Verdict::Fail { .. }), "{strange:?}");
        }
    }

    #[test]
    fn a_case_that_was_stopped_fails_for_that() {
        let must = Expectation::new().fact("accept(B)", "EAGAIN");
        let observation = Observation { facts: vec![], stopped: Some("no SYN+ACK".into()) };
        let Verdict::Fail { mismatches } = verdict(&must, &observation) else {
            panic!("not a failure");
        };
        assert_eq!(mismatches.len(), 1);
        assert_eq!(mismatches[0].actual, "no SYN+ACK");
    }
}
