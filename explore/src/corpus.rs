//! Histories that are worth changing, since they reached code of the kernel that none before them
//! had reached.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use crate::generate::Recipe;
use crate::history::History;

/// Of this many histories, one is its number's own, once there are some to change.
const OF_ITS_NUMBER: u64 = 3;

/// A place of the kernel's code after another one: a hash of both. What is new may be the order in
/// which places are reached.
type Turn = u64;

/// What one history reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    places: HashSet<u64>,
    turns: HashSet<Turn>,
}

/// What was reached so far, and which histories did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corpus {
    /// Their beginnings.
    beginnings: Vec<History>,
    places: HashSet<u64>,
    turns: HashSet<Turn>,
}

/// A history that is played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What it does before it looks at what is left.
    pub beginning: History,
    /// Whether it was made by changing others: its number alone does not make it again.
    pub is_changed: bool,
}

/// A beginning of a history that reached something, and what was new of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    beginning: History,
    places: BTreeSet<u64>,
    turns: BTreeSet<Turn>,
}

impl Made {
    /// The history of this number, whatever was reached.
    pub fn by_number(recipe: &Recipe, number: u64) -> Self {
        Self { beginning: recipe.beginning(number), is_changed: false }
    }
}

impl Reached {
    /// Adds a trace: addresses in the order in which they were reached.
    pub fn add(&mut self, trace: impl Iterator<Item = u64>) {
        let mut last = 0_u64;
        for place in trace {
            self.places.insert(place);
            self.turns.insert(last.rotate_left(21).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ place);
            last = place;
        }
    }
}

impl Corpus {
    /// What to play as this number.
    pub fn make(&self, recipe: &Recipe, number: u64) -> Made {
        if self.beginnings.is_empty() || number.is_multiple_of(OF_ITS_NUMBER) {
            return Made::by_number(recipe, number);
        }
        Made { beginning: recipe.changed(&self.beginnings, number), is_changed: true }
    }

    /// Keeps the beginning of a history that reached what none before it had; what was new.
    pub fn learn(&mut self, beginning: &History, reached: &Reached) -> Option<News> {
        let news = News {
            beginning: beginning.clone(),
            places: reached.places.difference(&self.places).copied().collect(),
            turns: reached.turns.difference(&self.turns).copied().collect(),
        };
        self.add(&news).then_some(news)
    }

    /// Adds what somebody else has learned; says whether it is new here.
    pub fn add(&mut self, news: &News) -> bool {
        let before = (self.places.len(), self.turns.len());
        self.places.extend(&news.places);
        self.turns.extend(&news.turns);
        let is_new = before != (self.places.len(), self.turns.len());
        if is_new {
            self.beginnings.push(news.beginning.clone());
        }
        is_new
    }

    /// How many places of the kernel were reached.
    pub fn places(&self) -> u64 {
        self.places.len() as u64
    }

    /// How many histories reached something that none before them had.
    pub fn kept(&self) -> u64 {
        self.beginnings.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(traces: &[&[u64]]) -> Reached {
        let mut reached = Reached::default();
        traces.iter().for_each(|trace| reached.add(trace.iter().copied()));
        reached
    }

    #[test]
    fn what_reaches_something_new_is_kept_and_is_changed() {
        let recipe = Recipe::default();
        let mut corpus = Corpus::default();
        assert_eq!(corpus.make(&recipe, 1), Made::by_number(&recipe, 1));
        let beginning = recipe.beginning(1);
        assert!(corpus.learn(&beginning, &reached(&[&[1, 2, 3], &[7]])).is_some());
        assert_eq!((corpus.places(), corpus.kept()), (4, 1));
        assert_eq!(corpus.learn(&recipe.beginning(2), &reached(&[&[1, 2], &[7]])), None);
        // No place is new, and their order is.
        assert!(corpus.learn(&recipe.beginning(3), &reached(&[&[2, 1]])).is_some());
        assert_eq!((corpus.places(), corpus.kept()), (4, 2));
        let made = corpus.make(&recipe, 1);
        assert!(made.is_changed);
        assert_eq!(made.beginning, recipe.changed(&corpus.beginnings, 1));
        assert_eq!(corpus.make(&recipe, 3), Made::by_number(&recipe, 3));
    }

    #[test]
    fn what_two_learned_is_added_once() {
        let recipe = Recipe::default();
        let (mut one, mut other) = (Corpus::default(), Corpus::default());
        let seen = reached(&[&[1, 2, 3]]);
        let news = one.learn(&recipe.beginning(1), &seen).expect("it is new");
        assert!(other.add(&news));
        assert!(!other.add(&news));
        assert_eq!(one, other);
    }

    #[test]
    fn a_corpus_is_read_as_it_was_written() {
        let recipe = Recipe::default();
        let mut corpus = Corpus::default();
        corpus.learn(&recipe.beginning(1), &reached(&[&[u64::MAX, 0]]));
        let text = serde_json::to_string(&corpus).expect("JSON");
        assert_eq!(serde_json::from_str::<Corpus>(&text).expect("a corpus"), corpus);
    }
}
