//! Which changes are scored: all with names, and a seeded sample of the systematic ones.

use crate::change::{Change, Origin};
use crate::operator::Operator;
use crate::place::Place;
use crate::subject::{self, Named};
use crate::systematic;

/// What is drawn.
#[derive(Debug)]
pub struct Sample {
    /// How many systematic changes are to be scored in the end.
    pub wanted: usize,
    /// What they are drawn with.
    pub seed: u64,
    /// Only of this kind.
    pub operator: Option<Operator>,
    /// Only of this function.
    pub function: Option<String>,
}

/// A change with the source that it is a change of.
#[derive(Debug)]
pub struct Candidate {
    /// The change.
    pub change: Change,
    /// The whole file without it.
    pub source: String,
    /// One of those of which as many are scored as are wanted.
    pub is_drawn: bool,
    /// The pairs that it is looked for by, if it is of two processors.
    pub pairs: Vec<String>,
}

impl Sample {
    /// All systematic changes that may be scored, in the order in which they are drawn.
    ///
    /// # Errors
    /// The source has not what is to be changed.
    pub fn drawn(&self, place: &Place) -> anyhow::Result<Vec<Candidate>> {
        let mut all = Vec::new();
        for subject in subject::subjects()? {
            let source = place.pristine(&subject.file)?;
            subject.is_in(&source)?;
            let changes = systematic::changes(&subject.file, &source, &subject.functions);
            let wanted = changes.into_iter().filter(|change| self.is_wanted(change));
            all.extend(wanted.map(|change| Candidate {
                change,
                source: source.clone(),
                is_drawn: true,
                pairs: vec![],
            }));
        }
        fastrand::Rng::with_seed(self.seed).shuffle(&mut all);
        if self.wanted == 0 {
            all.clear();
        }
        Ok(all)
    }

    /// All changes with names.
    ///
    /// # Errors
    /// One of them has no place in this source.
    pub fn named(&self, place: &Place, named: &[Named]) -> anyhow::Result<Vec<Candidate>> {
        let mut all = Vec::new();
        for named in named {
            let source = place.pristine(&named.file)?;
            let change = named.change(&source)?;
            if self.function.as_ref().is_none_or(|name| *name == change.function) {
                all.push(Candidate { change, source, is_drawn: false, pairs: named.pairs.clone() });
            }
        }
        Ok(all)
    }

    fn is_wanted(&self, change: &Change) -> bool {
        let is_of_kind =
            self.operator.is_none_or(|operator| change.origin == Origin::Systematic(operator));
        is_of_kind && self.function.as_ref().is_none_or(|name| *name == change.function)
    }
}
