//! A matrix as KTAP, in which each kernel is a test and its cases are subtests; and as TAP 13,
//! which has no subtests.

use std::collections::BTreeSet;

use scenarios::report::wrong_names;

use crate::output::document::{Blame, CaseDocument, KernelDocument, MatrixDocument};
use crate::output::ktap::{Dialect, TapResult, one_line};
use crate::output::word::{Word, row};

/// One line of results, and the diagnostics before it.
struct Tested {
    title: String,
    result: TapResult,
    notes: Vec<String>,
}

/// The whole matrix; `nested` if a version line of TAP 13 was written by somebody else.
pub fn tap(found: &MatrixDocument, dialect: Dialect, nested: bool) -> String {
    let kernels = found.kernels.iter().map(|kernel| (kernel, tests(kernel, &found.cases)));
    let kernels: Vec<(&KernelDocument, Vec<Tested>)> = kernels.collect();
    let mut lines = vec![];
    match dialect {
        Dialect::Ktap => {
            lines.push("KTAP version 1".to_owned());
            lines.push(format!("1..{}", kernels.len()));
            for (number, (kernel, tests)) in (1..).zip(&kernels) {
                let name = one_line(&kernel.name);
                let mut inner =
                    vec!["KTAP version 1".into(), format!("# Subtest: {name}"), plan(tests.len())];
                inner.extend(numbered(tests));
                lines.extend(inner.iter().map(|line| format!("  {line}")));
                lines.push(whole(kernel, &found.cases).line(number, &name));
            }
        }
        Dialect::Tap13 => {
            if !nested {
                lines.push("TAP version 13".to_owned());
            }
            let names = kernels.into_iter().flat_map(|(kernel, tests)| {
                let name = one_line(&kernel.name);
                tests.into_iter().map(move |test| {
                    let title = format!("{name} {}", test.title);
                    Tested { title, ..test }
                })
            });
            let all: Vec<Tested> = names.collect();
            lines.push(plan(all.len()));
            lines.extend(numbered(&all));
        }
    }
    lines.join("\n") + "\n"
}

fn plan(tests: usize) -> String {
    format!("1..{tests}")
}

fn numbered(tests: &[Tested]) -> Vec<String> {
    let lines = (1..).zip(tests).flat_map(|(number, test)| {
        let notes = test.notes.iter().flat_map(|note| note.lines());
        let notes = notes.map(|line| format!("# {line}")).collect::<Vec<_>>();
        notes.into_iter().chain([test.result.line(number, &test.title)])
    });
    lines.collect()
}

/// A kernel as one test: it fails if anything of it does.
fn whole(kernel: &KernelDocument, cases: &[String]) -> TapResult {
    let words: BTreeSet<Word> = row(kernel, cases).into_iter().map(|case| case.word).collect();
    let why = || kernel.end.why().unwrap_or_default().to_owned();
    match kernel.end.counts_as() {
        Blame::Kernel => TapResult::NotOk,
        Blame::Laboratory => TapResult::Error(why()),
        Blame::Mirror => TapResult::Skip(why()),
        _ if words.contains(&Word::Fail) || !kernel.complaints.is_empty() => TapResult::NotOk,
        _ if words.contains(&Word::Error) => {
            TapResult::Error("the laboratory broke in some of its cases".into())
        }
        Blame::User | Blame::Limit => TapResult::Skip(why()),
        Blame::Nobody if words.contains(&Word::NotRun) => {
            TapResult::Error("some of its cases have no result".into())
        }
        Blame::Nobody => TapResult::Ok,
    }
}

fn tests(kernel: &KernelDocument, cases: &[String]) -> Vec<Tested> {
    let mut tests = vec![boot(kernel)];
    if !kernel.complaints.is_empty() {
        let notes = kernel.complaints.iter().map(|complaint| {
            format!("during {}:\n{}", complaint.during, complaint.text.trim_end())
        });
        let (title, notes) = ("kernel log".to_owned(), notes.collect());
        tests.push(Tested { title, result: TapResult::NotOk, notes });
    }
    let mut with_result = BTreeSet::new();
    if let Some(run) = &kernel.run {
        for case in &run.cases {
            with_result.insert(case.id.as_str());
            tests.push(tested(case, run.rounds));
        }
    }
    let missing = cases.iter().filter(|id| !with_result.contains(id.as_str()));
    tests.extend(missing.map(|id| {
        let result = TapResult::Skip(format!("not run: {}", kernel.end.word()));
        Tested { title: id.clone(), result, notes: vec![] }
    }));
    tests
}

/// How the machine came up, and how it ended.
fn boot(kernel: &KernelDocument) -> Tested {
    let (end, why) = (kernel.end.word(), kernel.end.why().unwrap_or_default());
    let why = format!("{end}: {why}");
    let mut notes = vec![];
    if let Some(run) = &kernel.run {
        notes.push(run.environment.kernel.to_string());
        notes.push(format!("base {}", run.environment.kernel.base));
    }
    notes.extend(kernel.machine.as_ref().map(|machine| format!("run by {}", machine.what())));
    if !kernel.console.is_empty() {
        notes.push(kernel.console.clone());
    }
    let result = match kernel.end.counts_as() {
        Blame::Nobody => TapResult::Ok,
        Blame::Mirror | Blame::User | Blame::Limit => TapResult::Skip(why),
        Blame::Kernel => {
            notes.push(why);
            TapResult::NotOk
        }
        Blame::Laboratory => TapResult::Error(why),
    };
    Tested { title: "boot".into(), result, notes }
}

fn tested(case: &CaseDocument, rounds: u32) -> Tested {
    let title = match rounds {
        1 => case.id.clone(),
        _ => format!("{} run {}", case.id, case.round),
    };
    let mismatches = case.verdict.mismatches();
    let mut notes = vec![];
    if !mismatches.is_empty() {
        notes.push(format!("the kernel deviates in: {}", wrong_names(mismatches)));
        notes.extend(mismatches.iter().map(ToString::to_string));
    }
    Tested { title, result: TapResult::of(&case.verdict), notes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::matrix as made;
    use crate::output::document::{Complaint, MachineEnd};

    /// A kernel with every verdict, one whose log complains, one that panicked after its first
    /// case, and one that could not be fetched.
    fn found() -> MatrixDocument {
        let ids: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
        let verdicts = [made::pass(), made::skip(), made::known(), made::fail("x"), made::error()];
        let all = |at: usize, _: &str| Some(verdicts[at].clone());
        let mut complaining =
            made::kernel("6.2", MachineEnd::Completed, &ids, |_, _| Some(made::pass()));
        let complaint = Complaint { during: "a".into(), text: "WARNING: x\n at f\n".into() };
        complaining.complaints.push(complaint);
        let why = || "because of #1".to_owned();
        let first = |at: usize, _: &str| (at == 0).then(made::pass);
        let kernels = vec![
            made::kernel("6.1", MachineEnd::Completed, &ids, all),
            complaining,
            made::kernel("6.3", MachineEnd::Panicked { why: why() }, &ids, first),
            made::kernel("6.4", MachineEnd::CannotFetch { why: why() }, &[], |_, _| None),
        ];
        made::matrix(ids, kernels)
    }

    /// The results of one level, and how many were promised.
    fn results<'t>(text: &'t str, indent: &str) -> Vec<(usize, Vec<&'t str>)> {
        let mut plans: Vec<(usize, Vec<&str>)> = vec![];
        for line in text.lines().filter_map(|line| line.strip_prefix(indent)) {
            if let Some(count) = line.strip_prefix("1..") {
                plans.push((count.parse().expect("a number"), vec![]));
            } else if line.starts_with("ok ") || line.starts_with("not ok ") {
                plans.last_mut().expect("a plan comes first").1.push(line);
            }
        }
        plans
    }

    #[test]
    fn in_ktap_each_kernel_is_a_test() {
        let text = tap(&found(), Dialect::Ktap, false);
        let [(count, kernels)] = &results(&text, "")[..] else { panic!("{text}") };
        assert_eq!((*count, kernels.len()), (4, 4), "{text}");
        assert_eq!(
            kernels[..],
            ["not ok 1 6.1", "not ok 2 6.2", "not ok 3 6.3", "ok 4 6.4 # SKIP because of no.1"]
        );
        let inner = results(&text, "  ");
        assert_eq!(inner.len(), 4, "{text}");
        for (planned, lines) in &inner {
            assert_eq!(*planned, lines.len(), "{text}");
        }
        let (_, of_the_first) = &inner[0];
        assert_eq!(of_the_first[..2], ["ok 1 boot", "ok 2 a"]);
        assert!(of_the_first[2].starts_with("ok 3 b # SKIP "), "{text}");
        assert!(of_the_first[3].starts_with("ok 4 c # XFAIL "), "{text}");
        assert_eq!(of_the_first[4], "not ok 5 d");
        assert!(of_the_first[5].starts_with("not ok 6 e # ERROR "), "{text}");
        assert_eq!(inner[1].1[1], "not ok 2 kernel log");
        assert!(text.contains("\n  # during a:\n  # WARNING: x\n"), "{text}");
        assert_eq!(inner[2].1[..2], ["not ok 1 boot", "ok 2 a"]);
        assert_eq!(inner[2].1[2], "ok 3 b # SKIP not run: panicked");
    }

    #[test]
    fn in_tap_13_each_case_on_each_kernel_is_a_test() {
        let text = tap(&found(), Dialect::Tap13, false);
        assert!(text.starts_with("TAP version 13\n1..25\n"), "{text}");
        let [(count, lines)] = &results(&text, "")[..] else { panic!("{text}") };
        assert_eq!(*count, lines.len(), "{text}");
        assert!(lines.contains(&"not ok 5 6.1 d"), "{text}");
        assert!(tap(&found(), Dialect::Tap13, true).starts_with("1..25\n"));
    }
}
