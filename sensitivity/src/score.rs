//! Cases on one broken kernel: whether they notice.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use std::{fmt, fs};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::digest::digest;

/// What cases said of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Some failed: these, of which there may be more.
    Noticed {
        /// Their ids.
        cases: Vec<String>,
    },
    /// The kernel warned in its log, or panicked, without any case that failed.
    Complained {
        /// Its first line.
        line: String,
    },
    /// It did not end in time, and nothing had failed by then. Nobody takes such a kernel for well.
    Hung,
    /// No case failed, but the laboratory broke: a broken kernel, told as something else.
    Broke {
        /// Ids of the cases.
        cases: Vec<String>,
    },
    /// Everything was as on the whole kernel.
    Survived,
    /// The compiler made the same of it.
    SameCode,
    /// It cannot be compiled.
    DoesNotCompile,
}

impl Outcome {
    /// Whether it counts at all, as one that is noticed or not.
    pub fn is_scored(&self) -> bool {
        !matches!(self, Self::SameCode | Self::DoesNotCompile)
    }

    /// Whether a user would know that something is wrong with the kernel.
    pub fn is_noticed(&self) -> bool {
        matches!(self, Self::Noticed { .. } | Self::Complained { .. } | Self::Hung)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noticed { cases } => write!(f, "noticed by {}", cases.join(", ")),
            Self::Complained { line } => write!(f, "noticed: the kernel says: {line}"),
            Self::Hung => f.write_str("noticed: the kernel hangs"),
            Self::Broke { cases } => write!(f, "only the laboratory broke: {}", cases.join(", ")),
            Self::Survived => f.write_str("SURVIVED"),
            Self::SameCode => f.write_str("the same code"),
            Self::DoesNotCompile => f.write_str("does not compile"),
        }
    }
}

/// How cases are run.
#[derive(Debug, Clone)]
pub struct Suite {
    /// What it is known by: a sockmig of other bytes may have other cases.
    pub id: String,
    sockmig: PathBuf,
    /// Which cases; everything if nothing is named.
    cases: Vec<String>,
    /// When a run on one kernel is ended.
    bound: Duration,
}

/// One in so many cases runs first: most kernels are noticed by these already.
const FIRST: u32 = 10;

impl Suite {
    /// Cases of this sockmig, or all of them if none is named. A run on one kernel is ended after
    /// `bound`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(sockmig: &Path, cases: Vec<String>, bound: Duration) -> anyhow::Result<Self> {
        let unreadable = || format!("cannot read {}", sockmig.display());
        let bytes = fs::read(sockmig).with_context(unreadable)?;
        let id = format!("{} {}", digest([bytes]), cases.join(" "));
        let sockmig = sockmig.canonicalize().with_context(unreadable)?;
        Ok(Self { id, sockmig, cases, bound })
    }

    /// Runs cases on a kernel until one fails. What they write is left in `place`.
    ///
    /// # Errors
    /// sockmig cannot be run, or writes nothing that can be read.
    pub fn score(&self, kernel: &Path, place: &Path) -> anyhow::Result<Outcome> {
        for shard in [Some(format!("1/{FIRST}")), None] {
            let outcome = self.run(kernel, place, shard.as_deref())?;
            if outcome != Outcome::Survived {
                return Ok(outcome);
            }
        }
        Ok(Outcome::Survived)
    }

    fn run(&self, kernel: &Path, place: &Path, shard: Option<&str>) -> anyhow::Result<Outcome> {
        let _ = fs::remove_dir_all(place);
        let mut command = Command::new(&self.sockmig);
        command.arg("matrix").args(&self.cases).arg("--kernel").arg(kernel);
        command.args(["--max-fail", "1"]).arg("--out").arg(place);
        command.args(shard.iter().flat_map(|shard| ["--shard", shard]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child =
            command.spawn().with_context(|| format!("cannot run {}", self.sockmig.display()))?;
        let id = Pid::from_raw(i32::try_from(child.id()).context("a process id")?);
        let (ended, end) = mpsc::channel();
        let is_late = thread::scope(|scope| {
            scope.spawn(move || ended.send(child.wait()));
            let is_late = end.recv_timeout(self.bound).is_err();
            if is_late {
                // It then writes what it has.
                let _ = kill(id, Signal::SIGTERM);
            }
            is_late
        });
        let name = place.join("matrix.json");
        let text = fs::read_to_string(&name).with_context(|| {
            format!(
                "sockmig has written no {}; does it run on {}?",
                name.display(),
                kernel.display()
            )
        })?;
        let matrix: Matrix = serde_json::from_str(&text)
            .with_context(|| format!("cannot read {}", name.display()))?;
        Ok(matrix.outcome(is_late))
    }
}

/// What is read of a matrix's document.
#[derive(Debug, Deserialize)]
struct Matrix {
    kernels: Vec<Kernel>,
}

#[derive(Debug, Deserialize)]
struct Kernel {
    #[serde(alias = "fate")]
    end: End,
    #[serde(default)]
    complaints: Vec<Complaint>,
    run: Option<Run>,
}

#[derive(Debug, Deserialize)]
struct End {
    #[serde(alias = "fate")]
    how: String,
    why: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    text: String,
}

#[derive(Debug, Deserialize)]
struct Run {
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    verdict: String,
}

impl Matrix {
    fn outcome(&self, is_late: bool) -> Outcome {
        let cases = || {
            self.kernels.iter().filter_map(|kernel| kernel.run.as_ref()).flat_map(|run| &run.cases)
        };
        let with = |verdict: &str| -> Vec<String> {
            cases().filter(|case| case.verdict == verdict).map(|case| case.id.clone()).collect()
        };
        let failed = with("fail");
        if !failed.is_empty() {
            return Outcome::Noticed { cases: failed };
        }
        let lines = self.kernels.iter().flat_map(|kernel| {
            let has_died = matches!(
                kernel.end.how.as_str(),
                "panicked" | "out-of-memory" | "died" | "never-booted"
            );
            let died = kernel.end.why.as_ref().filter(|_| has_died);
            died.into_iter().chain(kernel.complaints.iter().map(|complaint| &complaint.text))
        });
        if let Some(line) = lines.filter_map(|text| text.lines().next()).next() {
            return Outcome::Complained { line: line.to_owned() };
        }
        let has_hung = self.kernels.iter().any(|kernel| kernel.end.how == "hung");
        let broken = with("error");
        match broken.is_empty() {
            _ if is_late || has_hung => Outcome::Hung,
            true => Outcome::Survived,
            false => Outcome::Broke { cases: broken },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn outcome(kernel: &str, is_late: bool) -> Outcome {
        let matrix: Matrix =
            serde_json::from_str(&format!("{{\"kernels\": [{kernel}]}}")).expect("a matrix");
        matrix.outcome(is_late)
    }

    const RAN: &str = r#""end": {"how": "completed"}"#;

    #[rstest]
    #[case::well(r#"[{"id": "a", "verdict": "pass"}]"#, "", false, Outcome::Survived)]
    #[case::late(r#"[{"id": "a", "verdict": "pass"}]"#, "", true, Outcome::Hung)]
    #[case::failed(
        r#"[{"id": "a", "verdict": "fail"}, {"id": "b", "verdict": "error"}]"#, "", true,
        Outcome::Noticed { cases: vec!["a".into()] }
    )]
    #[case::broke(
        r#"[{"id": "b", "verdict": "error"}]"#, "", false, Outcome::Broke { cases: vec!["b".into()] }
    )]
    #[case::complained(
        r#"[{"id": "b", "verdict": "pass"}]"#, r#", "complaints": [{"text": "WARNING: x\ny"}]"#, false,
        Outcome::Complained { line: "WARNING: x".into() }
    )]
    fn what_was_written_decides(
        #[case] cases: &str,
        #[case] more: &str,
        #[case] is_late: bool,
        #[case] expected: Outcome,
    ) {
        let kernel = format!(r#"{{{RAN}, "run": {{"cases": {cases}}}{more}}}"#);
        assert_eq!(outcome(&kernel, is_late), expected);
    }

    #[test]
    fn a_panic_is_noticed_without_a_case() {
        let kernel = r#"{"end": {"how": "panicked", "why": "Kernel panic: x"}}"#;
        let line = "Kernel panic: x".into();
        assert_eq!(outcome(kernel, false), Outcome::Complained { line });
    }
}
