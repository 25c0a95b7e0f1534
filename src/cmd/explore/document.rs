//! What was explored, as a document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use explore::drive::{Played, Taken};
use explore::history::History;
use explore::job::{Finding, Replayed};
use explore::model::{Difference, ModelBug};
use explore::run::{Plan, Total, situations_of_the_model};
use harness::kernel::Kernel;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cmd::machine_log::ComplaintDocument;
use crate::exit::Exit;

/// The version of both documents.
const VERSION: u32 = 1;

/// Where a history was kept, if it could be.
pub(super) type Kept = Option<PathBuf>;

/// `sockmig explore --format json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ExploreDocument {
    /// The version of the form of this document.
    schema: u32,
    /// The kernel's release and build.
    pub(super) kernel: String,
    seed: u64,
    pub(super) known_bugs: Vec<&'static str>,
    pub(super) histories: u64,
    pub(super) steps: u64,
    pub(super) too_slow: u64,
    pub(super) seconds: f64,
    /// Steps, the situations in which they were taken, and what came of them.
    pub(super) met: Vec<String>,
    /// Those of the model that no history met.
    pub(super) not_met: Vec<String>,
    pub(super) disagreements: Vec<FindingDocument>,
    /// Histories after which something was left.
    pub(super) left: Vec<LeftDocument>,
    /// What the kernel's log complained of, if the histories were played in a machine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub(super) complaints: Vec<ComplaintDocument>,
    pub(super) interrupted: bool,
    /// What was reached of the kernel's code, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) coverage: Option<CoverageDocument>,
    /// The kernel of a machine panicked: what is not known then is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) panic: Option<PanicDocument>,
}

/// A kernel that panicked while histories were played.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PanicDocument {
    /// The kernel's own line about it.
    pub(super) line: String,
    /// The console, from its complaint on.
    pub(super) console: Vec<String>,
    /// The reduced history at which it panics again, as its file has it; nothing if it did at none
    /// of those that were begun last.
    pub(super) history: Option<String>,
    /// Where that history is kept, or each of those that were begun last.
    pub(super) files: Vec<String>,
}

/// What was reached of the kernel's code.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CoverageDocument {
    /// How many places, of those that the kernel was built to show.
    pub(super) places: u64,
    /// How many histories reached something that none before them had.
    pub(super) histories: u64,
}

/// A disagreement.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FindingDocument {
    pub(super) signature: String,
    /// The known bug that the model has not, and with which it would say what the kernel did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) like: Option<&'static str>,
    pub(super) times: u64,
    pub(super) number: u64,
    /// It was met in a history that was made by changing others: its number does not make it again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(default)]
    pub(super) is_changed: bool,
    pub(super) verified: usize,
    /// The reduced history, as its file has it.
    pub(super) history: String,
    pub(super) step: String,
    pub(super) differences: Vec<DifferenceDocument>,
    pub(super) file: Option<String>,
}

/// One thing in which model and kernel differ.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DifferenceDocument {
    pub(super) of: String,
    pub(super) model: String,
    pub(super) kernel: String,
}

/// Histories after which sockets or requests were left.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LeftDocument {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) sockets: usize,
}

impl ExploreDocument {
    pub(super) fn of(
        kernel: &Kernel,
        plan: &Plan,
        total: &Total,
        took: Duration,
        kept: Vec<Kept>,
        complaints: Vec<ComplaintDocument>,
    ) -> Self {
        let known = situations_of_the_model(&plan.recipe, total.histories);
        let finding = |(finding, kept): (&Finding, Kept)| {
            FindingDocument::of(finding, &total.disagreements, kept)
        };
        let left = |(numbers, sockets): &(explore::job::Numbers, usize)| LeftDocument {
            first: numbers.first,
            last: numbers.end.saturating_sub(1),
            sockets: *sockets,
        };
        Self {
            schema: VERSION,
            kernel: kernel.to_string(),
            seed: plan.seed,
            known_bugs: plan.recipe.bugs.iter().map(|bug| bug.id()).collect(),
            histories: total.histories,
            steps: total.steps,
            too_slow: total.too_slow,
            seconds: took.as_secs_f64(),
            met: total.met.iter().cloned().collect(),
            not_met: known.difference(&total.met).cloned().collect(),
            disagreements: total.findings.iter().zip(kept).map(finding).collect(),
            left: total.left.iter().map(left).collect(),
            complaints,
            interrupted: total.interrupted,
            coverage: total.covered.map(|covered| CoverageDocument {
                places: covered.places,
                histories: covered.kept,
            }),
            panic: None,
        }
    }

    /// What is known after a panic: how many histories and steps were begun.
    pub(super) fn of_panic(
        kernel: String,
        seed: u64,
        took: Duration,
        (histories, steps): (u64, u64),
        panic: PanicDocument,
    ) -> Self {
        Self {
            schema: VERSION,
            kernel,
            seed,
            known_bugs: vec![],
            histories,
            steps,
            too_slow: 0,
            seconds: took.as_secs_f64(),
            met: vec![],
            not_met: vec![],
            disagreements: vec![],
            left: vec![],
            complaints: vec![],
            interrupted: false,
            coverage: None,
            panic: Some(panic),
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document can be written as JSON")
    }

    pub(super) fn exit(&self) -> Exit {
        let deviates = !self.disagreements.is_empty()
            || !self.left.is_empty()
            || !self.complaints.is_empty()
            || self.panic.is_some();
        match (self.interrupted, deviates, self.histories) {
            (true, ..) => Exit::Interrupted,
            (false, true, _) => Exit::Deviates,
            (false, false, 0) => Exit::NothingRan,
            (false, false, _) => Exit::Expected,
        }
    }
}

impl FindingDocument {
    pub(super) fn of(finding: &Finding, times: &BTreeMap<String, u64>, kept: Kept) -> Self {
        let signature = finding.signature.to_string();
        let step = finding.history.steps.get(finding.disagreement.at);
        Self {
            times: times.get(&signature).copied().unwrap_or(1),
            signature,
            like: finding.disagreement.like.map(ModelBug::id),
            number: finding.number,
            is_changed: finding.is_changed,
            verified: finding.verified,
            history: finding.history.to_string(),
            step: step.map(ToString::to_string).unwrap_or_default(),
            differences: differences(&finding.disagreement.differences),
            file: kept.map(|path| path.display().to_string()),
        }
    }
}

pub(in crate::cmd) fn differences(differences: &[Difference]) -> Vec<DifferenceDocument> {
    let difference = |each: &Difference| DifferenceDocument {
        of: each.of.to_string(),
        model: each.model.clone(),
        kernel: each.kernel.clone(),
    };
    differences.iter().map(difference).collect()
}

/// `sockmig replay --format json`.
#[derive(Debug, Serialize)]
pub(super) struct ReplayDocument {
    version: u32,
    /// The kernel's release and build.
    pub(super) kernel: String,
    pub(super) known_bugs: Vec<&'static str>,
    #[serde(skip)]
    pub(super) history: History,
    pub(super) taken: Vec<Taken>,
    pub(super) played: Played,
}

impl ReplayDocument {
    pub(super) fn of(
        kernel: &Kernel,
        bugs: &BTreeSet<ModelBug>,
        history: History,
        replayed: Replayed,
    ) -> Self {
        Self {
            version: VERSION,
            kernel: kernel.to_string(),
            known_bugs: bugs.iter().map(|bug| bug.id()).collect(),
            history,
            taken: replayed.taken,
            played: replayed.played,
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a document can be written as JSON")
    }
}
