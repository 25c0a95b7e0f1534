//! Who listens to a run: one stream of events, and everything that is made of it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::kernel::Kernel;
use harness::kernel::taint::Taint;
use scenarios::case::Selected;
use scenarios::engine::{Ending, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::output::totals::Totals;

/// What is known when a run begins.
pub struct Run {
    /// Where it runs.
    pub environment: Environment,
    /// The cases, in the order in which outcomes come.
    pub selection: Vec<Selected>,
    /// How many times everything is run.
    pub rounds: u32,
    /// How many labs there are at a time.
    pub jobs: usize,
}

impl Run {
    /// The case that an outcome is of.
    pub fn selected(&self, outcome: &Outcome) -> Option<&Selected> {
        self.selection.iter().find(|selected| selected.id() == outcome.id)
    }

    /// How a run of a case is called: its id, and which repetition if there are several.
    pub fn title(&self, outcome: &Outcome) -> String {
        self.title_of(&outcome.id, outcome.round)
    }

    /// The same of a run that need not have ended.
    pub fn title_of(&self, id: &str, round: u32) -> String {
        match self.rounds {
            1 => id.to_owned(),
            _ => format!("{id} run {round}"),
        }
    }
}

/// The machine that a run says something about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// The kernel, as probed in a lab.
    pub kernel: Kernel,
    /// Run as root, without a user namespace.
    pub root: bool,
    /// `tcp_migrate_req` in the network namespace that the command was started in.
    pub migrate_req: Option<String>,
    /// Its file cannot be written, whoever writes: `/proc/sys` is mounted read-only there, as in
    /// most containers.
    #[serde(default)]
    pub sysctls_read_only: bool,
    /// `/proc/sys/kernel/tainted` before the run.
    pub tainted: Option<String>,
}

impl Environment {
    /// Reads what is not in the kernel's own probe.
    pub fn read(kernel: Kernel) -> Self {
        Self {
            kernel,
            root: harness::kernel::is_root(),
            migrate_req: harness::net::sysctl::read(harness::net::sysctl::MIGRATE_REQ).ok(),
            sysctls_read_only: harness::net::sysctl::are_read_only(),
            tainted: harness::net::sysctl::read("kernel.tainted").ok(),
        }
    }
}

/// A finished run of a case, and where its capture was kept.
pub struct Finished<'r> {
    /// The result.
    pub outcome: &'r Outcome,
    /// The pcapng file; or why it was not kept.
    pub capture: Result<PathBuf, NotKept>,
}

impl Finished<'_> {
    /// The capture's path, or in words why it was not kept.
    pub fn capture(&self) -> Result<&Path, &'static str> {
        self.capture.as_deref().map_err(|why| why.words())
    }
}

/// Why a capture was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotKept {
    /// The case is as it must be, and nobody asked for captures.
    NotAskedFor,
    /// No directory could be made for it.
    NoTemporaryDirectory,
    /// It could not be written; the error has been reported.
    CannotWrite,
}

impl NotKept {
    /// As a sentence about a failed case has it.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotAskedFor => "not kept; --out DIR keeps it",
            Self::NoTemporaryDirectory => "not kept, no temporary directory; --out DIR keeps it",
            Self::CannotWrite => "could not be written",
        }
    }
}

/// Makes something of a run. Nothing else prints.
pub trait Consumer {
    /// Before the first case.
    fn begin(&mut self, run: &Run) -> io::Result<()> {
        let _ = run;
        Ok(())
    }

    /// A case was started.
    fn started(&mut self, id: &str) {
        let _ = id;
    }

    /// A case is finished.
    fn finished(&mut self, run: &Run, finished: &Finished<'_>) -> io::Result<()>;

    /// After the last case.
    fn end(&mut self, run: &Run, end: &End<'_>) -> io::Result<()>;
}

/// How a run ended.
pub struct End<'r> {
    /// Whether it was complete.
    pub ending: &'r Ending,
    /// Its verdicts.
    pub totals: &'r Totals,
    /// How long it took.
    pub took: Duration,
    /// How the kernel was tainted meanwhile, by anything: on a machine that others use,
    /// nobody can say.
    pub tainted: Taint,
}
