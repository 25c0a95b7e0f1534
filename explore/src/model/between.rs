//! What two steps at the same time can come to that neither order of them comes to: the kernel
//! looks at something twice, and between the two looks another processor changes it.
//!
//! Each is a way that healthy kernels have, and says which lines of the kernel leave it open.

use serde::{Deserialize, Serialize};

use crate::model::seen::{Answer, Counter, Seen};
use crate::model::state::{Connection, Model, Request, Timer};
use crate::step::{ClientId, ListenerId, Segment, Step};

/// What happens between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Between {
    /// The listener closes after a segment that completes a handshake has found it, and before
    /// the child is in its accept queue.
    ChildForgotten,
    /// The listener has given its port back before the child can have it from it.
    PortGone,
    /// The same of a SYN with data: its child cannot be made, and it is taken for any SYN.
    FastOpenPortGone,
    /// The listener closes after a SYN with data has found it, and before the child is in its
    /// accept queue.
    FastOpenChildForgotten,
    /// Two segments of one client make a child each, and one of these is thrown away.
    TwoChildren,
    /// Two SYNs of one client make a request each, and one of these is thrown away.
    TwoRequests,
    /// A child is thrown away, since a reset has ended its request meanwhile.
    ChildOfNoRequest,
    /// A reset finds that a child was made of its request meanwhile, and then ends that.
    ResetOfTwo,
    /// The last two listeners leave their group before either moves its children.
    BothLeave,
}

impl Between {
    /// All.
    pub const ALL: [Self; 9] = [
        Self::ChildForgotten,
        Self::PortGone,
        Self::FastOpenPortGone,
        Self::FastOpenChildForgotten,
        Self::TwoChildren,
        Self::TwoRequests,
        Self::ChildOfNoRequest,
        Self::ResetOfTwo,
        Self::BothLeave,
    ];

    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChildForgotten => "child-forgotten",
            Self::PortGone => "port-gone",
            Self::FastOpenPortGone => "fast-open-port-gone",
            Self::FastOpenChildForgotten => "fast-open-child-forgotten",
            Self::TwoChildren => "two-children",
            Self::TwoRequests => "two-requests",
            Self::ChildOfNoRequest => "child-of-no-request",
            Self::ResetOfTwo => "reset-of-two",
            Self::BothLeave => "both-leave",
        }
    }

    /// What happens, in a sentence with the kernel's functions.
    pub fn about(self) -> &'static str {
        match self {
            Self::ChildForgotten => {
                "`tcp_v4_rcv()` saw the listener in TCP_LISTEN, and `inet_csk_reqsk_queue_add()` \
                 does not any more: `inet_child_forget()` resets the child, which nothing counts"
            }
            Self::PortGone => {
                "`tcp_v4_syn_recv_sock()` made a child, and `__inet_inherit_port()` finds that the \
                 listener has no port any more: the ACK is dropped, and the request stays, so that \
                 its SYN+ACK is sent again"
            }
            Self::FastOpenPortGone => {
                "`__inet_inherit_port()` finds that the listener has no port any more: no Fast Open \
                 child is made, and the SYN gets a request without its data"
            }
            Self::FastOpenChildForgotten => {
                "`inet_csk_reqsk_queue_add()` finds that the listener is not in TCP_LISTEN any \
                 more: the Fast Open child is reset after its SYN+ACK"
            }
            Self::TwoChildren => {
                "`tcp_check_req()` made a child for each of two segments, and only the one that \
                 unlinks the request keeps its own (`inet_csk_complete_hashdance()`)"
            }
            Self::TwoRequests => {
                "`inet_csk_reqsk_queue_hash_add()` finds the request of the other SYN in the \
                 table, and this one is dropped without an answer"
            }
            Self::ChildOfNoRequest => {
                "`inet_csk_complete_hashdance()` cannot unlink the request, which a reset has \
                 dropped meanwhile: the child is thrown away"
            }
            Self::ResetOfTwo => {
                "`tcp_check_req()` counts the reset of a request which another processor has made a \
                 child of; the segment is looked up again, and resets the child"
            }
            Self::BothLeave => {
                "both listeners were out of `socks[]` (`reuseport_stop_listen_sock()`) before either \
                 moved its children (`inet_csk_listen_stop()`): none moves on its way to be reset"
            }
        }
    }

    /// Whether a client loses its connection by that although another listener could have taken
    /// it.
    pub fn loses(self) -> bool {
        matches!(self, Self::ChildForgotten | Self::FastOpenChildForgotten)
    }
}

impl Model {
    /// What two steps at the same time can come to besides their two orders: what the server has
    /// then, and what is seen.
    pub fn between(&self, steps: &[Step; 2]) -> Vec<(Between, Self, Seen)> {
        let happens = |between: Between| {
            let mut model = self.clone();
            let seen = model.happens(between, steps)?;
            Some((between, model, seen))
        };
        Between::ALL.into_iter().filter_map(happens).collect()
    }

    fn happens(&mut self, between: Between, steps: &[Step; 2]) -> Option<Seen> {
        self.seen = Seen::default();
        match between {
            Between::ChildForgotten => {
                let (end, listener, client) = self.completes_while_it_ends(steps)?;
                let num_timeout = self.request(client)?.num_timeout;
                let ack = self.client(client).next;
                self.count(Counter::PassiveOpens);
                self.request_removed(listener, num_timeout);
                self.answer(client, Answer::Abort { seq: 1, ack });
                self.forget(client);
                Some(self.then(&end))
            }
            Between::PortGone => {
                let (end, _, client) = self.completes_while_it_ends(steps)?;
                if !matches!(end, Step::Close { .. }) {
                    return None;
                }
                self.count(Counter::PassiveOpens);
                self.count(Counter::AttemptFails);
                self.count(Counter::ListenDrops);
                self.request(client)?.acked = true;
                Some(self.then(&end))
            }
            Between::FastOpenPortGone => {
                let (end, listener, client, _) = self.fast_open_while_it_ends(steps)?;
                self.count(Counter::AttemptFails);
                self.count(Counter::ListenDrops);
                self.add_request(listener, client);
                Some(self.then(&end))
            }
            Between::FastOpenChildForgotten => {
                let (end, _, client, bytes) = self.fast_open_while_it_ends(steps)?;
                let ack = 1 + bytes;
                self.count(Counter::FastOpenPassive);
                self.count(Counter::PassiveOpens);
                self.count(Counter::ListenDrops);
                self.answer(client, Answer::SynAck { ack });
                self.answer(client, Answer::Abort { seq: 1, ack });
                Some(self.then(&end))
            }
            Between::TwoChildren => {
                let client = self.both_complete(steps)?;
                self.has_request(client).then_some(())?;
                let [first, second] = steps;
                let mut seen = self.step(first).and_then(self.step(second));
                *seen.counters.entry(Counter::PassiveOpens).or_default() += 1;
                Some(seen)
            }
            Between::TwoRequests => match steps {
                [
                    first @ Step::Send { client, segment: Segment::Syn },
                    Step::Send { client: other, segment: Segment::Syn },
                ] if client == other && !self.has_request(*client) => Some(self.step(first)),
                _ => None,
            },
            Between::ChildOfNoRequest => {
                let (complete, reset) = self.completes_and_resets(steps)?;
                let mut seen = self.step(&reset).and_then(self.step(&complete));
                *seen.counters.entry(Counter::PassiveOpens).or_default() += 1;
                Some(seen)
            }
            Between::ResetOfTwo => {
                let (complete, reset) = self.completes_and_resets(steps)?;
                let mut seen = self.step(&complete).and_then(self.step(&reset));
                *seen.counters.entry(Counter::AttemptFails).or_default() += 1;
                Some(seen)
            }
            Between::BothLeave => {
                let [first @ Step::Close { .. }, second @ Step::Close { .. }] = steps else {
                    return None;
                };
                let mut seen = self.step(first).and_then(self.step(second));
                let was_on_its_way = seen.counters.remove(&Counter::MigrateReqSuccess).is_some();
                (was_on_its_way && self.members().is_empty()).then_some(seen)
            }
        }
    }

    /// What was seen until now, and what is seen of a step after it.
    fn then(&mut self, step: &Step) -> Seen {
        let until_now = std::mem::take(&mut self.seen);
        until_now.and_then(self.step(step))
    }

    fn has_request(&self, client: ClientId) -> bool {
        matches!(self.clients[client.0].connection, Connection::Request(_))
    }

    /// A SYN is answered by a listener that has closed meanwhile.
    fn add_request(&mut self, listener: ListenerId, client: ClientId) {
        self.client(client).next = 1;
        self.request_added(listener, 0);
        let timer = Timer::set(self.now, 0);
        let request = Request { listener, num_timeout: 0, acked: false, timer };
        self.client(client).connection = Connection::Request(request);
        self.answer(client, Answer::SynAck { ack: 1 });
    }

    /// One step ends a listener, and the other one completes the handshake of a request of it.
    fn completes_while_it_ends(&self, steps: &[Step; 2]) -> Option<(Step, ListenerId, ClientId)> {
        let (end, listener, client, segment) = self.reaches_while_it_ends(steps)?;
        let Connection::Request(request) = &self.clients[client.0].connection else { return None };
        (request.listener == listener && completes(segment)).then_some((end, listener, client))
    }

    /// One step ends a listener, and the other one is a SYN with data that reaches it.
    fn fast_open_while_it_ends(
        &self,
        steps: &[Step; 2],
    ) -> Option<(Step, ListenerId, ClientId, u32)> {
        let (end, listener, client, segment) = self.reaches_while_it_ends(steps)?;
        let Segment::FastOpenSyn(bytes) = segment else { return None };
        let is_new = matches!(self.clients[client.0].connection, Connection::Nothing);
        (is_new && self.would_select(client) == Some(listener))
            .then_some((end, listener, client, bytes))
    }

    fn reaches_while_it_ends(
        &self,
        steps: &[Step; 2],
    ) -> Option<(Step, ListenerId, ClientId, Segment)> {
        let (end, send) = match steps {
            [send @ Step::Send { .. }, end] | [end, send @ Step::Send { .. }] => (*end, *send),
            _ => return None,
        };
        let listener = match end {
            Step::Close { listener } => listener,
            Step::Shutdown { listener, how } if how.ends_listening() => listener,
            _ => return None,
        };
        let Step::Send { client, segment } = send else { return None };
        self.listens(listener).then_some((end, listener, client, segment))
    }

    /// Both steps are segments of one client that complete a handshake.
    fn both_complete(&self, steps: &[Step; 2]) -> Option<ClientId> {
        match steps {
            [
                Step::Send { client, segment: first },
                Step::Send { client: other, segment: second },
            ] if client == other && completes(*first) && completes(*second) => Some(*client),
            _ => None,
        }
    }

    /// One step completes the handshake of a request, and the other one resets it.
    fn completes_and_resets(&self, steps: &[Step; 2]) -> Option<(Step, Step)> {
        let [first, second] = *steps;
        let (Step::Send { client, segment: one }, Step::Send { client: other, segment: two }) =
            (first, second)
        else {
            return None;
        };
        if client != other || !self.has_request(client) {
            return None;
        }
        match (one, two) {
            (complete, Segment::Reset) if completes(complete) => Some((first, second)),
            (Segment::Reset, complete) if completes(complete) => Some((second, first)),
            _ => None,
        }
    }
}

fn completes(segment: Segment) -> bool {
    matches!(segment, Segment::Ack | Segment::Data(_) | Segment::Fin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A listener with a request, and another one; the two steps.
    fn between(steps: [&str; 2]) -> Vec<(Between, Seen)> {
        let mut model = Model::new(BTreeSet::new(), &[0, 0]);
        let before = [
            "set net.ipv4.tcp_migrate_req 1",
            "listen A backlog 4",
            "syn C1",
            "listen B backlog 4",
        ];
        for line in before {
            model.step(&line.parse().expect("a step"));
        }
        let steps = steps.map(|line| line.parse().expect("a step"));
        model.between(&steps).into_iter().map(|(between, _, seen)| (between, seen)).collect()
    }

    #[test]
    fn a_child_is_lost_between_the_look_up_and_the_accept_queue() {
        for steps in [["close A", "ack C1"], ["ack C1", "close A"]] {
            let found = between(steps);
            let names: Vec<Between> = found.iter().map(|(between, _)| *between).collect();
            assert_eq!(names, [Between::ChildForgotten, Between::PortGone]);
            let (lost, dropped) = (&found[0].1, &found[1].1);
            assert_eq!(lost.answers, [(ClientId(0), Answer::Abort { seq: 1, ack: 1 })]);
            assert_eq!(lost.counters[&Counter::OutRsts], 1);
            assert_eq!(lost.counters.get(&Counter::MigrateReqSuccess), None);
            assert_eq!(dropped.answers, []);
            assert_eq!(dropped.counters[&Counter::ListenDrops], 1);
        }
    }

    #[test]
    fn a_listener_that_is_shut_down_keeps_its_port() {
        let found = between(["shutdown A SHUT_RD", "data C1 5"]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, Between::ChildForgotten);
    }

    #[test]
    fn another_listener_s_end_or_a_syn_leaves_nothing_open() {
        assert_eq!(between(["close B", "ack C1"]), []);
        assert_eq!(between(["close A", "syn C1"]), []);
        assert_eq!(between(["close A", "close B"]), []);
    }

    #[test]
    fn nothing_moves_where_both_have_left() {
        assert_eq!(between(["close B", "close A"]), []);
        let mut model = Model::new(BTreeSet::new(), &[0, 0]);
        let before = [
            "set net.ipv4.tcp_migrate_req 1",
            "listen A backlog 4",
            "syn C1",
            "ack C1",
            "listen B backlog 4",
        ];
        for line in before {
            model.step(&line.parse().expect("a step"));
        }
        let steps = ["close A", "close B"].map(|line| line.parse().expect("a step"));
        let found = model.between(&steps);
        assert_eq!(found.len(), 1);
        let (between, _, seen) = &found[0];
        assert_eq!(*between, Between::BothLeave);
        assert_eq!(seen.answers, [(ClientId(0), Answer::Abort { seq: 1, ack: 1 })]);
        assert_eq!(seen.counters.get(&Counter::MigrateReqSuccess), None);
    }

    #[test]
    fn a_child_too_many_is_counted() {
        let found = between(["ack C1", "data C1 5"]);
        assert_eq!(found[0].0, Between::TwoChildren);
        assert_eq!(found[0].1.counters[&Counter::PassiveOpens], 2);
    }
}
