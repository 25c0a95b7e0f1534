//! Tests that need a lab: how they are listed, started, and ignored.
//!
//! A test program starts itself again as a lab, so that its `main` is
//!
//! ```text
//! inside::enter(work);
//! in_lab::main(tests())
//! ```
//!
//! and what a test does inside is found by name in the same list.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use harness::kernel::{Kernel, Version};
use harness::process::{Broken, Labs, Returned};
use harness::wait;
use libtest_mimic::{Arguments, Failed, Trial};

/// The work that probes the kernel.
pub const PROBE: &str = "probe";

/// The work that is the body of a test; the test's name follows.
const BODY: &str = "body";

/// What a test needs from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "each test program uses a part")]
pub enum Need {
    /// IPv6 on `lo`.
    Ipv6,
    /// nftables in the `inet` family.
    Nftables,
    /// A second uid in the lab's user namespace.
    SecondUser,
    /// eBPF programs.
    Programs,
    /// eBPF programs that are told what migrates.
    MigratePrograms,
    /// Only one uid.
    OneUser,
    /// Multipath TCP.
    Multipath,
}

impl Need {
    /// Why `kernel` does not meet it, if it does not.
    fn unmet(self, kernel: &Kernel) -> Option<&'static str> {
        let (met, reason) = match self {
            Self::Ipv6 => (kernel.ipv6.is_ok(), "no IPv6"),
            Self::Nftables => (kernel.nftables.is_ok(), "no nftables"),
            Self::SecondUser => (kernel.has_second_uid, "no second uid"),
            Self::Programs => (kernel.programs.is_ok(), "no eBPF programs"),
            Self::MigratePrograms => {
                let since = Version::new(5, 14, 0);
                (kernel.version >= since, "programs that are told what migrates: Linux 5.14")
            }
            Self::Multipath => (kernel.multipath.is_ok(), "no Multipath TCP"),
            Self::OneUser => (!kernel.has_second_uid, "there is a second uid"),
        };
        (!met).then_some(reason)
    }
}

/// A test that fails by panicking.
pub struct Test {
    name: String,
    needs: Vec<Need>,
    body: Body,
}

enum Body {
    Inside(Box<dyn Fn() + Send>),
    Outside(Box<dyn Fn(&Labs) + Send>),
}

impl Test {
    /// A test that runs in a lab of its own.
    pub fn inside(name: impl Into<String>, body: impl Fn() + Send + 'static) -> Self {
        Self { name: name.into(), needs: vec![], body: Body::Inside(Box::new(body)) }
    }

    /// A test that looks at labs from outside.
    #[allow(dead_code, reason = "each test program uses a part")]
    pub fn outside(name: impl Into<String>, body: impl Fn(&Labs) + Send + 'static) -> Self {
        Self { name: name.into(), needs: vec![], body: Body::Outside(Box::new(body)) }
    }

    /// Adds a need.
    pub fn needs(mut self, need: impl IntoIterator<Item = Need>) -> Self {
        self.needs.extend(need);
        self
    }
}

/// Does the works that every test program has; `None` for any other.
pub fn work(what: &str, tests: impl FnOnce() -> Vec<Test>) -> Option<Returned> {
    let (word, name) = what.split_once(' ').unwrap_or((what, ""));
    match word {
        PROBE => Some(Returned::json(&Kernel::probe().map_err(|e| e.to_string()), vec![])),
        BODY => {
            match tests().into_iter().find(|test| test.name == name).map(|test| test.body) {
                Some(Body::Inside(body)) => body(),
                _ => panic!("no test inside a lab is called {name}"),
            }
            Some(Returned::default())
        }
        _ => None,
    }
}

/// Lists or runs the tests, as the arguments say.
pub fn main(tests: Vec<Test>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Labs wait more than they compute.
    arguments.test_threads.get_or_insert(8);
    let labs = Arc::new(Labs::default());
    let kernel = match probe(&labs) {
        Ok(kernel) => kernel,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::from(69);
        }
    };
    let trials = tests.into_iter().map(|test| trial(test, &labs, &kernel));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    labs.wait();
    conclusion.exit_code()
}

fn probe(labs: &Labs) -> Result<Kernel, Broken> {
    let setup = |why: String| Broken::Setup(why);
    let returned = labs.run(PROBE, wait::deadline())?;
    let probed: Result<Kernel, String> = returned.parse().map_err(|e| setup(e.to_string()))?;
    probed.map_err(setup)
}

fn trial(test: Test, labs: &Arc<Labs>, kernel: &Kernel) -> Trial {
    let unmet = test.needs.iter().find_map(|need| need.unmet(kernel));
    let labs = Arc::clone(labs);
    // libtest's own list has no place for a reason but the name.
    let shown = match unmet {
        Some(reason) => format!("{} (needs: {reason})", test.name),
        None => test.name.clone(),
    };
    Trial::test(shown, move || match test.body {
        Body::Outside(body) => {
            body(&labs);
            Ok(())
        }
        Body::Inside(_) => {
            let work = format!("{BODY} {}", test.name);
            labs.run(&work, deadline()).map(drop).map_err(Failed::from)
        }
    })
    .with_ignored_flag(unmet.is_some())
}

/// A test makes a few waits, each with its own deadline, which tell more than this one.
pub fn deadline() -> Duration {
    wait::deadline() * 5
}
