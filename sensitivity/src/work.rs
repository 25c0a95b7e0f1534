//! Changes are scored, several at a time, until enough are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{fs, thread};

use anyhow::Context;

use crate::kernel::{Builder, Built};
use crate::place::Place;
use crate::results::{Line, Results};
use crate::sample::Candidate;
use crate::score::{Outcome, Suite};

/// What scoring needs.
#[derive(Debug)]
pub struct Work<'a> {
    /// Builds kernels.
    pub builder: &'a Builder,
    /// Runs cases on them.
    pub suite: &'a Suite,
    /// Where everything is.
    pub place: &'a Place,
    /// What is known already.
    pub results: &'a Results,
}

impl Work<'_> {
    /// What came of each candidate, in their order; nothing for those that were not needed.
    ///
    /// # Errors
    /// The first that stood in the way of a candidate.
    pub fn done(
        &self,
        candidates: &[Candidate],
        wanted: usize,
        jobs: usize,
    ) -> anyhow::Result<Vec<Option<Outcome>>> {
        let suite = self.suite_id()?;
        let (next, scored) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let outcomes = Mutex::new(vec![None; candidates.len()]);
        let failed = Mutex::new(None);
        let keep = |at: usize, outcome: Outcome| {
            outcomes.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(outcome);
        };
        let worker = || {
            while let Some(at) =
                Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < candidates.len())
            {
                let candidate = &candidates[at];
                let is_enough = scored.load(Ordering::Relaxed) >= wanted;
                if candidate.is_drawn && is_enough
                    || failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
                {
                    return;
                }
                match self.one(candidate, &suite) {
                    Ok(outcome) => {
                        let counts = candidate.is_drawn && outcome.is_scored();
                        let so_far = scored.fetch_add(usize::from(counts), Ordering::Relaxed);
                        eprintln!(
                            "{}{}: {outcome}",
                            self.progress(candidate, so_far + usize::from(counts), wanted),
                            candidate.change
                        );
                        keep(at, outcome);
                    }
                    Err(e) => {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                scope.spawn(worker);
            }
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(e) => Err(e),
            None => Ok(outcomes.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn progress(&self, candidate: &Candidate, scored: usize, wanted: usize) -> String {
        if candidate.is_drawn { format!("[{scored}/{wanted}] ") } else { String::new() }
    }

    fn one(&self, candidate: &Candidate, suite: &str) -> anyhow::Result<Outcome> {
        let id = candidate.change.id(&candidate.source);
        if let Some(known) = self.results.of(&id, &self.builder.base, suite) {
            return Ok(known.clone());
        }
        let outcome = match self.builder.build(&candidate.change, &candidate.source)? {
            Built::SameCode => Outcome::SameCode,
            Built::DoesNotCompile => Outcome::DoesNotCompile,
            Built::Kernel(kernel) => self.suite.score(&kernel, &self.place.run(&id))?,
        };
        // A kernel is megabytes, and quickly built again.
        if outcome.is_noticed() {
            let _ = fs::remove_file(self.place.kernel(&id));
            let _ = fs::remove_dir_all(self.place.run(&id));
        }
        self.results.keep(&Line {
            id,
            base: self.builder.base.clone(),
            suite: suite.to_owned(),
            change: candidate.change.to_string(),
            outcome: outcome.clone(),
        })?;
        Ok(outcome)
    }

    /// A sockmig of other bytes may have other cases.
    fn suite_id(&self) -> anyhow::Result<String> {
        use sha2::{Digest, Sha256};
        let file = &self.suite.sockmig;
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let digest = Sha256::digest(&bytes);
        let digest: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{digest} {}", self.suite.cases.join(" ")))
    }
}
