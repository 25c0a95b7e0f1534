//! Changes are scored, several at a time, until enough are.

use std::sync::{Mutex, PoisonError};
use std::{fs, thread};

use crate::change::Change;
use crate::kernel::{Builder, Built};
use crate::outcome::Outcome;
use crate::place::Place;
use crate::results::{Line, Results};
use crate::sample::Candidate;
use crate::score::Suite;
use crate::survivor::{self, Survivor};

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
    /// The pairs that any change is looked for by.
    pub pairs: &'a [String],
    /// If only survivors that count are scored: what is known of survivors.
    pub only_survivors: Option<&'a [Survivor]>,
}

/// The id of the kernel without any change.
const WHOLE: &str = "whole";

/// What those who score share.
struct Shared {
    /// The next candidate.
    next: usize,
    /// How many of those that were drawn count.
    scored: usize,
    outcomes: Vec<Option<Outcome>>,
    failed: Option<anyhow::Error>,
}

impl Work<'_> {
    /// What cases say of the kernel without any change.
    ///
    /// # Errors
    /// They cannot be run.
    pub fn whole(&self) -> anyhow::Result<Outcome> {
        if let Some(known) = self.known(WHOLE) {
            return Ok(known);
        }
        let place = self.place.run(WHOLE);
        let outcome = self.suite.score(&self.builder.whole(), &place, self.pairs)?;
        // Where something else is in its way, it is tried again the next time.
        if outcome == Outcome::Survived {
            self.keep(WHOLE, "no change", &outcome)?;
        }
        Ok(outcome)
    }

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
        let outcomes = vec![None; candidates.len()];
        let shared = Mutex::new(Shared { next: 0, scored: 0, outcomes, failed: None });
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = || {
            loop {
                let Some(at) = lock().next(candidates, wanted) else { return };
                let candidate = &candidates[at];
                let outcome = self.one(candidate);
                let mut shared = lock();
                match outcome {
                    Ok(outcome) => {
                        let mut progress = String::new();
                        if candidate.is_drawn {
                            shared.scored += usize::from(outcome.is_scored());
                            progress = format!("[{}/{wanted}] ", shared.scored);
                        }
                        eprintln!("{progress}{}: {outcome}", candidate.change);
                        shared.outcomes[at] = Some(outcome);
                    }
                    Err(e) => drop(shared.failed.get_or_insert(e)),
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..jobs.max(1) {
                scope.spawn(worker);
            }
        });
        let shared = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        shared.failed.map_or(Ok(shared.outcomes), Err)
    }

    fn one(&self, candidate: &Candidate) -> anyhow::Result<Outcome> {
        let id = candidate.change.id(&candidate.source);
        let settled = || self.settled(&candidate.change, &id);
        if let Some(known) = self.known(&id).or_else(settled) {
            return Ok(known);
        }
        let outcome = match self.builder.build(&candidate.change, &candidate.source)? {
            Built::SameCode => Outcome::SameCode,
            Built::DoesNotCompile => Outcome::DoesNotCompile,
            Built::Kernel(kernel) => {
                self.suite.score(&kernel, &self.place.run(&id), &candidate.pairs)?
            }
        };
        // A kernel is megabytes, and quickly built again.
        if outcome.is_noticed() {
            let _ = fs::remove_file(self.place.kernel(&id));
            let _ = fs::remove_dir_all(self.place.run(&id));
        }
        self.keep(&id, &candidate.change.to_string(), &outcome)?;
        Ok(outcome)
    }

    /// What is taken over from an earlier suite: that a change was noticed, or that it survived and no
    /// case could notice it.
    fn settled(&self, change: &Change, id: &str) -> Option<Outcome> {
        let survivors = self.only_survivors?;
        let earlier = self.results.earlier(id)?;
        let counts = survivor::of(change, survivors).is_none_or(|known| known.class.counts());
        (earlier.outlasts_the_suite() || !counts).then(|| earlier.clone())
    }

    fn known(&self, id: &str) -> Option<Outcome> {
        self.results.of(id, &self.builder.base, &self.suite.id).cloned()
    }

    fn keep(&self, id: &str, change: &str, outcome: &Outcome) -> anyhow::Result<()> {
        self.results.keep(&Line {
            id: id.to_owned(),
            base: self.builder.base.clone(),
            suite: self.suite.id.clone(),
            change: change.to_owned(),
            outcome: outcome.clone(),
        })
    }
}

impl Shared {
    /// The next candidate, unless enough are scored or something stands in the way.
    fn next(&mut self, candidates: &[Candidate], wanted: usize) -> Option<usize> {
        let candidate = candidates.get(self.next)?;
        if self.failed.is_some() || candidate.is_drawn && self.scored >= wanted {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}
