//! The pure part: an observation, an expectation, a verdict.

use std::iter;

use harness::trace::Trace;
use harness::trace::observation::{Fact, Observation};

use crate::judge::expectation::Expectation;
use crate::judge::known::{Candidate, What};
use crate::judge::releases::VersionSays;
use crate::judge::verdict::{Mismatch, Verdict};
use crate::judge::wire::Wire;

/// Compares what was seen with what must be seen, and with what is known to differ.
///
/// A kernel that is well is well, whatever is known of its version. One that deviates as
/// something that is known does has just that, if its version does not exclude it.
///
/// Nothing observed is ignored: a fact that nobody expects, and that is not said to be only
/// recorded, is a defect of the case, and an error unless the kernel deviates besides.
pub fn judge(
    expectation: &Expectation,
    known: &[Candidate<'_>],
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
        let fixed = known.iter().filter_map(|row| match row.what {
            What::Bug(bug) if !row.facts.by_chance && row.version == VersionSays::HasIt => {
                Some(bug.named())
            }
            What::Bug(_) | What::History(_) => None,
        });
        return Verdict::Pass { has_fix: fixed.collect() };
    }
    let fits = |must: Expectation| compare(&must, observation, trace).is_empty();
    // A bug may show on a kernel that is different for its age as well.
    let ages = known.iter().filter(|row| matches!(row.what, What::History(_)));
    let of_an_age: Vec<Expectation> = iter::once(expectation.clone())
        .chain(ages.map(|row| expectation.clone().accepting(&row.facts.observed)))
        .collect();
    let explains = |row: &&Candidate<'_>| {
        let with_row = |must: &Expectation| must.clone().accepting(&row.facts.observed);
        let may_show = unexpected.is_empty() && !row.facts.show_in_log_alone();
        may_show && of_an_age.iter().map(with_row).any(fits)
    };
    // What kernels of this version are known to do comes before what any kernel may, and its age
    // before a bug.
    let is_bug = |row: &Candidate<'_>| matches!(row.what, What::Bug(_));
    let rank = |row: &&Candidate<'_>| (row.version == VersionSays::CannotTell, is_bug(row));
    match known.iter().filter(explains).min_by_key(rank) {
        None => {
            mismatches.extend(unexpected.into_iter().map(|fact| Mismatch {
                what: fact.name,
                expected: vec!["not to be observed".into()],
                actual: fact.value.to_string(),
                trace_line: None,
            }));
            Verdict::Fail { mismatches }
        }
        Some(Candidate { what: What::History(_), .. }) => Verdict::pass(),
        Some(Candidate { what: What::Bug(bug), version, .. }) => {
            Verdict::KnownBug { bug: Box::new(bug.named()), version: *version, mismatches }
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
fn unexpected(
    expectation: &Expectation,
    known: &[Candidate<'_>],
    observation: &Observation,
) -> Vec<Fact> {
    let is_known = |name: &str| {
        known.iter().any(|row| row.facts.observed.iter().any(|(observed, _)| observed == name))
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
    use harness::kernel::base::{Base, Family, NoBase};
    use harness::trace::observation::Value;
    use rstest::rstest;

    use super::*;
    use crate::catalogue;
    use crate::judge::builtin::{about, builtin};
    use crate::judge::expectation::Acceptable;

    /// What a perfect kernel would make a case observe, wires left out.
    fn perfect(expectation: &Expectation) -> Observation {
        let facts = expectation.facts.iter().map(|(name, acceptable)| Fact {
            name: name.clone(),
            value: match acceptable {
                Acceptable::OneOf(values) => values[0].clone(),
                Acceptable::Between(low, _) => Value::Number(*low),
                Acceptable::StandsStill => Value::Number(0),
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
            assert_eq!(verdict(&must, &good), Verdict::pass(), "{}", selected.id());
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

    /// The verdict of a case about waking, with these facts.
    fn woken(known: &[Candidate<'_>], woken: &str, resets: i64) -> Verdict {
        let must = Expectation::new().fact("the waiter", "woken").fact("OutRsts", 0);
        let fact = |name: &str, value: Value| Fact { name: name.into(), value };
        let facts = vec![fact("the waiter", woken.into()), fact("OutRsts", resets.into())];
        judge(&must, known, &Observation { facts, stopped: None }, &Trace::default())
    }

    #[test]
    fn a_known_bug_is_that_bug_and_no_other() {
        let known = about("wake-up/epoll/v4", "6.1.170", Family::KernelOrg);
        assert!(!known.is_empty(), "the row about the lost wake-up");
        let judged = |waiter: &str, resets| woken(&known, waiter, resets);
        let Verdict::KnownBug { bug, version, .. } = judged("asleep", 0) else {
            panic!("not known")
        };
        assert_eq!((bug.fix.as_deref(), version), (Some("3864c6ba1e04"), VersionSays::HasIt));
        let Verdict::Pass { has_fix } = judged("woken", 0) else { panic!("it is well") };
        assert_eq!(has_fix, [*bug], "it was fixed");
        assert!(matches!(judged("asleep", 1), Verdict::Fail { .. }), "another bug besides");
        assert!(matches!(judged("woken", 1), Verdict::Fail { .. }), "another bug instead");
    }

    /// What the version says, and what follows for a kernel that shows the bug and for one that
    /// does not.
    #[rstest]
    #[case::kernel_org_with_it(Some(("6.1.170", Family::KernelOrg)), "known", "has the fix")]
    #[case::kernel_org_without(Some(("6.1.176", Family::KernelOrg)), "FAIL", "ok")]
    #[case::kernel_org_before(Some(("5.10.262", Family::KernelOrg)), "FAIL", "ok")]
    #[case::vendor_with_it(Some(("6.8.12", Family::Ubuntu)), "known", "has the fix")]
    #[case::vendor_without(Some(("7.0.12", Family::Ubuntu)), "FAIL", "ok")]
    #[case::vendor_before(Some(("5.10.262", Family::Debian)), "known, cannot tell", "ok")]
    #[case::not_known(None, "known, cannot tell", "ok")]
    fn the_facts_decide_where_the_version_cannot(
        #[case] base: Option<(&str, Family)>,
        #[case] asleep: &str,
        #[case] well: &str,
    ) {
        let id = "wake-up/epoll/v4";
        let unknown = Base::Unknown { why: NoBase::RedHat };
        let floor = "5.14".parse().expect("a version");
        let known = base.map_or_else(
            || builtin().about_base(id, &unknown, floor),
            |(version, family)| about(id, version, family),
        );
        let word = |verdict: &Verdict| match verdict {
            Verdict::Pass { has_fix } if has_fix.is_empty() => "ok",
            Verdict::Pass { .. } => "has the fix",
            Verdict::Fail { .. } => "FAIL",
            Verdict::KnownBug { version: VersionSays::HasIt, .. } => "known",
            Verdict::KnownBug { version: VersionSays::CannotTell, .. } => "known, cannot tell",
            other => other.word(),
        };
        assert_eq!(word(&woken(&known, "asleep", 0)), asleep);
        assert_eq!(word(&woken(&known, "woken", 0)), well);
        assert_eq!(word(&woken(&known, "asleep", 1)), "FAIL", "it is another bug");
    }

    #[test]
    fn a_bug_that_shows_by_chance_need_not_and_is_told_from_others() {
        let id = "mptcp/request-to-tcp/v4";
        let selected = catalogue::all().into_iter().find(|one| one.id() == id).expect("a case");
        let must = selected.expectation();
        let judged = |version, bugs: &[&str]| {
            let known = about(id, version, Family::KernelOrg);
            let row = |wanted: &&str| {
                let is =
                    |row: &&Candidate<'_>| matches!(row.what, What::Bug(bug) if bug.id == *wanted);
                known.iter().find(is).expect("a row").facts
            };
            let there =
                bugs.iter().map(row).fold(must.clone(), |must, row| must.accepting(&row.observed));
            judge(&must, &known, &perfect(&there), &Trace::default())
        };
        let (token, leak) = ("mptcp-clone-loses-token", "mptcp-drop-req-not-written");
        let is = |verdict: Verdict, id: &str| matches!(verdict, Verdict::KnownBug { bug, .. } if bug.id == id);
        assert!(is(judged("7.2.13", &[token]), token));
        assert!(is(judged("7.2.13", &[leak]), leak));
        let Verdict::Pass { has_fix } = judged("7.2.13", &[]) else { panic!("it is well") };
        assert_eq!(has_fix.iter().map(|bug| &bug.id[..]).collect::<Vec<_>>(), [token]);
        assert_eq!(judged("7.3.4", &[]), Verdict::pass());
        assert!(is(judged("7.3.4", &[leak]), leak));
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
