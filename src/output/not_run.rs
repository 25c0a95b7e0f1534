//! Which runs of cases have no verdict when a run has ended early.

use std::collections::BTreeSet;

use scenarios::engine::Outcome;

use crate::output::consumer::Run;

/// Notes what has ended.
#[derive(Debug, Default)]
pub struct NotRun {
    /// Ids and rounds.
    finished: BTreeSet<(String, u32)>,
}

impl NotRun {
    /// A run of a case has ended.
    pub fn finished(&mut self, outcome: &Outcome) {
        self.finished.insert((outcome.id.clone(), outcome.round));
    }

    /// The title and the id of every one that has not, in the order in which they were to end.
    pub fn runs(&self, run: &Run) -> Vec<(String, String)> {
        let all = (1..=run.rounds)
            .flat_map(|round| run.selection.iter().map(move |selected| (selected.id(), round)));
        let left = all.filter(|of| !self.finished.contains(of));
        left.map(|(id, round)| (run.title_of(&id, round), id)).collect()
    }

    /// Their titles.
    pub fn titles(&self, run: &Run) -> Vec<String> {
        self.runs(run).into_iter().map(|(title, _)| title).collect()
    }
}
