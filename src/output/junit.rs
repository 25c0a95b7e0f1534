//! JUnit's XML, for CI systems.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use scenarios::engine::Ending;
use scenarios::judge::Verdict;
use scenarios::report::{self, wrong_names};

use crate::output::consumer::{Consumer, End, Finished, Run};
use crate::output::fixes::Fixes;
use crate::output::not_run::NotRun;
use crate::output::retried;
use crate::output::xml::{ResultType, xml};

/// Gathers results, and writes them at the end: the format wants its counts in front.
pub struct Junit<W> {
    to: W,
    suite: TestSuite,
    fixes: Fixes,
    not_run: NotRun,
}

impl<W: Write> Junit<W> {
    /// Writes to `to`.
    pub fn new(to: W) -> Self {
        let (fixes, not_run) = (Fixes::default(), NotRun::default());
        Self { to, suite: TestSuite::new("sockmig"), fixes, not_run }
    }
}

impl<W: Write> Consumer for Junit<W> {
    fn begin(&mut self, run: &Run) -> io::Result<()> {
        let kernel = &run.environment.kernel;
        for (name, value) in
            [("kernel", &kernel.release), ("build", &kernel.build), ("machine", &kernel.machine)]
        {
            self.suite.add_property((name, value.as_str()));
        }
        self.suite.add_property(("base", kernel.base.to_string().as_str()));
        Ok(())
    }

    fn finished(&mut self, run: &Run, finished: &Finished<'_>) -> io::Result<()> {
        let outcome = finished.outcome;
        let explained = run.selected(outcome).map(|selected| {
            let capture = finished.capture();
            report::explain(selected, &run.environment.kernel, outcome, capture, report::trace)
        });
        let mut status = match &outcome.verdict {
            Verdict::Pass { .. } => TestCaseStatus::success(),
            Verdict::Fail { .. } => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Verdict::Error { .. } => TestCaseStatus::non_success(NonSuccessKind::Error),
            Verdict::Skip { .. } | Verdict::KnownBug { .. } => TestCaseStatus::skipped(),
        };
        match &outcome.verdict {
            Verdict::Pass { .. } => {}
            Verdict::Fail { mismatches } => {
                let wrong = wrong_names(mismatches);
                status.set_type(ResultType::Deviation.name());
                status.set_message(format!("the kernel deviates in: {wrong}"));
                status.set_description(explained.unwrap_or_default());
            }
            Verdict::Error { reason } => {
                status.set_type(ResultType::Laboratory.name());
                status.set_message(reason.clone());
                status.set_description(explained.unwrap_or_default());
            }
            Verdict::Skip { reason } => {
                status.set_type(ResultType::Skip.name());
                status.set_message(reason.to_string());
            }
            Verdict::KnownBug { bug, version, .. } => {
                status.set_type(ResultType::KnownBug.name());
                status.set_message(format!("known bug: {}", bug.shown(*version)));
                status.set_description(explained.unwrap_or_default());
            }
        }
        self.fixes.note(&outcome.verdict);
        self.not_run.finished(outcome);
        let mut case = named(run.title(outcome), &outcome.id, status);
        case.set_time(outcome.took);
        retried::add(&mut case, &outcome.verdict, &outcome.discarded);
        self.suite.add_test_case(case);
        Ok(())
    }

    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()> {
        for (title, id) in self.not_run.runs(run) {
            let mut status = TestCaseStatus::skipped();
            status.set_type(ResultType::NotRun.name());
            status.set_message(match end.ending {
                Ending::EnoughFailed { .. } => "not run: stopped by --max-fail".to_owned(),
                Ending::Complete | Ending::Interrupted { .. } => "not run: interrupted".to_owned(),
                Ending::NoLab { why, .. } => format!("not run: {why}"),
            });
            self.suite.add_test_case(named(title, &id, status));
        }
        let mut report = Report::new(format!("sockmig on {}", run.environment.kernel));
        report.set_time(end.took);
        let mut suite = std::mem::replace(&mut self.suite, TestSuite::new("sockmig"));
        suite.set_time(end.took);
        for bug in self.fixes.all() {
            suite.add_property(("has the fix", bug.with_fix().as_str()));
        }
        report.add_test_suite(suite);
        self.to.write_all(xml(&report)?.as_bytes())?;
        self.to.flush()
    }
}

/// A test, in the class of its mechanism.
fn named(title: String, id: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(title, status);
    let mechanism = id.split('/').next().unwrap_or_default();
    case.set_classname(format!("sockmig.{mechanism}"));
    case
}
