//! Plays a record, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

use harness::lab::SERVER;
use harness::trace::{Accepted, Act, Kind, Line, Notation};

use crate::model::{Answer, Choices, KnownSlot, ListenerOptions, Model, ModelBug, Outline, Slot};
use crate::recorded::client::{Client, SocketState};
use crate::recorded::expected::Expected;
use crate::recorded::left_out::LeftOut;
use crate::recorded::mismatch::{Ended, Fact, Mismatch};
use crate::recorded::segment::{Meaning, meaning};
use crate::step::{ClientId, ListenerId};

/// By how much a timer of the kernel may seem early, in milliseconds: the capture has another
/// clock.
const EARLY: u64 = 20;

/// By how much it may be late where everything else is slow, in milliseconds.
const LATE: u64 = 3000;

/// Plays a record.
pub struct Player<'t> {
    pub(super) lines: &'t [Line],
    pub(super) model: Model,
    /// The index of the line that is played.
    pub(super) at: usize,
    pub(super) facts: usize,
    pub(super) listeners: BTreeMap<&'t str, ListenerId>,
    pub(super) options: BTreeMap<&'t str, ListenerOptions>,
    /// Where listeners are that are bound to something else than usual.
    pub(super) address: Option<Option<(SocketAddr, bool)>>,
    /// Those with `IPV6_V6ONLY`.
    pub(super) v6_only: BTreeMap<&'t str, bool>,
    pub(super) bound: BTreeMap<&'t str, SocketAddr>,
    /// Each connection.
    pub(super) clients: Vec<Client>,
    /// The connection that a client has now.
    pub(super) current: BTreeMap<&'t str, ClientId>,
    /// Clients that build their segments themselves.
    pub(super) built: BTreeSet<&'t str>,
    /// Clients that are about to connect.
    pub(super) connecting: BTreeSet<&'t str>,
    pub(super) expected: Expected,
    /// Listeners that had more than one descriptor.
    pub(super) held: BTreeSet<&'t str>,
    pub(super) gate_is_closed: bool,
    pub(super) takes_fast_open: bool,
    pub(super) has_sockets: bool,
}

/// What comes of a line.
pub type Played<T = ()> = Result<T, Ended>;

impl<'t> Player<'t> {
    pub fn new(lines: &'t [Line], bugs: &BTreeSet<ModelBug>, choices: Choices) -> Self {
        Self {
            lines,
            model: Model::new(bugs.clone(), &[]).with_choices(choices),
            at: 0,
            facts: 0,
            listeners: BTreeMap::new(),
            options: BTreeMap::new(),
            address: None,
            v6_only: BTreeMap::new(),
            bound: BTreeMap::new(),
            clients: vec![],
            current: BTreeMap::new(),
            built: BTreeSet::new(),
            connecting: BTreeSet::new(),
            expected: Expected::default(),
            held: BTreeSet::new(),
            gate_is_closed: false,
            takes_fast_open: false,
            has_sockets: false,
        }
    }

    /// The choices that were made.
    pub fn choices(&self) -> &Choices {
        self.model.choices()
    }

    /// Whether the hash has decided which listener got a connection.
    pub fn hash_has_decided(&self) -> bool {
        self.model.hash_has_decided()
    }

    /// Slots with which the hash decides as it did: of each client, those of its connections in
    /// their order. Nothing if there are none.
    pub fn slots(&self) -> Option<BTreeMap<String, Vec<Option<Slot>>>> {
        let mut connections: BTreeMap<&str, Vec<Vec<ClientId>>> = BTreeMap::new();
        for (at, client) in self.clients.iter().enumerate() {
            let of_name = connections.entry(&client.name).or_default();
            match of_name.first_mut() {
                // All connections of a client that is no socket have one port.
                Some(first) if client.socket.is_none() => first.push(ClientId(at)),
                _ => of_name.push(vec![ClientId(at)]),
            }
        }
        let slot = |connections: &Vec<ClientId>| match self.model.slot_of(connections) {
            KnownSlot::Any => Some(None),
            KnownSlot::Slot(slot) => Some(Some(slot)),
            KnownSlot::None => None,
        };
        connections
            .into_iter()
            .map(|(name, each)| {
                Some((name.to_owned(), each.iter().map(slot).collect::<Option<_>>()?))
            })
            .collect()
    }

    /// Plays the whole record; says in how many facts model and kernel agree.
    pub fn play(&mut self) -> Played<usize> {
        if self.lines.is_empty() {
            return Err(Ended::LeftOut(LeftOut::NotRun));
        }
        for (at, line) in self.lines.iter().enumerate() {
            self.at = at;
            let now = u64::try_from(line.since_start.as_millis()).unwrap_or(u64::MAX);
            self.model.set_now(now);
            match &line.kind {
                Kind::Segment { from, to } => {
                    let what = &line.what;
                    let segment = Notation::of(what).ok_or(Ended::LeftOut(LeftOut::Segment))?;
                    if from == SERVER {
                        self.answer(to, segment)?;
                    } else if to == SERVER && !self.built.contains(from.as_str()) {
                        self.timers(now);
                        self.segment(from, segment)?;
                    }
                }
                Kind::Act { act, refused } => {
                    self.timers(now);
                    self.act(act, refused.as_deref())?;
                }
            }
        }
        self.at = self.lines.len();
        if let Some((client, answer)) = self.expected.unanswered() {
            let model = format!("{}: {answer}", self.clients[client.0].name);
            return Err(self.mismatch(Fact::Answer, model, "nothing".to_owned()));
        }
        if self.listeners.is_empty() {
            return Self::unknown(LeftOut::NoListener);
        }
        if self.facts == 0 {
            return Self::unknown(LeftOut::NoFact);
        }
        Ok(self.facts)
    }

    fn mismatch(&self, of: Fact, model: String, kernel: String) -> Ended {
        Ended::Disagrees { line: self.at, in_what: Mismatch { of, model, kernel } }
    }

    /// Model and kernel must agree.
    pub(super) fn check(
        &mut self,
        of: Fact,
        model: &dyn fmt::Display,
        kernel: &dyn fmt::Display,
    ) -> Played {
        let (model, kernel) = (model.to_string(), kernel.to_string());
        if model != kernel {
            return Err(self.mismatch(of, model, kernel));
        }
        self.facts += 1;
        Ok(())
    }

    pub(super) fn unknown<T>(why: LeftOut) -> Played<T> {
        Err(Ended::LeftOut(why))
    }

    /// Timers that fire unseen fire, or not: which of them has is not in the record.
    fn timers(&mut self, now: u64) {
        for client in (0..self.clients.len()).map(ClientId) {
            let Some((earliest, latest)) = self.model.timer_fires(client) else { continue };
            if now + EARLY < earliest {
                continue;
            }
            let is_seen = !self.model.clone().timer_has_fired(client).answers.is_empty();
            if is_seen && now < latest + LATE {
                continue;
            }
            let fires = now >= latest + LATE || self.model.one_of(2) == 0;
            if fires {
                let seen = self.model.timer_has_fired(client);
                self.expected.add(seen);
            }
        }
    }

    /// The connection of a client that sends a SYN: another one than before, unless the server
    /// still has that.
    pub(super) fn connection(&mut self, name: &'t str, is_syn: bool) -> ClientId {
        let is_socket = !self.built.contains(name);
        if let Some(client) = self.current.get(name).copied() {
            let connects_anew = match is_socket {
                true => self.connecting.remove(name),
                false => self.model.expects(client).outline == Outline::Nothing,
            };
            let is_another = is_syn && (connects_anew || self.clients[client.0].is_over);
            if !is_another {
                return client;
            }
        }
        self.connecting.remove(name);
        let likely = self.who_accepts(name);
        let client = self.model.add_client(likely);
        self.has_sockets |= is_socket;
        let socket = is_socket.then_some(SocketState::Connecting);
        self.clients.push(Client { name: name.to_owned(), socket, ..Client::default() });
        self.current.insert(name, client);
        client
    }

    /// The listener that accepts this connection of a client, as the rest of the record shows.
    fn who_accepts(&self, name: &str) -> Option<ListenerId> {
        let rest = self.lines[self.at + 1..].iter().filter_map(Line::done);
        let until =
            rest.take_while(|act| !matches!(act, Act::Connect { client } if client == name));
        let mut accepting = until.filter_map(|act| match act {
            Act::Accept { listener, got: Accepted::Connection(client) } if client == name => {
                Some(listener.as_str())
            }
            _ => None,
        });
        let listener = accepting.next()?;
        self.listeners.get(listener).copied()
    }

    /// A client sends a segment.
    pub(super) fn segment(&mut self, name: &'t str, segment: Notation) -> Played {
        let client = self.connection(name, segment.is_syn());
        let dropped = self.gate_is_closed
            && segment.flags.ack()
            && !segment.flags.syn()
            && !segment.flags.rst();
        if segment.flags.rst() {
            for counter in self.clients[client.0].resets() {
                self.expected.count(counter);
            }
        }
        if segment.is_fin() {
            self.clients[client.0].finishes();
        }
        if dropped {
            return Ok(());
        }
        if self.clients[client.0].is_over {
            if segment.len > 0 {
                self.expected.forget_counters();
            }
            return Ok(());
        }
        let mut numbers = (segment.seq, segment.ack.unwrap_or(0));
        match meaning(segment, self.model.expects(client)) {
            Meaning::Nothing => {}
            Meaning::Unknown => return Self::unknown(LeftOut::Segment),
            Meaning::Known(first, second) => {
                let seen = self.model.arrives(client, first, numbers);
                self.expected.add(seen);
                if let Some(second) = second {
                    numbers.0 = numbers.0.wrapping_add(first.bytes());
                    let seen = self.model.arrives(client, second, numbers);
                    self.expected.add(seen);
                }
            }
        }
        Ok(())
    }

    /// The server sends a segment.
    fn answer(&mut self, name: &'t str, segment: Notation) -> Played {
        let Some(client) = self.current.get(name).copied() else { return Ok(()) };
        let answer = self.clients[client.0].answer(segment);
        if segment.flags.rst()
            && let Some(counter) = self.clients[client.0].is_reset()
        {
            self.expected.count(counter);
        }
        if self.clients[client.0].is_over {
            return Ok(());
        }
        if self.is_expected(client, answer) {
            return Ok(());
        }
        let outline = self.model.expects(client).outline;
        // A child may still acknowledge something between the line of the call that resets it and
        // its RST.
        let has_child = matches!(outline, Outline::Child | Outline::EndedChild)
            || matches!(self.expected.next_answer(client), Some(Answer::Abort { .. }));
        if has_child && matches!(answer, Answer::Ack { .. } | Answer::Other { .. }) {
            return Ok(());
        }
        // A timer, then.
        let fires = self.model.timer_fires(client);
        if fires.is_some_and(|(earliest, _)| self.now() + EARLY >= earliest) {
            let seen = self.model.timer_has_fired(client);
            self.expected.add(seen);
            if self.is_expected(client, answer) {
                return Ok(());
            }
        }
        let model = self.expected.next_answer(client).map(|answer| answer.to_string());
        let to = |what: String| format!("{name}: {what}");
        let model = to(model.unwrap_or_else(|| "nothing".to_owned()));
        Err(self.mismatch(Fact::Answer, model, to(answer.to_string())))
    }

    fn now(&self) -> u64 {
        self.model.now()
    }

    /// Whether the model has said that this would be sent next.
    fn is_expected(&mut self, client: ClientId, answer: Answer) -> bool {
        let same = |expected: Answer| match self.clients[client.0].knows_server {
            true => expected == answer,
            false => std::mem::discriminant(&expected) == std::mem::discriminant(&answer),
        };
        let expected = self.expected.next_answer(client).is_some_and(same);
        if expected {
            self.expected.answered(client);
            self.facts += 1;
        }
        expected
    }
}
