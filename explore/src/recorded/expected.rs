//! What the model says must be seen, and was not yet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{Answer, Counter, Seen};
use crate::step::{ClientId, ListenerId};

/// What must still be seen.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// Segments of the server.
    answers: BTreeMap<ClientId, VecDeque<Answer>>,
    /// By how much counters have grown since they were read last.
    grown: BTreeMap<Counter, i64>,
    /// Something was done whose counters are not known.
    counters_are_unknown: bool,
    waiters: BTreeMap<ListenerId, Vec<Waiter>>,
}

/// Who waits for a listener.
#[derive(Debug, Clone, Default)]
struct Waiter {
    /// A child was there already.
    found_child: bool,
    woken: bool,
}

impl Expected {
    /// The model has taken a step.
    pub fn add(&mut self, seen: Seen) {
        for (client, answer) in seen.answers {
            self.answers.entry(client).or_default().push_back(answer);
        }
        for (counter, grown) in seen.counters {
            *self.grown.entry(counter).or_default() += grown;
        }
        self.wake(&seen.woken);
    }

    fn wake(&mut self, woken: &BTreeSet<ListenerId>) {
        for (listener, waiters) in &mut self.waiters {
            for waiter in waiters {
                waiter.woken |= woken.contains(listener);
            }
        }
    }

    /// Something is counted that the model has not counted.
    pub fn count(&mut self, counter: Counter) {
        *self.grown.entry(counter).or_default() += 1;
    }

    /// From here on the counters are not known.
    pub fn forget_counters(&mut self) {
        self.counters_are_unknown = true;
    }

    /// What the server must send to a client next.
    pub fn next_answer(&self, client: ClientId) -> Option<Answer> {
        self.answers.get(&client)?.front().copied()
    }

    /// It has sent it.
    pub fn answered(&mut self, client: ClientId) {
        if let Some(answers) = self.answers.get_mut(&client) {
            answers.pop_front();
        }
    }

    /// A client is over; what it would be sent does not matter.
    pub fn forget_answers(&mut self, client: ClientId) {
        self.answers.remove(&client);
    }

    /// What the server should have sent.
    pub fn unanswered(&self) -> Option<(ClientId, Answer)> {
        let first =
            |(client, answers): (&ClientId, &VecDeque<Answer>)| Some((*client, *answers.front()?));
        self.answers.iter().find_map(first)
    }

    /// The counters are read: by how much each must have grown since they were read last. Nothing
    /// where that is not known.
    pub fn counters_are_read(&mut self) -> Option<BTreeMap<Counter, i64>> {
        let grown = std::mem::take(&mut self.grown);
        (!self.counters_are_unknown).then_some(grown)
    }

    /// Somebody begins to wait for a listener, which has this number of children.
    pub fn begin_waiting(&mut self, listener: ListenerId, children: u32) {
        let waiter = Waiter { found_child: children > 0, woken: false };
        self.waiters.entry(listener).or_default().push(waiter);
    }

    /// Whether who waits for a listener must have been woken; nothing where that is not known:
    /// when several wait, or a child was there before.
    pub fn is_woken(&self, listener: ListenerId) -> Option<bool> {
        match self.waiters.get(&listener).map(Vec::as_slice) {
            Some([Waiter { found_child: false, woken }]) => Some(*woken),
            _ => None,
        }
    }
}
