//! Children: what segments do to them, and how they end (`net/ipv4/tcp_input.c`).

use crate::model::behaviour::ModelBug;
use crate::model::seen::{Answer, CallResult, Counter, Rest};
use crate::model::state::{Child, ChildState, Connection, FastOpen, Model, Place, Timer};
use crate::step::{ClientId, ListenerId, Segment};

impl Model {
    /// `tcp_create_openreq_child()` and `inet_csk_reqsk_queue_add()`: a child in the accept
    /// queue of `listener`, which has received nothing yet. Who waits for the listener is
    /// woken.
    pub(super) fn add_child(&mut self, listener: ListenerId, client: ClientId) {
        self.count(Counter::PassiveOpens);
        let child = Child {
            place: Place::Queue(listener),
            state: ChildState::Established,
            bytes: 0,
            has_end: false,
            error: None,
            rcv_nxt: self.client(client).next,
            fast_open: None,
        };
        self.client(client).connection = Connection::Child(child);
        self.listener(listener).accept_queue.push(client);
        self.wake(listener);
    }

    /// `tcp_fastopen_create_child()`: a child that has the data of its SYN, and whose handshake
    /// is not complete.
    pub(super) fn add_fast_open_child(
        &mut self,
        listener: ListenerId,
        client: ClientId,
        bytes: u32,
    ) {
        self.count(Counter::FastOpenPassive);
        self.listener(listener).fast_open_qlen += 1;
        self.add_child(listener, client);
        let timer = Timer::set(self.now, 0);
        if let Some(child) = self.child(client) {
            child.state = ChildState::SynRecv;
            child.fast_open = Some(FastOpen { listener, num_timeout: 0, timer });
            child.receive(bytes);
            let ack = child.rcv_nxt;
            self.answer(client, Answer::SynAck { ack });
        }
    }

    /// A segment reaches a child: `tcp_rcv_state_process()`, `tcp_rcv_established()`.
    pub(super) fn reach_child(&mut self, client: ClientId, segment: Segment) {
        let Some(child) = self.child(client) else { return };
        if child.state == ChildState::SynRecv && !self.completes(client, segment) {
            return;
        }
        let Some(child) = self.child(client) else { return };
        match segment {
            Segment::Data(bytes) => child.receive(bytes),
            Segment::Fin => {
                child.state = ChildState::CloseWait;
                child.has_end = true;
                child.rcv_nxt += 1;
            }
            Segment::Reset => {
                let broken = child.state == ChildState::CloseWait;
                child.state = ChildState::Close;
                child.error = Some(if broken { "EPIPE" } else { "ECONNRESET" });
                self.count(Counter::EstabResets);
            }
            Segment::ResetInWindow => self.count(Counter::ChallengeAck),
            Segment::Syn | Segment::FastOpenSyn(_) | Segment::SynInWindow => {
                self.count(Counter::SynChallenge);
                self.count(Counter::ChallengeAck);
            }
            // Acknowledged at most.
            Segment::Ack | Segment::AckOfNothing | Segment::OutOfWindow | Segment::WithoutAck => {}
        }
    }

    /// A segment reaches a child in TCP_SYN_RECV: `tcp_check_req()` of its request. Says whether
    /// the handshake is complete, and the segment is looked at further.
    fn completes(&mut self, client: ClientId, segment: Segment) -> bool {
        match segment {
            Segment::Ack | Segment::Data(_) | Segment::Fin => {
                if let Some(child) = self.child(client) {
                    child.state = ChildState::Established;
                }
                self.remove_fast_open(client);
                return true;
            }
            Segment::Syn | Segment::FastOpenSyn(_) => {
                let ack = self.child(client).map_or(0, |child| child.rcv_nxt);
                self.count(Counter::SynRetrans);
                self.answer(client, Answer::SynAckAgain { ack });
            }
            // Nothing of it was sent: `tcp_ack()` refuses, and a RST says so.
            Segment::AckOfNothing => {
                let (_, seq) = self.arriving;
                self.answer(client, Answer::Reset { seq });
            }
            Segment::Reset => self.fast_open_reset(client),
            Segment::ResetInWindow if self.has(ModelBug::InexactResetEndsRequest) => {
                self.fast_open_reset(client);
            }
            Segment::ResetInWindow => self.count(Counter::ChallengeAck),
            Segment::SynInWindow | Segment::OutOfWindow | Segment::WithoutAck => {}
        }
        false
    }

    /// The client resets a child whose handshake is not complete.
    fn fast_open_reset(&mut self, client: ClientId) {
        // Once in `tcp_check_req()`, and once in `tcp_done()`.
        self.count(Counter::AttemptFails);
        self.count(Counter::AttemptFails);
        let listener =
            self.child(client).and_then(|child| Some(child.fast_open.as_ref()?.listener));
        let is_accepted = self.child(client).is_some_and(|child| child.place == Place::Accepted);
        self.remove_fast_open(client);
        // `reqsk_fastopen_remove()`: a child that a process has is counted for another minute.
        if let Some(listener) = listener.filter(|listener| is_accepted && self.listens(*listener)) {
            self.listener(listener).fast_open_qlen += 1;
        }
        if let Some(child) = self.child(client) {
            child.state = ChildState::Close;
            child.error = Some("ECONNRESET");
        }
    }

    /// `reqsk_fastopen_remove()`: the listener does not count the child any more.
    pub(super) fn remove_fast_open(&mut self, client: ClientId) {
        let request = self.child(client).and_then(|child| child.fast_open.take());
        if let Some(FastOpen { listener, .. }) = request {
            self.listener(listener).fast_open_qlen -= 1;
        }
    }

    /// `tcp_fastopen_synack_timer()`.
    pub(super) fn fast_open_timer(&mut self, client: ClientId) {
        // One more than for a request.
        let most = self.synack_retries + 1;
        self.count(Counter::Timeouts);
        let Some(child) = self.child(client) else { return };
        let ack = child.rcv_nxt;
        let Some(request) = &mut child.fast_open else { return };
        if request.num_timeout < most {
            request.num_timeout += 1;
            request.timer = request.timer.again(request.num_timeout);
            self.count(Counter::SynRetrans);
            self.answer(client, Answer::SynAckAgain { ack });
            return;
        }
        // `tcp_write_err()`.
        child.state = ChildState::Close;
        child.error = Some("ETIMEDOUT");
        self.count(Counter::AttemptFails);
        self.remove_fast_open(client);
    }

    /// `inet_csk_listen_stop()` moves a child to the accept queue of `target`.
    pub(super) fn move_child(&mut self, client: ClientId, target: ListenerId) {
        self.count(Counter::MigrateReqSuccess);
        let is_counted = !self.has(ModelBug::FastOpenCountNotMoved);
        let Some(child) = self.child(client) else { return };
        child.place = Place::Queue(target);
        if let Some(request) = &mut child.fast_open {
            request.listener = target;
            self.listener(target).fast_open_qlen += i32::from(is_counted);
        }
        self.listener(target).accept_queue.push(client);
        if !self.has(ModelBug::LostWakeUp) {
            self.wake(target);
        }
    }

    /// `inet_child_forget()`: a child that nobody can accept any more is reset.
    pub(super) fn abort_child(&mut self, client: ClientId) {
        let Some(child) = self.child(client) else { return };
        let (state, ack) = (child.state, child.rcv_nxt);
        if matches!(state, ChildState::Established | ChildState::CloseWait) {
            self.count(Counter::EstabResets);
        }
        match state {
            ChildState::Close => {}
            // After its FIN.
            ChildState::FinWait1 => self.answer(client, Answer::Abort { seq: 2, ack }),
            _ => self.answer(client, Answer::Abort { seq: 1, ack }),
        }
        self.forget(client);
    }

    /// `accept`, and `recv` until it has nothing more.
    pub(super) fn accept(&mut self, listener: ListenerId) {
        let Some(client) = self.accept_child(listener) else { return };
        let Some(child) = self.child(client) else { return };
        let bytes = std::mem::take(&mut child.bytes);
        let then = match (child.has_end, child.error) {
            (true, _) => Rest::End,
            (false, Some(errno)) => Rest::Error(errno.to_owned()),
            (false, None) => Rest::More,
        };
        self.seen.result = CallResult::Accepted { client, bytes, then };
    }

    /// `accept`: whose child it returned.
    pub(super) fn accept_child(&mut self, listener: ListenerId) -> Option<ClientId> {
        if !self.listens(listener) {
            self.refuse("EINVAL");
            return None;
        }
        if self.listener(listener).accept_queue.is_empty() {
            self.refuse("EAGAIN");
            return None;
        }
        let client = self.listener(listener).accept_queue.remove(0);
        if let Some(child) = self.child(client) {
            child.place = Place::Accepted;
        }
        Some(client)
    }
}

impl Child {
    fn receive(&mut self, bytes: u32) {
        self.bytes += bytes;
        self.rcv_nxt += bytes;
    }
}
