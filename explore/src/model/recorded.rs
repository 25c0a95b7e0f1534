//! What is done in the runs of written cases besides the steps of histories, and at which time.

use crate::model::choice::Choices;
use crate::model::hash::{HashRange, Slot};
use crate::model::program::Program;
use crate::model::seen::{Answer, Counter, Rest, Seen};
use crate::model::state::{
    Child, ChildState, Client, Connection, ListenerOptions, Model, Place, Timer,
};
use crate::step::{ClientId, ListenerId, Segment};

/// What `recv` returns of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceivedOnce {
    /// This number of bytes.
    Bytes(u32),
    /// Anything else.
    Rest(Rest),
}

/// What the server has of a client's connection, in outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outline {
    /// Nothing.
    Nothing,
    /// A request.
    Request,
    /// A child whose handshake is not complete.
    FastOpenChild,
    /// A child that can receive.
    Child,
    /// A child that cannot: its client has sent a FIN, or it was reset.
    EndedChild,
}

/// A slot of which a connection's hash can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownSlot {
    /// Every one: nothing has depended on it.
    Any,
    /// This one.
    Slot(Slot),
    /// None: its hashes are fewer than a slot has.
    None,
}

/// Of a connection's numbers, what matters to a segment that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expects {
    /// What the server has.
    pub outline: Outline,
    /// The number of the SYN.
    pub first: u32,
    /// The number that is expected next.
    pub next: u32,
    /// Whether a process has accepted the child.
    pub is_accepted: bool,
}

impl Model {
    /// With choices to make where more than one thing is possible.
    #[must_use]
    pub fn with_choices(mut self, choices: Choices) -> Self {
        self.choices = choices;
        self
    }

    /// The choices that were made.
    pub fn choices(&self) -> &Choices {
        &self.choices
    }

    /// Whether the hash, which is not known, has decided between listeners.
    pub fn hash_has_decided(&self) -> bool {
        self.hash_has_decided
    }

    /// What is known of the hash of connections that one client has had from one address and port:
    /// the first slot that all of them can have.
    pub fn slot_of(&self, connections: &[ClientId]) -> KnownSlot {
        let ranges = connections.iter().map(|client| self.clients[client.0].hash);
        let both =
            |so_far: Option<HashRange>, range: HashRange| so_far.and_then(|it| it.and(range));
        match ranges.fold(Some(HashRange::ANY), both) {
            Some(range) if range.is_any() => KnownSlot::Any,
            range => range.and_then(HashRange::first_slot).map_or(KnownSlot::None, KnownSlot::Slot),
        }
    }

    /// Another client, the hash of whose connection is not known; `likely` is the listener that
    /// gets it, if that is known.
    pub fn add_client(&mut self, likely: Option<ListenerId>) -> ClientId {
        self.clients.push(Client { likely, ..Client::with_hash(HashRange::ANY) });
        ClientId(self.clients.len() - 1)
    }

    /// Takes a step that no history has.
    fn taken(&mut self, step: impl FnOnce(&mut Self)) -> Seen {
        self.seen = Seen::default();
        step(self);
        self.seen.queues = self.queues();
        std::mem::take(&mut self.seen)
    }

    /// A socket listens, for the first time or again.
    pub fn listens_with(
        &mut self,
        listener: ListenerId,
        backlog: u32,
        options: ListenerOptions,
    ) -> Seen {
        self.taken(|model| match model.socket(listener) {
            Some(_) => model.listen_again(listener, backlog),
            None => model.listen(listener, backlog, options),
        })
    }

    /// Options are set of a socket that listens or did.
    pub fn set_options(&mut self, listener: ListenerId, options: ListenerOptions) {
        if self.socket(listener).is_some() {
            let socket = self.listener(listener);
            socket.defer_accept = options.defer_accept;
            socket.fast_open_most = options.fast_open_most;
        }
    }

    /// A listener stops listening, other than by `close` or `shutdown`.
    pub fn stops_listening(&mut self, listener: ListenerId) -> Seen {
        self.taken(|model| {
            if model.listens(listener) {
                model.stop_listening(listener);
            }
        })
    }

    /// A segment arrives, with numbers of its own.
    pub fn arrives(&mut self, client: ClientId, segment: Segment, numbers: (u32, u32)) -> Seen {
        self.taken(|model| model.arrive_with(client, segment, numbers))
    }

    /// `accept` alone: whose child it returned.
    pub fn accepts(&mut self, listener: ListenerId) -> (Option<ClientId>, Seen) {
        let mut client = None;
        let seen = self.taken(|model| client = model.accept_child(listener));
        (client, seen)
    }

    /// `recv` on a child that was accepted.
    pub fn receives(&mut self, client: ClientId) -> Option<ReceivedOnce> {
        let child = self.child(client)?;
        let bytes = std::mem::take(&mut child.bytes);
        Some(match (bytes, child.has_end, child.error) {
            (1.., _, _) => ReceivedOnce::Bytes(bytes),
            (0, true, _) => ReceivedOnce::Rest(Rest::End),
            (0, false, Some(errno)) => {
                // Said once; after it, a connection that is over has an end.
                (child.error, child.has_end) = (None, true);
                ReceivedOnce::Rest(Rest::Error(errno.to_owned()))
            }
            (0, false, None) => ReceivedOnce::Rest(Rest::More),
        })
    }

    /// A process closes a child that it has accepted: with a RST if it was to be one or something
    /// was not received, and the server has nothing of the connection any more that matters. Says
    /// whether what is counted is known.
    pub fn child_is_closed(&mut self, client: ClientId, resets: bool) -> (bool, Seen) {
        let mut is_known = true;
        let seen = self.taken(|model| {
            let Some(Child { state, bytes, .. }) = model.child(client).cloned() else { return };
            is_known = state != ChildState::SynRecv;
            let is_open = matches!(state, ChildState::Established | ChildState::CloseWait);
            if is_open && (resets || bytes > 0) {
                model.count(Counter::EstabResets);
                model.count(Counter::OutRsts);
            }
            model.forget(client);
        });
        (is_known, seen)
    }

    /// `tcp_abort()` of a child: it is reset, and stays where it is.
    pub fn child_is_destroyed(&mut self, client: ClientId) -> Seen {
        self.taken(|model| {
            let Some(child) = model.child(client) else { return };
            let (state, ack) = (child.state, child.rcv_nxt);
            if state == ChildState::Close {
                return;
            }
            child.state = ChildState::Close;
            child.error = Some("ECONNABORTED");
            model.answer(client, Answer::Abort { seq: 1, ack });
            match state {
                ChildState::SynRecv => {
                    model.count(Counter::AttemptFails);
                    model.remove_fast_open(client);
                }
                _ => model.count(Counter::EstabResets),
            }
        })
    }

    /// `tcp_abort()` of a request: `inet_csk_reqsk_queue_drop()`.
    pub fn request_is_destroyed(&mut self, client: ClientId) -> Seen {
        self.taken(|model| {
            if let Some(request) = model.request(client).cloned() {
                model.request_removed(request.listener, request.num_timeout);
                model.forget(client);
            }
        })
    }

    /// A program is attached to the group of a listener.
    pub fn program_is_attached(&mut self, listener: ListenerId, program: Program) {
        let group = self.socket(listener).and_then(|socket| socket.group);
        if let Some(group) = group {
            self.groups[group].program = Some(program);
        }
    }

    /// An entry of an array of listeners is set, or removed.
    pub fn entry_is_set(&mut self, entry: (u32, u32), listener: Option<ListenerId>) {
        match listener {
            Some(listener) => drop(self.arrays.insert(entry, listener)),
            None => drop(self.arrays.remove(&entry)),
        }
    }

    /// The time now, in milliseconds.
    pub fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// When the timer of a connection fires, if it has one: not before, and not after.
    pub fn timer_fires(&self, client: ClientId) -> Option<(u64, u64)> {
        self.timer(client).map(|Timer { earliest, latest }| (earliest, latest))
    }

    /// The timer of a connection fires now.
    pub fn timer_has_fired(&mut self, client: ClientId) -> Seen {
        let now = self.now;
        self.taken(|model| {
            model.fire(client);
            // It was not known when it would.
            match &mut model.clients[client.0].connection {
                Connection::Request(request) => {
                    request.timer = Timer::set(now, request.num_timeout);
                }
                Connection::Child(child) => {
                    if let Some(request) = &mut child.fast_open {
                        request.timer = Timer::set(now, request.num_timeout);
                    }
                }
                Connection::Nothing => {}
            }
        })
    }

    /// One of several possibilities, the first of which is the likeliest.
    pub fn one_of(&mut self, possibilities: usize) -> usize {
        self.choose(possibilities)
    }

    /// What a segment of a client meets.
    pub fn expects(&self, client: ClientId) -> Expects {
        let Client { next, connection, .. } = &self.clients[client.0];
        let first = self.clients[client.0].first();
        let nothing = Expects { outline: Outline::Nothing, first, next: *next, is_accepted: false };
        match connection {
            Connection::Nothing => nothing,
            Connection::Request(_) => Expects { outline: Outline::Request, ..nothing },
            Connection::Child(child) => Expects {
                outline: match child.state {
                    ChildState::SynRecv => Outline::FastOpenChild,
                    ChildState::Established => Outline::Child,
                    ChildState::CloseWait | ChildState::FinWait1 | ChildState::Close => {
                        Outline::EndedChild
                    }
                },
                next: child.rcv_nxt,
                is_accepted: child.place == Place::Accepted,
                ..nothing
            },
        }
    }

    /// The backlog of a listener that listens.
    pub fn backlog(&self, listener: ListenerId) -> Option<u32> {
        self.socket(listener).filter(|_| self.listens(listener)).map(|socket| socket.backlog)
    }
}
