//! A matrix as JUnit's XML: a suite for each kernel.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use scenarios::judge::{Mismatch, Verdict};
use scenarios::report::wrong_names;

use crate::output::document::{Blame, CaseDocument, KernelDocument, MatrixDocument};
use crate::output::fixes::Fixes;
use crate::output::retried;
use crate::output::xml::{ResultType, xml};

/// The XML.
pub fn junit(found: &MatrixDocument) -> io::Result<String> {
    let mut report = Report::new("sockmig matrix");
    report.set_time(Duration::from_millis(found.took_ms));
    for kernel in &found.kernels {
        report.add_test_suite(suite(kernel, &found.cases));
    }
    xml(&report)
}

fn suite(kernel: &KernelDocument, cases: &[String]) -> TestSuite {
    let mut suite = TestSuite::new(kernel.name.as_str());
    if let Some(machine) = &kernel.machine {
        suite.set_time(Duration::from_millis(machine.took_ms));
        suite.add_property(("engine", machine.engine.as_str()));
        suite.add_property(("architecture", machine.architecture.name()));
        suite.add_property(("clock", machine.clock.as_str()));
    }
    if let Some(run) = &kernel.run {
        let probed = &run.environment.kernel;
        suite.add_property(("kernel", probed.release.as_str()));
        suite.add_property(("build", probed.build.as_str()));
        suite.add_property(("machine", probed.machine.as_str()));
        suite.add_property(("base", probed.base.to_string().as_str()));
        for bug in run.cases.iter().map(|case| &case.verdict).collect::<Fixes>().all() {
            suite.add_property(("has the fix", bug.with_fix().as_str()));
        }
    }
    suite.add_test_case(boot(kernel));
    if kernel.end.counts_as() == Blame::Mirror {
        return suite;
    }
    if !kernel.complaints.is_empty() {
        suite.add_test_case(log(kernel));
    }
    let mut with_result = BTreeSet::new();
    if let Some(run) = &kernel.run {
        for case in &run.cases {
            with_result.insert(case.id.as_str());
            suite.add_test_case(one(kernel, case, run.rounds));
        }
    }
    // A machine that ended early leaves cases that were not run. They are shown, so that the number of
    // tests is that of the selection.
    for id in cases.iter().filter(|id| !with_result.contains(id.as_str())) {
        let mut status = skipped(ResultType::NotRun);
        status.set_message(format!("not run: {}", kernel.end.word()));
        suite.add_test_case(named(kernel, id, id, status));
    }
    suite
}

fn of_type(mut status: TestCaseStatus, ty: ResultType) -> TestCaseStatus {
    status.set_type(ty.name());
    status
}

fn skipped(ty: ResultType) -> TestCaseStatus {
    of_type(TestCaseStatus::skipped(), ty)
}

fn deviation() -> TestCaseStatus {
    of_type(TestCaseStatus::non_success(NonSuccessKind::Failure), ResultType::Deviation)
}

fn broken() -> TestCaseStatus {
    of_type(TestCaseStatus::non_success(NonSuccessKind::Error), ResultType::Laboratory)
}

/// How the machine came up, and how it ended.
fn boot(kernel: &KernelDocument) -> TestCase {
    let mut status = match kernel.end.counts_as() {
        Blame::Nobody => TestCaseStatus::success(),
        Blame::Mirror | Blame::User | Blame::Limit => skipped(ResultType::NotRun),
        Blame::Kernel => deviation(),
        Blame::Laboratory => broken(),
    };
    if let Some(why) = kernel.end.why() {
        status.set_message(format!("{}: {why}", kernel.end.word()));
        if !kernel.console.is_empty() {
            status.set_description(kernel.console.as_str());
        }
    }
    let mut case = named(kernel, "boot", "boot", status);
    if let Some(machine) = &kernel.machine {
        case.set_time(Duration::from_millis(machine.boot_ms));
    }
    case
}

fn log(kernel: &KernelDocument) -> TestCase {
    let mut status = deviation();
    let lines: Vec<&str> =
        kernel.complaints.iter().filter_map(|complaint| complaint.text.lines().next()).collect();
    status.set_message(lines.join("; "));
    let ends = kernel
        .complaints
        .iter()
        .map(|complaint| format!("during {}:\n{}", complaint.during, complaint.text));
    status.set_description(ends.collect::<Vec<_>>().join("\n\n"));
    named(kernel, "kernel log", "boot", status)
}

fn one(kernel: &KernelDocument, case: &CaseDocument, rounds: u32) -> TestCase {
    let status = match &case.verdict {
        Verdict::Pass { .. } => TestCaseStatus::success(),
        Verdict::Fail { mismatches } => {
            let mut status = deviation();
            status.set_message(format!("the kernel deviates in: {}", wrong_names(mismatches)));
            status.set_description(explained(kernel, case, mismatches));
            status
        }
        Verdict::Error { reason } => {
            let mut status = broken();
            status.set_message(reason.as_str());
            status.set_description(explained(kernel, case, &[]));
            status
        }
        Verdict::Skip { reason } => {
            let reason = reason.to_string();
            let mut status = skipped(ResultType::Skip);
            status.set_message(reason.as_str());
            status
        }
        Verdict::KnownBug { bug, version, mismatches } => {
            let mut status = skipped(ResultType::KnownBug);
            status.set_message(format!("known bug: {}", bug.shown(*version)));
            status.set_description(explained(kernel, case, mismatches));
            status
        }
    };
    let title = match rounds {
        1 => case.id.clone(),
        _ => format!("{} run {}", case.id, case.round),
    };
    let mut test = named(kernel, &title, &case.id, status);
    test.set_time(Duration::from_millis(case.took_ms));
    retried::add(&mut test, &case.verdict, &case.discarded);
    test
}

/// Tools take a class for a directory, so it names the kernel and the mechanism.
fn named(kernel: &KernelDocument, title: &str, id: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(title, status);
    let mechanism = id.split('/').next().unwrap_or_default();
    // A point would make more directories.
    case.set_classname(format!("sockmig.{}.{mechanism}", kernel.name.replace('.', "_")));
    case
}

fn explained(kernel: &KernelDocument, case: &CaseDocument, mismatches: &[Mismatch]) -> String {
    let CaseDocument { id, does, must, source, trace, .. } = case;
    let mut text = format!("{id} on {}\n", kernel.name);
    for (label, sentence) in [("does", does), ("must", must), ("source", source)] {
        let _ = writeln!(text, "  {label:<9} {sentence}");
    }
    for Mismatch { what, expected, actual, .. } in mismatches {
        let _ = writeln!(text, "  in        {what}");
        let _ = writeln!(text, "  expected  {}", expected.join(" or "));
        let _ = writeln!(text, "  actual    {actual}");
    }
    for line in trace {
        let _ = writeln!(text, "    {line}");
    }
    text
}
