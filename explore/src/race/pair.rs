//! The pairs of acts that are done at the same time.

use crate::drive::at_once::Round;
use crate::history::History;
use crate::model::Slot;
use crate::step::{Setting, Step};

/// Two acts, and what is done before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Its name: the first word of each act, and what makes it another pair than that of the same
    /// words.
    pub name: &'static str,
    /// What happens at the same time.
    pub about: &'static str,
    /// The acts before, a line each.
    before: &'static str,
    /// The two.
    at_once: [&'static str; 2],
}

/// How many clients a round has; the last one comes when everything is over.
const CLIENTS: usize = 8;

/// How many of them have the same hash. Each of their hashes selects the first member of a group.
const OF_ONE_HASH: usize = 3;

impl Pair {
    /// A round of this pair, with migration or without.
    pub fn round(&self, migrates: bool) -> Round {
        let step = |line: &str| line.parse::<Step>().expect("an act of a pair");
        let migrate_req = Step::Set(Setting::MigrateReq(migrates));
        let before = self.before.lines().map(step);
        let steps = [migrate_req].into_iter().chain(before).collect();
        let before = History { slots: slots(), steps };
        Round { before, at_once: self.at_once.map(step) }
    }

    /// The first of the two acts is that the timers of requests fire: a round takes as long as they
    /// do, more than a second.
    pub fn waits(&self) -> bool {
        self.at_once[0] == "wait"
    }

    /// The two acts, as a history has them.
    pub fn acts(&self) -> [&'static str; 2] {
        self.at_once
    }
}

fn slots() -> Vec<Slot> {
    (0..CLIENTS).map(|client| (client / OF_ONE_HASH) as Slot).collect()
}

/// A listener with six requests, whose timers fire together, and another one that they can go to.
const REQUESTS: &str = "listen A backlog 8
syn C1
syn C2
syn C3
syn C4
syn C5
syn C6
listen B backlog 8";

/// The same when the first listener has closed.
const REQUESTS_OF_CLOSED: &str = "listen A backlog 8
syn C1
syn C2
syn C3
syn C4
syn C5
syn C6
listen B backlog 8
close A";

/// A listener with a request, and another one that it can go to.
const REQUEST: &str = "listen A backlog 8
syn C1
listen B backlog 8";

/// A listener with a child, and another one that it can go to.
const CHILD: &str = "listen A backlog 8
syn C1
ack C1
listen B backlog 8";

/// A listener with a Fast Open child whose handshake is not complete, and another one.
const FAST_OPEN_CHILD: &str = "listen A backlog 8 fast-open 4
fast-open-syn C1 1
listen B backlog 8 fast-open 4";

/// Every pair.
pub const PAIRS: &[Pair] = &[
    Pair {
        name: "close/syn",
        about: "a listener closes while a SYN reaches it",
        before: "listen A backlog 8\nlisten B backlog 8",
        at_once: ["close A", "syn C1"],
    },
    Pair {
        name: "close/syn-again",
        about: "a listener closes while the SYN of its request comes again",
        before: REQUEST,
        at_once: ["close A", "syn C1"],
    },
    Pair {
        name: "close/ack",
        about: "a listener closes while the last ACK of a handshake reaches it",
        before: REQUEST,
        at_once: ["close A", "ack C1"],
    },
    Pair {
        name: "close/data",
        about: "a listener closes while the last ACK of a handshake reaches it, with data",
        before: REQUEST,
        at_once: ["close A", "data C1 10"],
    },
    Pair {
        name: "close/reset",
        about: "a listener closes while its request is reset",
        before: REQUEST,
        at_once: ["close A", "reset C1"],
    },
    Pair {
        name: "close/data-of-a-child",
        about: "a listener closes while data arrive for a child in its accept queue",
        before: CHILD,
        at_once: ["close A", "data C1 10"],
    },
    Pair {
        name: "close/fin-of-a-child",
        about: "a listener closes while a FIN arrives for a child in its accept queue",
        before: CHILD,
        at_once: ["close A", "fin C1"],
    },
    Pair {
        name: "close/reset-of-a-child",
        about: "a listener closes while a child in its accept queue is reset",
        before: CHILD,
        at_once: ["close A", "reset C1"],
    },
    Pair {
        name: "close/accept",
        about: "a listener closes while the target of its child accepts",
        before: CHILD,
        at_once: ["close A", "accept B"],
    },
    Pair {
        name: "close/close",
        about: "a listener closes while the target of its child closes",
        before: "listen A backlog 8\nsyn C1\nack C1\nlisten B backlog 8\nlisten D backlog 8",
        at_once: ["close A", "close B"],
    },
    Pair {
        name: "close/close-of-both",
        about: "both listeners close, and each has a child",
        before: "listen A backlog 8\nsyn C1\nack C1\nlisten B backlog 8\nselect-index A 1\nsyn C2\nack C2\nselect-by-hash A",
        at_once: ["close A", "close B"],
    },
    Pair {
        name: "close/close-again",
        about: "both descriptors of a listener close",
        before: "listen A backlog 8\nsyn C1\nack C1\nlisten B backlog 8\nduplicate A",
        at_once: ["close A", "close A"],
    },
    Pair {
        name: "close/listen",
        about: "a listener closes while the one that could take its child begins to listen",
        before: "listen A backlog 8\nsyn C1\nack C1",
        at_once: ["close A", "listen B backlog 8"],
    },
    Pair {
        name: "close/listen-again",
        about: "a listener closes while one that was shut down listens again",
        before: "listen A backlog 8\nsyn C1\nack C1\nlisten B backlog 8\nshutdown B SHUT_RD",
        at_once: ["close A", "listen-again B backlog 8"],
    },
    Pair {
        name: "close/select-index",
        about: "a listener closes while its group gets a classic program",
        before: "listen A backlog 8\nsyn C1\nack C1\nlisten B backlog 8\nlisten D backlog 8",
        at_once: ["close A", "select-index B 0"],
    },
    Pair {
        name: "close/set",
        about: "a listener closes while the setting changes",
        before: CHILD,
        at_once: ["close A", "set net.ipv4.tcp_migrate_req 0"],
    },
    Pair {
        name: "close/fast-open-syn",
        about: "a listener closes while a SYN with data reaches it",
        before: "listen A backlog 8 fast-open 4\nlisten B backlog 8 fast-open 4",
        at_once: ["close A", "fast-open-syn C1 1"],
    },
    Pair {
        name: "close/fast-open-ack",
        about: "a listener closes while the handshake of a Fast Open child is completed",
        before: FAST_OPEN_CHILD,
        at_once: ["close A", "ack C1"],
    },
    Pair {
        name: "close/fast-open-reset",
        about: "a listener closes while a Fast Open child is reset",
        before: FAST_OPEN_CHILD,
        at_once: ["close A", "reset C1"],
    },
    Pair {
        name: "shutdown/ack",
        about: "a listener is shut down while the last ACK of a handshake reaches it",
        before: REQUEST,
        at_once: ["shutdown A SHUT_RD", "ack C1"],
    },
    Pair {
        name: "shutdown/accept",
        about: "a listener is shut down while it accepts its child",
        before: CHILD,
        at_once: ["shutdown A SHUT_RD", "accept A"],
    },
    Pair {
        name: "shutdown/listen-again",
        about: "a listener is shut down while it listens again",
        before: CHILD,
        at_once: ["shutdown A SHUT_RD", "listen-again A backlog 8"],
    },
    Pair {
        name: "listen/syn",
        about: "a second listener begins to listen while a SYN arrives",
        before: "listen A backlog 8",
        at_once: ["listen B backlog 8", "syn C1"],
    },
    Pair {
        name: "ack/ack",
        about: "the last ACK of a handshake arrives twice",
        before: REQUEST,
        at_once: ["ack C1", "ack C1"],
    },
    Pair {
        name: "ack/ack-after-a-close",
        about: "the last ACK of a handshake that migrates arrives twice",
        before: "listen A backlog 8\nsyn C1\nlisten B backlog 8\nclose A",
        at_once: ["ack C1", "ack C1"],
    },
    Pair {
        name: "ack/data",
        about: "the last ACK of a handshake arrives, and data with the same number",
        before: REQUEST,
        at_once: ["ack C1", "data C1 10"],
    },
    Pair {
        name: "ack/reset",
        about: "the last ACK of a handshake arrives, and a reset",
        before: REQUEST,
        at_once: ["ack C1", "reset C1"],
    },
    Pair {
        name: "ack/syn-again",
        about: "the last ACK of a handshake arrives, and the SYN once more",
        before: REQUEST,
        at_once: ["ack C1", "syn C1"],
    },
    Pair {
        name: "ack/accept",
        about: "the last ACK of a handshake arrives while its listener accepts",
        before: REQUEST,
        at_once: ["ack C1", "accept A"],
    },
    Pair {
        name: "syn/syn",
        about: "a SYN arrives twice",
        before: "listen A backlog 8\nlisten B backlog 8",
        at_once: ["syn C1", "syn C1"],
    },
    Pair {
        name: "accept/accept",
        about: "two threads accept on a listener that has one child",
        before: CHILD,
        at_once: ["accept A", "accept A"],
    },
    Pair {
        name: "wait/close",
        about: "the timers of requests fire while their listener closes",
        before: REQUESTS,
        at_once: ["wait", "close A"],
    },
    Pair {
        name: "wait/shutdown",
        about: "the timers of requests fire while their listener is shut down",
        before: REQUESTS,
        at_once: ["wait", "shutdown A SHUT_RD"],
    },
    Pair {
        name: "wait/ack",
        about: "the timer of a request fires while the last ACK of its handshake arrives",
        before: REQUEST,
        at_once: ["wait", "ack C1"],
    },
    Pair {
        name: "wait/ack-after-a-close",
        about: "the timer of a request that migrates fires while the last ACK of its handshake arrives",
        before: "listen A backlog 8\nsyn C1\nlisten B backlog 8\nclose A",
        at_once: ["wait", "ack C1"],
    },
    Pair {
        name: "wait/reset",
        about: "the timer of a request fires while it is reset",
        before: REQUEST,
        at_once: ["wait", "reset C1"],
    },
    Pair {
        name: "wait/set",
        about: "the timers of requests that migrate fire while the setting changes",
        before: REQUESTS_OF_CLOSED,
        at_once: ["wait", "set net.ipv4.tcp_migrate_req 0"],
    },
    Pair {
        name: "wait/close-of-the-target",
        about: "the timers of requests that migrate fire while the listener closes that they go to",
        before: REQUESTS_OF_CLOSED,
        at_once: ["wait", "close B"],
    },
];

/// The pairs whose names begin with one of these words; all of them if there is none.
pub fn chosen(words: &[String]) -> Vec<Pair> {
    let is_chosen = |pair: &&Pair| {
        words.is_empty() || words.iter().any(|word| pair.name.starts_with(word.as_str()))
    };
    PAIRS.iter().filter(is_chosen).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use std::collections::{BTreeSet, HashSet};

    /// In either order the model knows what each act does.
    #[test]
    fn both_orders_are_possible() {
        for pair in PAIRS {
            for migrates in [false, true] {
                let Round { before, at_once: [first, second] } = pair.round(migrates);
                let mut model = Model::new(BTreeSet::new(), &before.slots);
                for step in &before.steps {
                    assert!(model.allows(step), "{}: {step}", pair.name);
                    model.step(step);
                }
                for [earlier, later] in [[first, second], [second, first]] {
                    let mut model = model.clone();
                    assert!(model.allows(&earlier), "{}: {earlier}", pair.name);
                    model.step(&earlier);
                    // Time passes, too, where no timer is left.
                    let is_possible = later == Step::Wait || model.allows(&later);
                    assert!(is_possible, "{}: {later} after {earlier}", pair.name);
                }
            }
        }
    }

    #[test]
    fn a_name_is_that_of_one_pair() {
        let names: HashSet<_> = PAIRS.iter().map(|pair| pair.name).collect();
        assert_eq!(names.len(), PAIRS.len());
        for pair in PAIRS {
            let words = pair.at_once.map(|line| line.split(' ').next().unwrap_or_default());
            let (first, second) = pair.name.split_once('/').expect("two words");
            assert_eq!(first, words[0], "{}", pair.name);
            assert!(
                second.starts_with(words[1])
                    || second.starts_with("fast-open")
                    || words[1] == "syn",
                "{}",
                pair.name
            );
        }
    }
}
