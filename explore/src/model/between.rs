//! What two steps at the same time can come to that neither order of them comes to: the kernel
//! looks at something twice, and between the two looks another processor changes it.
//!
//! Each is a way that healthy kernels have, or a known bug, and says which lines of the kernel leave
//! it open.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::model::behaviour::ModelBug;
use crate::model::seen::{Answer, Counter, Seen};
use crate::model::state::{ChildState, Connection, Model, Request, Timer};
use crate::step::{ClientId, ListenerId, Segment, Setting, Step};

/// More timers than this are of no interest: each could fire before or after something.
const MOST_TIMERS: usize = 8;

/// The flags of a FIN.
const FIN_ACK: u8 = 0x11;

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
    /// A child is made while its listener is shut down already and still in TCP_LISTEN: it is shut
    /// down, too, and then migrates or is reset. A bug.
    ChildShutDown,
    /// A segment has found a child that is reset before it is looked at, or a SYN a listener that
    /// is closed before.
    SegmentDropped,
    /// Migration is turned off after a listener that closes has kept its place in the group, and
    /// before it moves its children.
    TurnedOffWithin,
    /// Some timers fire before the other step, and others after it.
    SomeTimers,
}

impl Between {
    /// All.
    pub const ALL: [Self; 13] = [
        Self::ChildForgotten,
        Self::PortGone,
        Self::FastOpenPortGone,
        Self::FastOpenChildForgotten,
        Self::TwoChildren,
        Self::TwoRequests,
        Self::ChildOfNoRequest,
        Self::ResetOfTwo,
        Self::BothLeave,
        Self::ChildShutDown,
        Self::SegmentDropped,
        Self::TurnedOffWithin,
        Self::SomeTimers,
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
            Self::ChildShutDown => "child-shut-down",
            Self::SegmentDropped => "segment-dropped",
            Self::TurnedOffWithin => "turned-off-within",
            Self::SomeTimers => "some-timers",
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
            Self::ChildShutDown => {
                "`__tcp_close()` had set `sk_shutdown` of the listener, which was still in TCP_LISTEN: \
                 the child has that from it (`sk_clone_lock()`), and sends a FIN; if it migrates, the \
                 server that accepts it can neither read nor write, and otherwise it is reset"
            }
            Self::SegmentDropped => {
                "`tcp_v4_rcv()` found the child, or the listener of a SYN, which is in TCP_CLOSE when \
                 the segment's turn comes: it is dropped without an answer"
            }
            Self::TurnedOffWithin => {
                "`reuseport_stop_listen_sock()` read the setting as 1, and \
                 `reuseport_migrate_sock()` reads it as 0: each child is reset, and counted as a \
                 migration that failed"
            }
            Self::SomeTimers => {
                "`reqsk_timer_handler()` had run for some of the requests, and ran for the others \
                 afterwards: each has one of the two orders"
            }
        }
    }

    /// The bug that it is, if a healthy kernel does not have it.
    pub fn bug(self) -> Option<ModelBug> {
        match self {
            Self::ChildShutDown => Some(ModelBug::ChildShutDown),
            Self::ChildForgotten
            | Self::PortGone
            | Self::FastOpenPortGone
            | Self::FastOpenChildForgotten
            | Self::TwoChildren
            | Self::TwoRequests
            | Self::ChildOfNoRequest
            | Self::ResetOfTwo
            | Self::BothLeave
            | Self::SegmentDropped
            | Self::TurnedOffWithin
            | Self::SomeTimers => None,
        }
    }

    /// Whether a client loses its connection by that although another listener could have taken
    /// it.
    pub fn loses(self) -> bool {
        matches!(self, Self::ChildForgotten | Self::FastOpenChildForgotten | Self::ChildShutDown)
    }
}

impl Model {
    /// What two steps at the same time can come to besides their two orders: what the server has
    /// then, and what is seen. Bugs are among them that the model has.
    pub fn between(&self, steps: &[Step; 2]) -> Vec<(Between, Self, Seen)> {
        let happens = |between: Between| {
            let mut model = self.clone();
            let seen = model.happens(between, steps)?;
            Some((between, model, seen))
        };
        let is_possible = |between: &Between| between.bug().is_none_or(|bug| self.has(bug));
        let found = Between::ALL.into_iter().filter(is_possible).filter_map(happens);
        found.chain(self.some_timers(steps)).collect()
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
                self.count(Counter::PassiveOpens);
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
            Between::ChildShutDown => {
                let (end, _, client) = self.completes_while_it_ends(steps)?;
                let Step::Close { .. } = end else { return None };
                let complete = steps.iter().find(|step| **step != end)?;
                let seen = self.step(complete);
                let fin = self.shut_down_child(client)?;
                Some(seen.and_then(fin).and_then(self.step(&end)))
            }
            Between::SegmentDropped => {
                let (end, listener, client, segment) = self.reaches_while_it_ends(steps)?;
                let finds_it = match &self.clients[client.0].connection {
                    Connection::Child(_) => true,
                    Connection::Nothing => {
                        let is_syn = matches!(segment, Segment::Syn | Segment::FastOpenSyn(_));
                        is_syn && self.would_select(client) == Some(listener)
                    }
                    Connection::Request(_) => false,
                };
                let seen = self.step(&end);
                let is_gone = matches!(self.clients[client.0].connection, Connection::Nothing);
                (finds_it && is_gone).then_some(seen)
            }
            Between::TurnedOffWithin => {
                let off = Step::Set(Setting::MigrateReq(false));
                let close = match steps {
                    [close @ Step::Close { .. }, other] | [other, close @ Step::Close { .. }]
                        if *other == off =>
                    {
                        *close
                    }
                    _ => return None,
                };
                let Step::Close { listener } = close else { return None };
                let children = self.socket(listener)?.accept_queue.len() as i64;
                let was_on = self.migrate_req && children > 0;
                let mut seen = self.step(&off).and_then(self.step(&close));
                *seen.counters.entry(Counter::MigrateReqFailure).or_default() += children;
                was_on.then_some(seen)
            }
            // There are many ways.
            Between::SomeTimers => None,
        }
    }

    /// Every way in which some of the timers of a wait fire before the other step, and the rest
    /// after it. The kernel fires those of one slot one after the other, in any order.
    fn some_timers(&self, steps: &[Step; 2]) -> Vec<(Between, Self, Seen)> {
        let [Step::Wait, other] = steps else { return vec![] };
        let due = self.due();
        let ways = (1_u32 << due.len().min(MOST_TIMERS)) - 1;
        let some = |way: u32| {
            let fires_before = |at: usize| at < MOST_TIMERS && way & (1 << at) != 0;
            let (before, after): (Vec<_>, Vec<_>) =
                due.iter().enumerate().partition(|(at, _)| fires_before(*at));
            let mut model = self.clone();
            let first = model.fire_all(before.into_iter().map(|(_, timer)| *timer));
            let seen = first.and_then(model.step(other));
            let last = model.fire_all(after.into_iter().map(|(_, timer)| *timer));
            let mut seen = seen.and_then(last);
            seen.queues = model.queues();
            (Between::SomeTimers, model, seen)
        };
        (1..ways).map(some).collect()
    }

    /// What was seen until now, and what is seen of a step after it.
    fn then(&mut self, step: &Step) -> Seen {
        let until_now = std::mem::take(&mut self.seen);
        until_now.and_then(self.step(step))
    }

    /// A child that was just made sends a FIN; data that came with the last ACK reset it
    /// (`tcp_rcv_state_process()`, TCP_FIN_WAIT1).
    fn shut_down_child(&mut self, client: ClientId) -> Option<Seen> {
        let child = self.child(client)?;
        let has_data = std::mem::take(&mut child.bytes) > 0;
        child.state = if has_data { ChildState::Close } else { ChildState::FinWait1 };
        self.seen = Seen::default();
        self.seen.answers.push((client, Answer::Other { flags: FIN_ACK }));
        if has_data {
            self.answer(client, Answer::Reset { seq: 1 });
        }
        Some(std::mem::take(&mut self.seen))
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
