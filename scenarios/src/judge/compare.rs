//! The pure part: an observation, an expectation, a verdict.

use harness::trace::Trace;
use harness::trace::observation::{Fact, Observation};

use crate::judge::expectation::Expectation;
use crate::judge::known::{Known, KnownKind};
use crate::judge::verdict::{Mismatch, Verdict};
use crate::judge::wire::Wire;

/// Compares what was seen with what must be seen, and with what is known of this kernel.
///
/// Nothing observed is ignored: a fact that nobody expects, and that is not said to be only
/// recorded, is a defect of the case, and an error unless the kernel deviates besides.
pub fn judge(
    expectation: &Expectation,
    known: &[&Known],
    observation: &Observation,
    trace: &Trace,
) -> Verdict {
    let mut mismatches = compare(expectation, observation, trace);
    let unexpected = unexpected(expectation, known, observation);
    if mismatches.is_empty() && !unexpected.is_empty() {
        let shown: Vec<String> =
            unexpected.iter().map(|fact| format!("{}: {}", fact.name, fact.value)).collect();
        return Verdict::Error {
            reason: format!("observed and not expected: {}", shown.join("; ")),
        };
    }
    if mismatches.is_empty() {
        let stale = known.iter().find(|known| !known.by_chance);
        let stale =
            stale.map(|row| format!("expected on this kernel and not seen: {}", row.reason));
        return Verdict::Pass { stale };
    }
    let explains = |known: &&&Known| {
        let there = expectation.clone().with(&known.observed());
        compare(&there, observation, trace).is_empty() && unexpected.is_empty()
    };
    match known.iter().find(explains) {
        None => {
            mismatches.extend(unexpected.into_iter().map(|fact| Mismatch {
                what: fact.name,
                expected: vec!["not to be observed".into()],
                actual: fact.value.to_string(),
                trace_line: None,
            }));
            Verdict::Fail { mismatches }
        }
        Some(Known { kind: KnownKind::History, .. }) => Verdict::Pass { stale: None },
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
    if let Some(segment) = expectation.silent.then(|| first_segment(trace)).flatten() {
        mismatches.push(segment);
    }
    let stopped = observation.stopped.is_some();
    let wires = expectation.wires.iter();
    mismatches.extend(wires.filter_map(|wire| compare_wire(wire, trace, stopped)));
    mismatches
}

/// The first segment, where there may be none.
fn first_segment(trace: &Trace) -> Option<Mismatch> {
    let lines = trace.lines();
    let at = lines.iter().position(|line| line.ends().is_some())?;
    Some(Mismatch {
        what: "the wire".into(),
        expected: vec!["no segment".into()],
        actual: lines[at].what.clone(),
        trace_line: Some(at),
    })
}

/// What was observed although neither the case nor a row about this kernel names it.
fn unexpected(expectation: &Expectation, known: &[&Known], observation: &Observation) -> Vec<Fact> {
    let is_known = |name: &str| {
        known.iter().any(|row| row.observed().iter().any(|(observed, _)| observed == name))
    };
    let unnamed = |fact: &&Fact| !expectation.names(&fact.name) && !is_known(&fact.name);
    observation.facts.iter().filter(unnamed).cloned().collect()
}

fn compare_wire(wire: &Wire, trace: &Trace, stopped: bool) -> Option<Mismatch> {
    let lines = trace.lines();
    let compared = wire.compared(&lines);
    let divergence = wire.diverges_from(&compared)?;
    let wrong = compared.get(divergence.at);
    if wrong.is_none() && stopped {
        return None; // The wire ends where the case was stopped.
    }
    let trace_line = wrong.map_or(lines.len(), |wrong| {
        lines.iter().position(|line| std::ptr::eq(line, *wrong)).unwrap_or(lines.len())
    });
    Some(Mismatch {
        what: format!("the wire of {}", wire.actor),
        expected: divergence.expected,
        actual: wrong.map_or_else(|| "nothing more".into(), |line| line.what.clone()),
        trace_line: Some(trace_line),
    })
}

#[cfg(test)]
mod tests {
    use harness::kernel::Version;
    use harness::trace::observation::Value;

    use super::*;
    use crate::catalogue;
    use crate::judge::expectation::Acceptable;
    use crate::judge::known;

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
        let known = known::about("wake-up/epoll/v4", Version::new(6, 1, 170));
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
            let known = known::about(id, version);
            let there =
                rows.iter().fold(must.clone(), |must, &row| must.with(&known[row].observed()));
            (known.len(), judge(&must, &known, &perfect(&there), &Trace::default()))
        };
        let (lost, fixed) = (Version::new(7, 2, 13), Version::new(7, 3, 4));
        assert!(matches!(judged(lost, &[0]), (2, Verdict::KnownBug { fix: Some(_), .. })));
        assert!(matches!(judged(lost, &[1]), (2, Verdict::KnownBug { fix: None, .. })));
        assert!(matches!(judged(lost, &[]), (2, Verdict::Pass { stale: Some(_) })));
        assert_eq!(judged(fixed, &[]), (1, Verdict::Pass { stale: None }));
        assert!(matches!(judged(fixed, &[0]), (1, Verdict::KnownBug { fix: None, .. })));
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
