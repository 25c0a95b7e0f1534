//! Requests: what segments of their clients do (`net/ipv4/tcp_ipv4.c`, `tcp_minisocks.c`).

use crate::model::behaviour::ModelBug;
use crate::model::seen::{Answer, Counter};
use crate::model::state::{Child, Connection, Model, Request, Timer};
use crate::step::{ClientId, ListenerId, Segment};

/// How far a number of the window is from the one that is expected.
const IN_WINDOW: u32 = 100;

/// A number far out of the window.
const OUT_OF_WINDOW: u32 = 0x2000_0000;

/// What an ACK of nothing acknowledges.
const NEVER_SENT: u32 = 1001;

impl Model {
    /// SEG.SEQ and SEG.ACK of a segment that the client builds now, relative to the
    /// connection's first ones.
    pub fn numbers(&self, client: ClientId, segment: Segment) -> (u32, u32) {
        let Some(client) = self.clients.get(client.0) else { return (0, 0) };
        let next = match &client.connection {
            Connection::Nothing | Connection::Request(_) => client.next,
            Connection::Child(Child { rcv_nxt, .. }) => *rcv_nxt,
        };
        match segment {
            Segment::Syn | Segment::FastOpenSyn(_) => (client.first(), 0),
            Segment::Ack | Segment::Data(_) | Segment::Fin => (next, 1),
            Segment::Reset | Segment::WithoutAck => (next, 0),
            Segment::ResetInWindow | Segment::SynInWindow => (next + IN_WINDOW, 0),
            Segment::AckOfNothing => (next, NEVER_SENT),
            Segment::OutOfWindow => (next + OUT_OF_WINDOW, 1),
        }
    }

    /// A segment arrives: `tcp_v4_rcv()` finds what it is for.
    pub(super) fn arrive(&mut self, client: ClientId, segment: Segment) {
        self.arrive_with(client, segment, self.numbers(client, segment));
    }

    /// The same, with numbers of its own: those of the segment's kind, or others that mean the
    /// same.
    pub(super) fn arrive_with(&mut self, client: ClientId, segment: Segment, numbers: (u32, u32)) {
        self.arriving = numbers;
        match &self.clients[client.0].connection {
            Connection::Nothing => self.reach_listener(client, segment),
            Connection::Request(_) => self.reach_request(client, segment),
            Connection::Child(_) => self.reach_child(client, segment),
        }
    }

    /// A segment of no connection: for the listener that the hash or the program selects, if
    /// there is one.
    fn reach_listener(&mut self, client: ClientId, segment: Segment) {
        let (seq, ack) = self.arriving;
        let listener = self.select(client);
        match (segment, listener) {
            (Segment::Syn | Segment::FastOpenSyn(_) | Segment::SynInWindow, Some(listener)) => {
                self.client(client).next = seq + 1;
                self.connection_request(listener, client, segment.bytes());
            }
            (Segment::Syn | Segment::FastOpenSyn(_) | Segment::SynInWindow, None) => {
                self.answer(client, Answer::Refusal { ack: seq + 1 + segment.bytes() });
            }
            (Segment::WithoutAck, None) => {
                self.answer(client, Answer::Refusal { ack: seq + segment.bytes() });
            }
            (Segment::Reset | Segment::ResetInWindow, _) | (Segment::WithoutAck, Some(_)) => {}
            (
                Segment::Ack
                | Segment::Data(_)
                | Segment::Fin
                | Segment::AckOfNothing
                | Segment::OutOfWindow,
                _,
            ) => self.answer(client, Answer::Reset { seq: ack }),
        }
    }

    /// `tcp_conn_request()`: a SYN reaches a listener.
    fn connection_request(&mut self, listener: ListenerId, client: ClientId, bytes: u32) {
        let socket = self.listener(listener);
        let (no_room_for_requests, no_room_for_children) =
            (socket.request_queue_is_full(), socket.accept_queue_is_full());
        if no_room_for_requests {
            self.count(Counter::ReqQFullDrop);
            self.count(Counter::ListenDrops);
        } else if no_room_for_children {
            self.count(Counter::ListenOverflows);
            self.count(Counter::ListenDrops);
        } else if bytes > 0 && self.takes_fast_open(listener) {
            self.add_fast_open_child(listener, client, bytes);
        } else {
            self.request_added(listener, 0);
            let timer = Timer::set(self.now, 0);
            let request = Request { listener, num_timeout: 0, acked: false, timer };
            self.client(client).connection = Connection::Request(request);
            let ack = self.client(client).next;
            self.answer(client, Answer::SynAck { ack });
        }
    }

    /// `tcp_fastopen_queue_check()`.
    fn takes_fast_open(&mut self, listener: ListenerId) -> bool {
        let socket = self.listener(listener);
        let (most, qlen) = (socket.fast_open_most, socket.fast_open_qlen);
        if most == 0 {
            return false;
        }
        let has_room = i64::from(qlen) < i64::from(most);
        if !has_room {
            self.count(Counter::FastOpenListenOverflow);
        }
        has_room
    }

    /// A segment for a request. If its listener does not listen any more, the decision whether
    /// and where to it migrates is made for every segment anew, and the request stays where it
    /// is unless a child is made.
    fn reach_request(&mut self, client: ClientId, segment: Segment) {
        let Some(Request { listener, num_timeout, .. }) = self.request(client).cloned() else {
            return;
        };
        let mut target = listener;
        if !self.listens(listener) {
            match self.migrate(listener, client, true) {
                Some(other) => target = other,
                None => {
                    // `inet_csk_reqsk_queue_drop_and_put()`, and the lookup begins anew.
                    self.request_removed(listener, num_timeout);
                    self.forget(client);
                    return self.reach_listener(client, segment);
                }
            }
        }
        self.check_request(target, client, segment);
    }

    /// `tcp_check_req()`, for `target`.
    fn check_request(&mut self, target: ListenerId, client: ClientId, segment: Segment) {
        let (seq, ack) = self.arriving;
        let expected = self.client(client).next;
        match segment {
            Segment::Syn | Segment::FastOpenSyn(_) => {
                self.count(Counter::SynRetrans);
                self.answer(client, Answer::SynAckAgain { ack: expected });
                let now = self.now;
                if let Some(request) = self.request(client) {
                    request.timer = Timer::set(now, request.num_timeout);
                }
            }
            // The listener answers.
            Segment::AckOfNothing => self.answer(client, Answer::Reset { seq: ack }),
            Segment::OutOfWindow => self.answer(client, Answer::Ack { seq: 1, ack: expected }),
            Segment::ResetInWindow if !self.has(ModelBug::InexactResetEndsRequest) => {
                self.count(Counter::ChallengeAck);
                self.answer(client, Answer::Ack { seq: 1, ack: expected });
            }
            Segment::Reset | Segment::ResetInWindow => {
                self.count(Counter::AttemptFails);
                self.end_request(target, client);
            }
            Segment::SynInWindow => {
                self.count(Counter::AttemptFails);
                self.answer(client, Answer::Refusal { ack: seq + 1 });
                self.end_request(target, client);
            }
            Segment::WithoutAck => {}
            Segment::Ack if self.is_deferred(target, client) => {
                self.count(Counter::DeferAcceptDrop);
                self.acked(client);
            }
            Segment::Ack | Segment::Data(_) | Segment::Fin => {
                self.complete(target, client, segment);
            }
        }
    }

    /// TCP_DEFER_ACCEPT of the target: an ACK without data is dropped.
    fn is_deferred(&mut self, target: ListenerId, client: ClientId) -> bool {
        let deferred = self.listener(target).defer_accept;
        self.request(client).is_some_and(|request| request.num_timeout < deferred)
    }

    fn acked(&mut self, client: ClientId) {
        if let Some(request) = self.request(client) {
            request.acked = true;
        }
    }

    /// `tcp_v4_syn_recv_sock()` and `inet_csk_complete_hashdance()`: the request becomes a child
    /// of `target`, if that has room.
    fn complete(&mut self, target: ListenerId, client: ClientId, segment: Segment) {
        let Some(Request { listener, num_timeout, .. }) = self.request(client).cloned() else {
            return;
        };
        let migrates = target != listener;
        if self.listener(target).accept_queue_is_full() {
            self.count(Counter::ListenOverflows);
            self.count(Counter::ListenDrops);
            if migrates {
                self.count(Counter::MigrateReqFailure);
            }
            if self.abort_on_overflow {
                let (_, ack) = self.arriving;
                self.answer(client, Answer::Reset { seq: ack });
                self.end_request(target, client);
            } else {
                self.acked(client);
            }
            return;
        }
        self.request_removed(listener, num_timeout);
        if migrates {
            self.count(Counter::MigrateReqSuccess);
        }
        self.add_child(target, client);
        self.reach_child(client, segment);
    }

    /// `tcp_check_req()`, from `embryonic_reset` on: the request ends. It is counted off the
    /// listener that has it; by a bug, off the target.
    fn end_request(&mut self, target: ListenerId, client: ClientId) {
        let Some(Request { listener, num_timeout, .. }) = self.request(client).cloned() else {
            return;
        };
        let wrong = self.has(ModelBug::ResetRequestOffTargetCount);
        self.request_removed(if wrong { target } else { listener }, num_timeout);
        self.count(Counter::EmbryonicRsts);
        self.forget(client);
    }
}
