//! Tests whose work happens in a lab: a name, what is done there, and what must have
//! come back.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use harness::inside;
use harness::process::{Broken, Labs, Returned};
use libtest_mimic::{Arguments, Failed, Trial};

/// What a test does in its lab. The error is the test's failure.
pub type Work = fn() -> Result<String, String>;

/// What a test makes of what its lab returned.
pub type Judge = fn(Result<String, Broken>) -> Result<(), String>;

/// A test.
#[derive(Clone, Copy)]
pub struct LabTest {
    pub name: &'static str,
    pub work: Work,
    pub judge: Judge,
    pub deadline: Duration,
}

impl LabTest {
    /// A test that passes if its work does.
    #[allow(dead_code, reason = "each test program uses a part")]
    pub const fn of(name: &'static str, work: Work) -> Self {
        Self::judged(name, work, |came| came.map(drop).map_err(|e| e.to_string()))
    }

    /// A test whose result is looked at from outside.
    pub const fn judged(name: &'static str, work: Work, judge: Judge) -> Self {
        Self { name, work, judge, deadline: Duration::from_secs(60) }
    }
}

/// `main` of a program of such tests.
pub fn main(tests: &'static [LabTest], ignored: fn(&str) -> Option<&'static str>) -> ExitCode {
    inside::enter(|name| {
        let test = tests.iter().find(|test| test.name == name);
        let came = test.map_or_else(|| Err(format!("no test {name}")), |test| (test.work)());
        Returned::json(&came, vec![])
    });
    let labs = Arc::new(Labs::default());
    let trials = tests.iter().map(|test| {
        let labs = Arc::clone(&labs);
        let why = ignored(test.name);
        let title = match why {
            Some(why) => format!("{} (needs: {why})", test.name),
            None => test.name.to_owned(),
        };
        Trial::test(title, move || run(&labs, test).map_err(Failed::from))
            .with_ignored_flag(why.is_some())
    });
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials.collect());
    labs.wait();
    conclusion.exit_code()
}

fn run(labs: &Labs, test: &LabTest) -> Result<(), String> {
    let came = match labs.run(test.name, test.deadline) {
        Err(broken) => Err(broken),
        Ok(returned) => {
            let came: Result<String, String> = returned.parse().map_err(|e| e.to_string())?;
            Ok(came?)
        }
    };
    (test.judge)(came)
}

/// An error in words, for `?`.
pub fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Fails with `why` unless `holds`.
pub fn ensure(holds: bool, why: impl std::fmt::Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_string()) }
}
