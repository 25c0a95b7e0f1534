//! Runs of written cases, held against the model: what was done in a case is done to the model,
//! and both must agree on everything that both know.
//!
//! | file | what is in it |
//! |---|---|
//! | `left_out` | why a case cannot be held against the model |
//! | `segment` | what a captured segment is to the model |
//! | `client` | clients, and what their own sockets count |
//! | `expected` | what must still be seen: segments, counters, who is woken |
//! | `acts` | what an act is to the model |
//! | `mismatch` | in what the two do not agree |
//! | `player` | plays a trace, line by line |
//! | `deeds` | does what acts say |
//!
//! Which listener of a group the hash selects is not in a record. Where more than one is
//! possible the model tries each: it agrees if there are hashes with which it does, the same one
//! for everything that a connection meets.

mod acts;
mod client;
mod deeds;
mod expected;
mod left_out;
mod mismatch;
mod player;
mod segment;

use std::collections::{BTreeMap, BTreeSet};

use harness::trace::Line;

use crate::model::{Choices, ModelBug, Slot};
use crate::recorded::mismatch::Ended;
use crate::recorded::player::Player;

pub use left_out::LeftOut;
pub use mismatch::{Fact, Mismatch};

/// What came of a case's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compared {
    /// Model and kernel agree.
    Agree {
        /// In how many facts, one at least: results, segments, counters, lengths of queues, wake-ups.
        facts: usize,
        /// What the hash has decided, which is another one in each namespace.
        by_hash: ByHash,
    },
    /// The model does not know something that is done in it.
    LeftOut(LeftOut),
    /// They do not agree.
    Disagree {
        /// The index of the line of the trace where they differ; the number of lines if something
        /// is missing at its end.
        line: usize,
        /// In what.
        in_what: Mismatch,
    },
}

/// What the hash has decided that the record shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ByHash {
    /// Nothing.
    Nothing,
    /// Which listener got a connection. The record is the same where connections have hashes of
    /// these slots: of each client, those of its connections, in their order.
    Slots(BTreeMap<String, Vec<Option<Slot>>>),
    /// Which listener got a connection, of so many that no slot says which.
    NoSlot,
}

/// So many combinations of hashes are tried at most.
const TRIES: usize = 1000;

/// Holds the record of a run against a model with these bugs.
pub fn compare(trace: &[Line], bugs: &BTreeSet<ModelBug>) -> Compared {
    let mut choices = Choices::default();
    // The one that got furthest has the best guesses.
    let mut furthest: Option<(usize, Mismatch)> = None;
    for _ in 0..TRIES {
        let mut player = Player::new(trace, bugs, choices);
        let (line, in_what) = match player.play() {
            Ok(facts) => {
                let shows = player.hash_has_decided()
                    && (furthest.is_some() || !agrees_anyhow(trace, bugs, player.choices()));
                let by_hash = match shows {
                    true => player.slots().map_or(ByHash::NoSlot, ByHash::Slots),
                    false => ByHash::Nothing,
                };
                return Compared::Agree { facts, by_hash };
            }
            Err(Ended::LeftOut(why)) => return Compared::LeftOut(why),
            Err(Ended::Disagrees { line, in_what }) => (line, in_what),
        };
        if furthest.as_ref().is_none_or(|(before, _)| line > *before) {
            furthest = Some((line, in_what));
        }
        match player.choices().next() {
            Some(next) => choices = next,
            // All were tried.
            None => {
                return furthest
                    .map_or(Compared::LeftOut(LeftOut::ManyHashes), |(line, in_what)| {
                        Compared::Disagree { line, in_what }
                    });
            }
        }
    }
    Compared::LeftOut(LeftOut::ManyHashes)
}

/// More combinations of hashes than this are not tried to find one that shows.
const OTHERS: usize = 100;

/// Whether the record would be the same if the hash had decided in any other way.
fn agrees_anyhow(trace: &[Line], bugs: &BTreeSet<ModelBug>, first: &Choices) -> bool {
    let mut choices = first.next();
    for _ in 0..OTHERS {
        let Some(other) = choices else { return true };
        let mut player = Player::new(trace, bugs, other);
        if player.play().is_err() {
            return false;
        }
        choices = player.choices().next();
    }
    false
}
