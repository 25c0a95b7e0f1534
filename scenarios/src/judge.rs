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
    /// whatever else was seen, the kernel deviates.
    pub fn with_complaints(self, complaints: &[String]) -> Self {
        let deviation = |complaint: &String| Mismatch {
            what: "the kernel's log".into(),
            expected: vec!["no WARN, BUG or oops".into()],
            actual: complaint.lines().next().unwrap_or_default().to_owned(),
            trace_line: None,
        };
        self.deviating(complaints.iter().map(deviation).collect())
    }

    /// The verdict when the kernel was tainted while the case ran, as
    /// [`Verdict::with_complaints`]: not everything that taints it is logged as a complaint.
    pub fn with_taint(self, gained: Taint) -> Self {
        let deviation = || Mismatch {
            what: "the kernel's taint".into(),
            expected: vec!["as before".into()],
            actual: format!("gained {gained}"),
            trace_line: None,
        };
        self.deviating((!gained.is_none()).then(deviation).into_iter().collect())
    }

    fn deviating(self, deviations: Vec<Mismatch>) -> Self {
        match self {
            verdict if deviations.is_empty() => verdict,
            Self::Fail { mut mismatches } | Self::KnownBug { mut mismatches, .. } => {
                mismatches.extend(deviations);
                Self::Fail { mismatches }
            }
            Self::Pass { .. } | Self::Skip { .. } => Self::Fail { mismatches: deviations },
            error @ Self::Error { .. } => error,
        }
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
    known: Option<&Known>,
    observation: &Observation,
    trace: &Trace,
) -> Verdict {
    let mismatches = compare(expectation, observation, trace);
    let Some(known) = known else {
        return match mismatches.is_empty() {
            true => Verdict::Pass { stale: None },
            false => Verdict::Fail { mismatches },
        };
    };
    if mismatches.is_empty() {
        let stale = format!("expected on this kernel and not seen: {}", known.reason);
        return Verdict::Pass { stale: Some(stale) };
    }
    let there = expectation.clone().with(&known.observed());
    if !compare(&there, observation, trace).is_empty() {
        return Verdict::Fail { mismatches };
    }
    match known.kind {
        Kind::Bug => {
            Verdict::KnownBug { reason: known.reason.clone(), fix: known.fix.clone(), mismatches }
        }
        Kind::History => Verdict::Pass { stale: None },
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
        judge(expectation, None, observation, &Trace::default())
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
        assert!(known.is_some(), "the row about the lost wake-up");
        let judged = |woken: &str, resets: i64| {
            let fact = |name: &str, value: Value| Fact { name: name.into(), value };
            let facts = vec![fact("the waiter", woken.into()), fact("OutRsts", resets.into())];
            let observation = Observation { facts, stopped: None };
            judge(&must, known, &observation, &Trace::default())
        };
        assert!(matches!(judged("asleep", 0), Verdict::KnownBug { fix: Some(_), .. }));
        assert!(matches!(judged("woken", 0), Verdict::Pass { stale: Some(_) }), "it was fixed");
        assert!(matches!(judged("asleep", 1), Verdict::Fail { .. }), "another bug besides");
        assert!(matches!(judged("woken", 1), Verdict::Fail { .. }), "another bug instead");
    }

    #[test]
    fn a_kernel_that_complains_deviates() {
        let complaint = "WARNING: CPU: 0 PID: 7 at net/a.c:1\nCall Trace:".to_owned();
        let pass = Verdict::Pass { stale: None };
        assert_eq!(pass.clone().with_complaints(&[]), pass);
        let Verdict::Fail { mismatches } = pass.with_complaints(&[complaint]) else {
            panic!("a pass");
        };
        assert_eq!(mismatches[0].actual, "WARNING: CPU: 0 PID: 7 at net/a.c:1");
    }

    #[test]
    fn a_kernel_that_is_tainted_deviates() {
        let pass = Verdict::Pass { stale: None };
        assert_eq!(pass.clone().with_taint(Taint::default()), pass);
        let gained: Taint = serde_json::from_str("512").expect("a number");
        let complained = pass.with_complaints(&["WARNING: net/a.c".to_owned()]);
        let Verdict::Fail { mismatches } = complained.with_taint(gained) else {
            panic!("a pass");
        };
        assert_eq!(mismatches.len(), 2);
        assert_eq!(mismatches[1].actual, "gained W (it has warned)");
        let error = Verdict::Error { reason: "no lab".into() };
        assert_eq!(error.clone().with_taint(gained), error, "nothing was learned");
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
