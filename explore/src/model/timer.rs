//! The timers that send SYN+ACKs again (`reqsk_timer_handler()`).

use crate::model::behaviour::ModelBug;
use crate::model::seen::{Answer, Counter, Seen};
use crate::model::state::{Connection, Model, Request, STEPS_TAKE, Timer};
use crate::step::ClientId;

impl Model {
    /// The timer of a connection, if it has one.
    pub(super) fn timer(&self, client: ClientId) -> Option<Timer> {
        match &self.clients[client.0].connection {
            Connection::Nothing => None,
            Connection::Request(request) => Some(request.timer),
            Connection::Child(child) => child.fast_open.as_ref().map(|request| request.timer),
        }
    }

    /// The connection whose timer fires first, and its timer.
    pub(super) fn next_timer(&self) -> Option<(ClientId, Timer)> {
        let timers = (0..self.clients.len())
            .filter_map(|index| Some((ClientId(index), self.timer(ClientId(index))?)));
        timers.min_by_key(|(client, timer)| (timer.earliest, client.0))
    }

    /// Time passes until the next timer has surely fired, and those with it that may fire before
    /// the next steps are over.
    pub(super) fn wait(&mut self) {
        let Some((_, first)) = self.next_timer() else { return };
        let mut until = first.latest;
        while let Some((client, timer)) = self.next_timer() {
            if timer.earliest >= until + STEPS_TAKE {
                break;
            }
            until = until.max(timer.latest);
            self.fire(client);
        }
        self.now = until;
        // Timers of one moment fire in any order.
        self.seen.answers.sort_by_key(|(client, _)| *client);
    }

    /// The timers that the next wait has fire, and whose they are.
    pub(super) fn due(&self) -> Vec<(ClientId, Timer)> {
        let mut later = self.clone();
        later.seen = Seen::default();
        later.wait();
        let clients = (0..self.clients.len()).map(ClientId);
        let timers = clients.filter_map(|client| Some((client, self.timer(client)?)));
        timers.filter(|(_, timer)| timer.earliest < later.now + STEPS_TAKE).collect()
    }

    /// Time passes until these timers have fired, those that are still set; and what is seen of
    /// that.
    pub(super) fn fire_all(&mut self, timers: impl Iterator<Item = (ClientId, Timer)>) -> Seen {
        self.seen = Seen::default();
        for (client, timer) in timers {
            self.now = self.now.max(timer.latest);
            if self.timer(client) == Some(timer) {
                self.fire(client);
            }
        }
        std::mem::take(&mut self.seen)
    }

    pub(super) fn fire(&mut self, client: ClientId) {
        match &self.clients[client.0].connection {
            Connection::Nothing => {}
            Connection::Request(_) => self.request_timer(client),
            Connection::Child(_) => self.fast_open_timer(client),
        }
    }

    /// `reqsk_timer_handler()`: a request of a listener that is closed moves to another one, and
    /// its SYN+ACK is sent again, unless that was done often enough. To move, it is cloned: the target
    /// counts the clone, and counts it off again if that comes to nothing; the listener counts the
    /// request off when the clone has taken its place.
    fn request_timer(&mut self, client: ClientId) {
        let ack = self.clients[client.0].next;
        let Some(Request { listener, num_timeout, acked, timer }) = self.request(client).cloned()
        else {
            return;
        };
        let mut target = listener;
        if !self.listens(listener) {
            let Some(other) = self.migrate(listener, client, false) else {
                self.request_removed(listener, num_timeout);
                return self.forget(client);
            };
            target = other;
            self.request_added(target, num_timeout);
        }
        let migrates = target != listener;
        self.count(Counter::Timeouts);
        // `syn_ack_recalc()`.
        let deferred = self.listener(target).defer_accept;
        // Its client has answered, so that another SYN+ACK is sent only shortly before it expires.
        let waits_for_data = deferred > 0 && acked;
        let expires =
            num_timeout >= self.synack_retries && !(waits_for_data && num_timeout < deferred);
        let sends = !waits_for_data || num_timeout + 1 >= deferred;
        if expires {
            if migrates {
                self.count(Counter::MigrateReqFailure);
                self.request_removed(target, num_timeout);
            }
            let wrong = self.has(ModelBug::OldRequestCountedTwice);
            self.request_removed(if wrong { target } else { listener }, num_timeout);
            return self.forget(client);
        }
        if sends {
            self.count(Counter::SynRetrans);
            self.answer(client, Answer::SynAckAgain { ack });
        }
        self.listener(target).young -= i32::from(num_timeout == 0);
        if migrates {
            self.count(Counter::MigrateReqSuccess);
            self.request_removed(listener, num_timeout);
        }
        if let Some(request) = self.request(client) {
            let num_timeout = num_timeout + 1;
            *request =
                Request { listener: target, num_timeout, acked, timer: timer.again(num_timeout) };
        }
    }
}
