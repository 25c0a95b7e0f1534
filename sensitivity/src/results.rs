//! What is known already: a line for each change that is done, so that a run that was ended goes on.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// What came of one change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The change's id.
    pub id: String,
    /// The whole kernel that it is a change of.
    pub base: String,
    /// The sockmig and its cases that ran on it.
    pub suite: String,
    /// The change, in words.
    pub change: String,
    /// What cases said.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// All lines, and the file that they are in.
#[derive(Debug)]
pub struct Results {
    known: HashMap<(String, String, String), Outcome>,
    /// What any suite has said last on any kernel of the same source.
    earlier: HashMap<String, Outcome>,
    file: Mutex<File>,
}

impl Results {
    /// Those of this file, which may not be there yet.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let text = match fs::read_to_string(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        // Whoever was killed while writing has left half a line; its change is done again.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
        let (mut known, mut earlier) = (HashMap::new(), HashMap::new());
        for line in lines {
            // What was noticed once is noticed: suites and kernels have more later on, and not less.
            if !earlier.get(&line.id).is_some_and(Outcome::outlasts_the_suite) {
                earlier.insert(line.id.clone(), line.outcome.clone());
            }
            known.insert((line.id, line.base, line.suite), line.outcome);
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").context("cannot write the results")?;
        }
        Ok(Self { known, earlier, file: Mutex::new(file) })
    }

    /// What came of a change by any suite, whose cases are among those of now, on a kernel that may
    /// have had fewer options.
    pub fn earlier(&self, id: &str) -> Option<&Outcome> {
        self.earlier.get(id)
    }

    /// What came of a change earlier, on the same kernel by the same suite.
    pub fn of(&self, id: &str, base: &str, suite: &str) -> Option<&Outcome> {
        self.known.get(&(id.to_owned(), base.to_owned(), suite.to_owned()))
    }

    /// Keeps a line.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&self, line: &Line) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(text.as_bytes()).context("cannot write the results")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str) -> Line {
        let [base, suite, change] = ["b", "s", "c"].map(String::from);
        Line { id: id.into(), base, suite, change, outcome: Outcome::Survived }
    }

    #[test]
    fn half_a_line_is_done_again_and_harms_no_other() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("results.jsonl");
        Results::open(&path).expect("results").keep(&line("1")).expect("kept");
        let mut text = fs::read_to_string(&path).expect("text");
        text.push_str("{\"id\": \"2\", \"ba");
        fs::write(&path, text).expect("written");
        Results::open(&path).expect("results").keep(&line("3")).expect("kept");
        let results = Results::open(&path).expect("results");
        let known = ["1", "2", "3"].map(|id| results.of(id, "b", "s").is_some());
        assert_eq!(known, [true, false, true]);
        assert_eq!(results.of("1", "b", "another suite"), None);
    }

    #[test]
    fn what_was_noticed_once_stays_so() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("results.jsonl");
        let noticed = Outcome::Noticed { cases: vec!["quiz1/v4/on".into()] };
        let results = Results::open(&path).expect("results");
        results.keep(&Line { outcome: noticed.clone(), ..line("1") }).expect("kept");
        let another = Line { suite: "another suite".into(), ..line("1") };
        for survived in [another, line("2")] {
            results.keep(&survived).expect("kept");
        }
        let results = Results::open(&path).expect("results");
        assert_eq!(results.earlier("1"), Some(&noticed));
        assert_eq!(results.earlier("2"), Some(&Outcome::Survived));
        assert_eq!(results.earlier("3"), None);
    }
}
