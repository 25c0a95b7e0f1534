//! The JSON documents: what a run found, and what a matrix found. Written and read here.

mod end;

use std::collections::BTreeMap;
use std::time::Duration;

use harness::json::{Fields, of_later_version};
use harness::trace::Line;
use harness::trace::observation::Value;
use harness::wait::RanOut;
use scenarios::case::Case;
use scenarios::engine::{DiscardedTry, Ending, Outcome, is_flaky};
use scenarios::judge::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vm::architecture::Architecture;

use crate::output::consumer::{End, Environment, Run};
use crate::output::totals::Totals;

pub use end::{Blame, MachineEnd};

/// The version of the documents' form. A reader refuses those that it does not know.
pub const SCHEMA: u32 = 2;

/// What `sockmig run` found: `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunDocument {
    /// The version of the form of this document.
    pub schema: u32,
    /// The version of sockmig that wrote it.
    pub sockmig: String,
    /// Where it ran.
    pub environment: Environment,
    /// How many times everything was run.
    pub rounds: u32,
    /// Every selected case was run.
    pub complete: bool,
    /// Counted verdicts.
    pub totals: Totals,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How the kernel was tainted meanwhile, by anything; nothing in a guest, where that is
    /// a complaint.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tainted_meanwhile: Option<String>,
    /// The runs of cases, in the order in which they ended.
    pub cases: Vec<CaseDocument>,
}

impl RunDocument {
    /// What a document says of a run that is over.
    pub fn of(run: &Run, end: &End<'_>, cases: Vec<CaseDocument>) -> Self {
        Self {
            schema: SCHEMA,
            sockmig: env!("CARGO_PKG_VERSION").into(),
            environment: run.environment.clone(),
            rounds: run.rounds,
            complete: *end.ending == Ending::Complete,
            totals: end.totals.clone(),
            took_ms: milliseconds(end.took),
            tainted_meanwhile: (!end.tainted.is_none()).then(|| end.tainted.to_string()),
            cases,
        }
    }
}

/// One run of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CaseDocument {
    /// The case's full id.
    pub id: String,
    /// Which repetition, from 1.
    pub round: u32,
    /// The verdict, its word under `verdict`.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// How often it was tried: the verdict is the last try's.
    #[serde(default = "once")]
    pub tries: usize,
    /// What the tries before the last saw, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub discarded: Vec<DiscardedTry>,
    /// How long it took, all tries together, in milliseconds, by the clock of the run.
    pub took_ms: u64,
    /// What the case does.
    pub does: String,
    /// What must happen.
    pub must: String,
    /// Who says so.
    pub source: String,
    /// Waits that were in vain, and shorter than usual since others had been in vain before.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(with = "Vec<RanOut>")]
    pub shorter_waits: Vec<ShorterWait>,
    /// What was seen, by name.
    pub facts: BTreeMap<String, Value>,
    /// The wire and the laboratory's acts, a line each. Acts of version 1 are known by their words
    /// alone.
    pub trace: Vec<Line>,
    /// The capture, if it was kept: its path as it was written, from where sockmig was run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub capture: Option<String>,
}

impl CaseDocument {
    /// What a document says of an outcome; `case` is nothing for a case that this sockmig
    /// does not have, `capture` where its capture was kept.
    pub fn of(outcome: &Outcome, case: Option<&Case>, capture: Option<String>) -> Self {
        // Later rounds that went as expected would only repeat the first one's trace.
        let worth_it = outcome.round == 1 || !matches!(outcome.verdict, Verdict::Pass { .. });
        let lines = if worth_it { outcome.seen.trace.lines() } else { vec![] };
        Self { trace: lines, ..Self::without_trace(outcome, case, capture) }
    }

    /// The same without a trace.
    pub fn without_trace(outcome: &Outcome, case: Option<&Case>, capture: Option<String>) -> Self {
        let facts = outcome.seen.observation.facts.iter();
        let shorter_waits = outcome.seen.vain_waits.iter().filter(|wait| wait.shortened);
        Self {
            id: outcome.id.clone(),
            round: outcome.round,
            verdict: outcome.verdict.clone(),
            tries: outcome.discarded.len() + 1,
            discarded: outcome.discarded.clone(),
            took_ms: milliseconds(outcome.took),
            does: case.map_or("", |case| case.does).into(),
            must: case.map_or("", |case| case.must).into(),
            source: case.map_or_else(String::new, Case::sources),
            shorter_waits: shorter_waits.copied().map(ShorterWait::Known).collect(),
            facts: facts.map(|fact| (fact.name.clone(), fact.value.clone())).collect(),
            trace: vec![],
            capture,
        }
    }

    /// Whether it failed in a discarded try, and not in the last one.
    pub fn is_flaky(&self) -> bool {
        is_flaky(&self.verdict, &self.discarded)
    }
}

/// A wait that was in vain, and shorter than usual.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ShorterWait {
    /// One of those that this version knows.
    Known(RanOut),
    /// For what only a later version waits.
    Later(Fields),
}

/// The tries of a case in documents that do not say how many there were.
fn once() -> usize {
    1
}

/// What `sockmig matrix` found: `matrix.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MatrixDocument {
    /// The version of the form of this document.
    pub schema: u32,
    /// The version of sockmig that wrote it.
    pub sockmig: String,
    /// The selected cases, by their full ids, in their order.
    pub cases: Vec<String>,
    /// Which part of the kernels it is about: `1/3`, or nothing for all of them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<String>,
    /// How long it took, in milliseconds of the host's clock.
    pub took_ms: u64,
    /// Nobody interrupted it.
    pub complete: bool,
    /// A row for each kernel, in the order of the kernels.
    pub kernels: Vec<KernelDocument>,
}

/// What was found of one kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KernelDocument {
    /// As it was chosen: `6.1.174-1`, or a file's name.
    pub name: String,
    /// How its machine ended.
    #[serde(alias = "fate")]
    pub end: MachineEnd,
    /// How it was run; nothing if it never was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub machine: Option<MachineDocument>,
    /// Complaints of the kernel's log (WARN, BUG, oops), and what it did meanwhile.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub complaints: Vec<Complaint>,
    /// What was missing in the guest: modules that could not be loaded, and the like.
    #[serde(alias = "lacks", skip_serializing_if = "Vec::is_empty", default)]
    pub missing: Vec<String>,
    /// The last lines of its console, where they matter.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub console: String,
    /// What was found of its cases; nothing if the suite was never reached.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<RunDocument>,
}

/// How a kernel was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineDocument {
    /// `QEMU, TCG`, `QEMU, KVM` or `User-Mode Linux`.
    pub engine: String,
    /// The architecture of the kernel. Documents of older versions, which say nothing of it, are of
    /// x86_64.
    #[serde(default)]
    #[schemars(with = "Architecture")]
    pub architecture: MachineArchitecture,
    /// `virtual` or `real`.
    pub clock: String,
    /// Every case had a kernel of its own.
    pub fresh: bool,
    /// From the start of the machine to the suite, in milliseconds.
    pub boot_ms: u64,
    /// The machine's whole life, in milliseconds of the host's clock.
    pub took_ms: u64,
    /// How often it was started again to go on after a case that had ended it.
    pub restarts: u32,
}

impl MachineDocument {
    /// What executed the kernel, and which one's kernel that is where it is not x86_64's.
    pub fn what(&self) -> String {
        match &self.architecture {
            MachineArchitecture::Known(Architecture::X86_64) => self.engine.clone(),
            MachineArchitecture::Known(other) => format!("{}, {other}", self.engine),
            MachineArchitecture::Later(name) => {
                format!("{}, {}", self.engine, of_later_version(name))
            }
        }
    }

    /// What has to be added to a command that boots the kernel again, if that is for another
    /// architecture than this program.
    pub fn option_for_guests(&self) -> &'static str {
        match Architecture::of_this_program().map(MachineArchitecture::Known) {
            Some(this) if this == self.architecture => "",
            _ => " --guest-binary FILE",
        }
    }
}

/// The architecture of a kernel, in a document that may be of a later version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MachineArchitecture {
    /// One of those that this version boots kernels of.
    Known(Architecture),
    /// The name of one that only a later version does.
    Later(String),
}

impl MachineArchitecture {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Known(architecture) => architecture.name(),
            Self::Later(name) => name,
        }
    }
}

impl Default for MachineArchitecture {
    fn default() -> Self {
        Self::Known(Architecture::default())
    }
}

/// Something that the kernel's log complained of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Complaint {
    /// The case that ran, or `booting`.
    pub during: String,
    /// The first line is the complaint; its call trace follows.
    pub text: String,
}

/// A duration as the documents have it.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
