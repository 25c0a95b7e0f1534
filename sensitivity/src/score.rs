//! Cases, or histories that nobody wrote, on one broken kernel: whether they notice.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use harness::process::subprocess::die_with_parent;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;

use crate::digest::digest;
use crate::explored;
use crate::outcome::Outcome;
use crate::raced;

/// What is run on each kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// These cases; everything if nothing is named.
    Cases(Vec<String>),
    /// Histories that nobody wrote.
    Explore {
        /// How many.
        histories: u64,
    },
    /// Pairs of acts at the same time.
    Race {
        /// Beginnings of their names; those that a change is looked for by if nothing is named.
        pairs: Vec<String>,
        /// For how many seconds each.
        seconds: u64,
    },
}

/// How cases or histories are run.
#[derive(Debug, Clone)]
pub struct Suite {
    /// What it is known by: a sockmig of other bytes may have other cases.
    pub id: String,
    sockmig: PathBuf,
    by: By,
    /// When a run on one kernel is ended.
    bound: Duration,
}

/// Cases that run only by name, since they take a processor long, or harm kernels with a bug: these
/// machines are nobody's. They run last, on kernels that nothing else has noticed.
const BY_NAME: [&str; 6] = [
    "growth/full",
    "growth/full-of-closed",
    "order/incoming-cpu-many-members",
    "order/incoming-cpu-many-changes",
    "mptcp/timer-join",
    "mptcp/timer-join-reset",
];

/// Memory of the machine, in MiB: the group with the most members takes a third.
const MEMORY: &str = "768";

/// One in so many cases runs first: most kernels are noticed by these already.
const FIRST: u32 = 10;

impl Suite {
    /// Cases or histories of this sockmig. A run on one kernel is ended after `bound`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(sockmig: &Path, by: By, bound: Duration) -> anyhow::Result<Self> {
        let unreadable = || format!("cannot read {}", sockmig.display());
        let bytes = fs::read(sockmig).with_context(unreadable)?;
        let what = match &by {
            By::Cases(cases) => cases.join(" "),
            By::Explore { histories } => format!("{histories} histories"),
            By::Race { pairs, seconds } => format!("race {} {seconds}", pairs.join(" ")),
        };
        let id = format!("{} {what}", digest([bytes]));
        let sockmig = sockmig.canonicalize().with_context(unreadable)?;
        Ok(Self { id, sockmig, by, bound })
    }

    /// Runs cases on a kernel until one fails, or histories, or races pairs: these, if nothing else was
    /// asked for. What they write is left in `place`.
    ///
    /// # Errors
    /// sockmig cannot be run, or writes nothing that can be read.
    pub fn score(
        &self,
        kernel: &Path,
        place: &Path,
        by_pairs: &[String],
    ) -> anyhow::Result<Outcome> {
        let cases = match &self.by {
            By::Cases(cases) => cases,
            By::Explore { histories } => return self.explore(*histories, kernel, place),
            By::Race { pairs, seconds } => {
                let pairs = if pairs.is_empty() { by_pairs } else { pairs };
                return self.race(pairs, *seconds, kernel, place);
            }
        };
        for shard in [Some(format!("1/{FIRST}")), None] {
            let outcome = self.run(cases, kernel, place, shard.as_deref())?;
            if outcome != Outcome::Survived {
                return Ok(outcome);
            }
        }
        match cases.is_empty() {
            true => self.run(&BY_NAME.map(str::to_owned), kernel, place, None),
            false => Ok(Outcome::Survived),
        }
    }

    /// Plays histories on a kernel. What they say is left in `place`.
    fn explore(&self, histories: u64, kernel: &Path, place: &Path) -> anyhow::Result<Outcome> {
        let mut command = Command::new(&self.sockmig);
        command
            .args(["explore", "--seed", "1", "--fail-fast", "--count"])
            .arg(histories.to_string());
        let said = self.said(command, kernel, place)?;
        Ok(explored::outcome(&said.document, &said.to_people, said.is_late))
    }

    /// Races pairs on a kernel. What they say is left in `place`.
    fn race(
        &self,
        pairs: &[String],
        seconds: u64,
        kernel: &Path,
        place: &Path,
    ) -> anyhow::Result<Outcome> {
        let mut command = Command::new(&self.sockmig);
        let seconds = seconds * pairs.len().max(1) as u64;
        command.arg("race").args(pairs).args(["--seed", "1", "--time"]).arg(seconds.to_string());
        let said = self.said(command, kernel, place)?;
        Ok(raced::outcome(&said.document, &said.to_people, said.is_late))
    }

    /// Has a command of sockmig's run on a kernel, and reads what it writes.
    fn said(&self, mut command: Command, kernel: &Path, place: &Path) -> anyhow::Result<Said> {
        let _ = fs::remove_dir_all(place);
        let made = || format!("cannot make {}", place.display());
        fs::create_dir_all(place).with_context(made)?;
        let file = |name: &str| fs::File::create(place.join(name)).with_context(made);
        command.args(["--format", "json", "--kernel"]).arg(kernel);
        command.stdin(Stdio::null()).stdout(file("document.json")?).stderr(file("said")?);
        let is_late = self.is_late(command)?;
        let read = |name: &str| fs::read_to_string(place.join(name)).with_context(made);
        Ok(Said { document: read("document.json")?, to_people: read("said")?, is_late })
    }

    /// Runs a command until it ends, or until it is late and was told to end.
    fn is_late(&self, mut command: Command) -> anyhow::Result<bool> {
        die_with_parent(&mut command);
        let mut child =
            command.spawn().with_context(|| format!("cannot run {}", self.sockmig.display()))?;
        let id = Pid::from_raw(i32::try_from(child.id()).context("a process id")?);
        let (ended, end) = mpsc::channel();
        Ok(thread::scope(|scope| {
            scope.spawn(move || ended.send(child.wait()));
            let is_late = end.recv_timeout(self.bound).is_err();
            if is_late {
                // It then writes what it has.
                let _ = kill(id, Signal::SIGTERM);
            }
            is_late
        }))
    }

    fn run(
        &self,
        cases: &[String],
        kernel: &Path,
        place: &Path,
        shard: Option<&str>,
    ) -> anyhow::Result<Outcome> {
        let _ = fs::remove_dir_all(place);
        let mut command = Command::new(&self.sockmig);
        command.arg("matrix").args(cases).arg("--kernel").arg(kernel);
        command.args(["--max-fail", "1", "--memory", MEMORY]).arg("--out").arg(place);
        command.args(shard.iter().flat_map(|shard| ["--shard", shard]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let is_late = self.is_late(command)?;
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

/// What a command wrote.
struct Said {
    document: String,
    to_people: String,
    /// It did not end in time.
    is_late: bool,
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

impl End {
    /// Whether cases were not run for another reason than that they were not wanted any more.
    fn is_lost(&self) -> bool {
        !matches!(self.how.as_str(), "completed" | "enough-failed" | "interrupted")
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.how, self.why.as_deref().unwrap_or("nobody knows why"))
    }
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
        let lost = self.kernels.iter().filter(|kernel| kernel.end.is_lost());
        let mut broken = with("error");
        broken.extend(lost.map(|kernel| kernel.end.to_string()));
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
    fn a_machine_that_runs_no_case_has_not_survived() {
        let kernel = r#"{"end": {"how": "cannot-boot", "why": "no memory"}}"#;
        let broke = Outcome::Broke { cases: vec!["cannot-boot: no memory".into()] };
        assert_eq!(outcome(kernel, false), broke);
    }

    #[test]
    fn a_panic_is_noticed_without_a_case() {
        let kernel = r#"{"end": {"how": "panicked", "why": "Kernel panic: x"}}"#;
        let line = "Kernel panic: x".into();
        assert_eq!(outcome(kernel, false), Outcome::Complained { line });
    }
}
