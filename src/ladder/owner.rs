//! Which listener has a connection at each moment, as far as a trace shows.
//!
//! The kernel shows nobody which listener a request or a waiting child belongs to. What is
//! said here is concluded from what the trace shows and from what a kernel can do at all:
//! a connection belongs to a listener from its SYN on, a child changes hands only when its
//! listener ends, a request only by the segment or the timer that comes next, and who
//! accepts a connection has had it since it last could change hands. Where that leaves a
//! choice, nothing is said.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use harness::lab::SERVER;
use harness::trace::{Line, Notation};

use crate::ladder::effect::Effect;
use crate::ladder::rung::Change;

/// What a timer needs at least: the first SYN+ACK comes again after a second, data after
/// 200 ms, and the kernel's timers may fire a little early as the wire sees it.
const SYN_ACK_TIMER: Duration = Duration::from_millis(900);
const DATA_TIMER: Duration = Duration::from_millis(180);

/// How far a connection has come, and which listener has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    stage: Stage,
    listener: Option<String>,
    /// The listener has ended since.
    ended: bool,
    /// Nothing comes of it any more, and it still waits for `accept`.
    reset: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In the handshake: TCP_NEW_SYN_RECV.
    Request,
    /// Waits for `accept`.
    Child,
    /// Was accepted.
    Accepted,
}

impl fmt::Display for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listener = self.listener.as_deref().unwrap_or("somebody");
        match self.stage {
            Stage::Accepted => write!(f, "accepted by {listener}"),
            Stage::Child if self.reset => write!(f, "{listener}'s child, reset"),
            Stage::Child => write!(f, "{listener}'s child"),
            Stage::Request if self.ended => write!(f, "still {listener}'s request"),
            Stage::Request => write!(f, "{listener}'s request"),
        }
    }
}

impl Ownership {
    /// What is left when a reset has come: of a child that nobody has accepted yet, its
    /// place in the queue.
    fn after_reset(self) -> Option<Self> {
        (self.stage == Stage::Child).then_some(Self { reset: true, ..self })
    }
}

/// What there is to say of a line of a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotation {
    /// The listener that a segment goes to or comes from.
    pub column: Option<String>,
    /// The listeners that begin or end.
    pub changes: Vec<(String, Change)>,
    /// Clients whose connections have changed hands; nothing for one that is gone.
    pub owners: Vec<(String, Option<Ownership>)>,
    /// The gate dropped it.
    pub dropped: bool,
    /// The timer that sent it, or that it came again.
    pub timer: Option<String>,
}

/// What there is to say of each line.
pub fn annotations(lines: &[Line]) -> Vec<Annotation> {
    let mut tracker = OwnerTracker::new(lines);
    (0..lines.len()).map(|at| tracker.next(at)).collect()
}

struct OwnerTracker<'l> {
    lines: &'l [Line],
    notations: Vec<Option<Notation>>,
    /// The indices of each client's segments, and of what was done, so that nobody reads all
    /// lines to find what comes next.
    segments: BTreeMap<&'l str, Vec<usize>>,
    acts: Vec<usize>,
    live: Vec<String>,
    connections: BTreeMap<String, Connection>,
    /// The clients that are sockets of the kernel.
    sockets: BTreeSet<String>,
    migration: bool,
    /// A group has a program, which may migrate what the setting would not.
    program: bool,
    gate_closed: bool,
    cookies: bool,
    /// Something may have ended of which nobody knows.
    uncertain: bool,
}

#[derive(Debug, Clone, Default)]
struct Connection {
    ownership: Option<Ownership>,
    /// Number after the last byte that the client sent.
    end: u32,
    /// The client is a socket of a kernel, which has timers.
    has_timers: bool,
    /// When the client last sent each of its segments.
    sent: HashMap<Notation, Duration>,
    /// Who sent the last segment that the gate did not drop, and when.
    last: Option<LastSegment>,
}

#[derive(Debug, Clone, Copy)]
struct LastSegment {
    by_client: bool,
    when: Duration,
}

impl<'l> OwnerTracker<'l> {
    fn new(lines: &'l [Line]) -> Self {
        let notation = |line: &Line| line.ends().and_then(|_| Notation::of(&line.what));
        let mut segments: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let mut acts = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            match client_of(line) {
                Some((client, _)) => segments.entry(client).or_default().push(at),
                None if line.done().is_some() => acts.push(at),
                None => {}
            }
        }
        Self {
            lines,
            notations: lines.iter().map(notation).collect(),
            segments,
            acts,
            live: vec![],
            connections: BTreeMap::new(),
            sockets: BTreeSet::new(),
            migration: false,
            program: false,
            gate_closed: false,
            cookies: false,
            uncertain: false,
        }
    }

    fn next(&mut self, at: usize) -> Annotation {
        match (client_of(&self.lines[at]), self.notations[at]) {
            (Some((client, true)), Some(notation)) => self.client_sent(at, client, notation),
            (Some((client, false)), Some(notation)) => self.server_sent(at, client, notation),
            (Some(_), None) => Annotation::default(),
            (None, _) => self.act(at),
        }
    }

    /// What follows, up to the next SYN of the same client that opens another connection.
    fn later<'s>(&'s self, at: usize, client: &'s str) -> impl Iterator<Item = (usize, Later<'s>)> {
        let after = |all: &'s [usize]| &all[all.partition_point(|index| *index <= at)..];
        let segments = self.segments.get(client).map_or(&[][..], Vec::as_slice);
        let mut segments = after(segments).iter().copied().peekable();
        let mut acts = after(&self.acts).iter().copied().peekable();
        let both = std::iter::from_fn(move || match (segments.peek(), acts.peek()) {
            (Some(segment), Some(act)) if act < segment => acts.next(),
            (Some(_), _) => segments.next(),
            (None, _) => acts.next(),
        });
        both.filter_map(move |index| match client_of(&self.lines[index]) {
            Some((_, from_client)) => self.notations[index].map(|notation| match from_client {
                true => (index, Later::FromClient(notation)),
                false => (index, Later::FromServer(notation)),
            }),
            None => self.lines[index].done().map(|act| (index, Later::Act(Effect::of(act)))),
        })
    }

    /// Who will accept a connection, if no other listener's end can have moved it before.
    fn target(&self, at: usize, client: &str) -> Option<String> {
        let (mut begun, mut ended, mut destroyed) = (Vec::new(), Vec::new(), false);
        for (_, later) in self.later(at, client) {
            match later {
                Later::Act(Effect::Accepts { listener, client: whose }) if whose == client => {
                    let moved = ended.iter().any(|other| *other != listener);
                    return (!moved).then(|| listener.to_owned());
                }
                Later::Act(Effect::Begins(listener)) => begun.push(listener),
                // One that has ended before is closed now, and has nothing any more.
                Later::Act(Effect::Ends(listeners)) => ended.extend(
                    listeners.into_iter().filter(|l| self.is_live(Some(l)) || begun.contains(l)),
                ),
                Later::Act(Effect::DestroysChild(whose)) => destroyed |= whose == client,
                Later::FromClient(syn) if syn.is_syn() && syn.seq == 0 => {}
                Later::FromServer(n) if n.flags.rst() && !destroyed => return None,
                Later::FromClient(_) | Later::FromServer(_) | Later::Act(_) => {}
            }
        }
        None
    }

    /// The only listener that is left.
    fn sole(&self) -> Option<String> {
        match &self.live[..] {
            [only] if !self.uncertain => Some(only.clone()),
            _ => None,
        }
    }

    fn is_live(&self, listener: Option<&str>) -> bool {
        listener.is_some_and(|listener| self.live.iter().any(|live| live == listener))
    }

    /// Whether a segment of the client completes the handshake: then the server says
    /// something else than before, or somebody accepts the connection. Data that has to come
    /// again before was refused.
    fn completes(&self, at: usize, client: &str, n: Notation) -> bool {
        for (_, later) in self.later(at, client) {
            match later {
                Later::FromServer(n) if n.is_syn_ack() => return false,
                // A reset that acknowledges is a child's; another one is nobody's.
                Later::FromServer(n) if n.flags.rst() => return n.flags.ack(),
                Later::FromServer(_) => return true,
                Later::Act(Effect::Accepts { client: whose, .. }) if whose == client => {
                    return true;
                }
                Later::FromClient(next) if next.is_syn() => return false,
                Later::FromClient(next) if next == n && n.len > 0 => return false,
                Later::Act(_) | Later::FromClient(_) => {}
            }
        }
        false
    }

    fn client_sent(&mut self, at: usize, client: &str, n: Notation) -> Annotation {
        let mut annotation = Annotation::default();
        let now = self.lines[at].since_start;
        let before = self.connections.remove(client).unwrap_or_default();
        let again = before.sent.get(&n).copied();
        let opens = n.is_syn() && again.is_none();
        let mut connection = if opens { Connection::default() } else { before };
        if opens {
            connection.has_timers = self.sockets.iter().any(|socket| socket == client);
        }
        if let Some(when) = again
            && (n.len > 0 || n.flags.syn() || n.is_fin())
        {
            let waited = now.saturating_sub(when);
            let timer = connection.has_timers && waited >= DATA_TIMER;
            let what = if timer { "retransmission" } else { "again" };
            annotation.timer = Some(format!("{what}, {} later", seconds(waited)));
        }
        let ownership = connection.ownership.clone();
        let after = self.ownership_after(at, client, n, &connection);
        annotation.dropped = self.gate_closed && !n.flags.syn() && !n.flags.rst();
        let holds = after.as_ref().or(ownership.as_ref());
        annotation.column = holds.and_then(|ownership| ownership.listener.clone());
        if after != ownership {
            annotation.owners.push((client.to_owned(), after.clone()));
        }
        connection.end = connection.end.max(n.end());
        connection.ownership = after;
        connection.sent.insert(n, now);
        if !annotation.dropped {
            connection.last = Some(LastSegment { by_client: true, when: now });
        }
        self.connections.insert(client.to_owned(), connection);
        annotation
    }

    /// Which listener has the connection when a segment of the client has been handled.
    fn ownership_after(
        &self,
        at: usize,
        client: &str,
        n: Notation,
        connection: &Connection,
    ) -> Option<Ownership> {
        let held = connection.ownership.clone();
        if n.is_syn() {
            let mut answers = self.later(at, client).filter_map(|(_, later)| match later {
                Later::FromServer(n) => Some(n),
                _ => None,
            });
            let taken = answers.next().is_some_and(Notation::is_syn_ack);
            if held.is_some() || !taken || self.cookies {
                return held;
            }
            let listener = self.sole().or_else(|| self.target(at, client));
            return Some(Ownership { stage: Stage::Request, listener, ended: false, reset: false });
        }
        if n.flags.rst() {
            let exact = n.seq == connection.end;
            return if exact { held.and_then(Ownership::after_reset) } else { held };
        }
        let waits = held.as_ref().is_none_or(|ownership| ownership.stage == Stage::Request);
        let cookie = held.is_none() && self.cookies;
        let gets_through = n.flags.ack() && !self.gate_closed && (held.is_some() || cookie);
        if !waits || !gets_through || !self.completes(at, client, n) {
            return held;
        }
        let listener = held.and_then(|ownership| ownership.listener);
        let listener = match self.is_live(listener.as_deref()) {
            true => listener,
            false => self.target(at, client).or_else(|| self.sole()),
        };
        Some(Ownership { stage: Stage::Child, listener, ended: false, reset: false })
    }

    fn server_sent(&mut self, at: usize, client: &str, n: Notation) -> Annotation {
        let mut annotation = Annotation::default();
        let now = self.lines[at].since_start;
        let mut connection = self.connections.remove(client).unwrap_or_default();
        let before = connection.ownership.clone();
        // What the gate dropped the server has not seen, and cannot answer.
        if n.is_syn_ack()
            && let Some(LastSegment { by_client: false, when }) = connection.last
            && now.saturating_sub(when) >= SYN_ACK_TIMER
        {
            let waited = seconds(now.saturating_sub(when));
            annotation.timer = Some(format!("SYN+ACK timer, {waited} later"));
            // Nobody sends one for a listener that has ended: the timer moved the request.
            if let Some(ownership) = &mut connection.ownership
                && !self.is_live(ownership.listener.as_deref())
            {
                let listener = self.sole().or_else(|| self.target(at, client));
                *ownership =
                    Ownership { stage: Stage::Request, listener, ended: false, reset: false };
            }
        }
        let takes_data = n.is_syn_ack() && n.ack.is_some_and(|ack| ack > 1);
        if takes_data && let Some(ownership) = &mut connection.ownership {
            ownership.stage = Stage::Child;
        }
        let holds = connection.ownership.clone();
        if n.flags.rst() {
            let held = connection.ownership.take();
            connection.ownership = match self.accepted_later(at, client) {
                // It answers a segment, and ends nothing.
                true if held.as_ref().is_some_and(|held| held.stage == Stage::Request) => held,
                true => held.and_then(Ownership::after_reset).map(|held| Ownership {
                    listener: self.target(at, client).or(held.listener.clone()),
                    ..held
                }),
                false => {
                    held.filter(|_| self.was_destroyed(at, client)).and_then(Ownership::after_reset)
                }
            };
        }
        annotation.column = holds.and_then(|ownership| ownership.listener);
        if connection.ownership != before {
            annotation.owners.push((client.to_owned(), connection.ownership.clone()));
        }
        connection.last = Some(LastSegment { by_client: false, when: now });
        self.connections.insert(client.to_owned(), connection);
        annotation
    }

    /// Whether somebody accepts the connection later.
    fn accepted_later(&self, at: usize, client: &str) -> bool {
        self.later(at, client)
            .take_while(|(_, later)| !matches!(later, Later::FromClient(n) if n.is_syn() && n.seq == 0))
            .any(|(_, later)| {
                matches!(later, Later::Act(Effect::Accepts { client: whose, .. }) if whose == client)
            })
    }

    /// Whether the last act was to destroy the client's child.
    fn was_destroyed(&self, at: usize, client: &str) -> bool {
        let before = self.acts.partition_point(|index| *index < at);
        let last = self.acts[..before].last();
        let act = last.and_then(|index| self.lines[*index].done()).map(Effect::of);
        matches!(act, Some(Effect::DestroysChild(whose)) if whose == client)
    }

    fn act(&mut self, at: usize) -> Annotation {
        let mut annotation = Annotation::default();
        let Some(effect) = self.lines[at].done().map(Effect::of) else { return annotation };
        match effect {
            Effect::Migration(on) => self.migration = on,
            Effect::Cookies(always) => self.cookies = always,
            Effect::Program => self.program = true,
            Effect::Gate { closed } => self.gate_closed = closed,
            Effect::Begins(listener) => {
                if !self.is_live(Some(listener)) {
                    self.live.push(listener.to_owned());
                    annotation.changes.push((listener.to_owned(), Change::Begins));
                }
            }
            Effect::Ends(listeners) => {
                for listener in listeners {
                    if self.is_live(Some(listener)) {
                        self.live.retain(|live| live != listener);
                        annotation.changes.push((listener.to_owned(), Change::Ends));
                        annotation.owners.extend(self.left_by(at, listener));
                    }
                }
            }
            Effect::Accepts { listener, client } => {
                let ownership = Ownership {
                    stage: Stage::Accepted,
                    listener: Some(listener.to_owned()),
                    ended: false,
                    reset: false,
                };
                self.connections.entry(client.to_owned()).or_default().ownership =
                    Some(ownership.clone());
                annotation.owners.push((client.to_owned(), Some(ownership)));
            }
            Effect::Unknown => self.uncertain = true,
            Effect::Connects(client) => {
                self.sockets.insert(client.to_owned());
            }
            Effect::DestroysChild(_) | Effect::None => {}
        }
        annotation
    }

    /// What happens to a listener's connections when it has ended.
    fn left_by(&mut self, at: usize, listener: &str) -> Vec<(String, Option<Ownership>)> {
        let its = |ownership: &Ownership| {
            ownership.stage != Stage::Accepted && ownership.listener.as_deref() == Some(listener)
        };
        let left: Vec<String> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.ownership.as_ref().is_some_and(its))
            .map(|(client, _)| client.clone())
            .collect();
        let mut changed = Vec::new();
        for client in left {
            let was_reset = self.later(at, &client).find_map(|(_, later)| match later {
                Later::FromServer(n) => Some(n.flags.rst()),
                Later::Act(Effect::DestroysChild(whose)) if whose == client => Some(false),
                _ => None,
            });
            let target = self.target(at, &client);
            let stays = !self.migration && !self.program;
            let sole = self.sole().filter(|_| self.migration);
            let Some(ownership) =
                self.connections.get_mut(&client).and_then(|c| c.ownership.as_mut())
            else {
                continue;
            };
            match ownership.stage {
                Stage::Request => ownership.ended = true,
                // It is freed with the queue, and nobody is left to annotate.
                _ if ownership.reset && stays && target.is_none() => {
                    self.connections.entry(client.clone()).or_default().ownership = None;
                    changed.push((client, None));
                    continue;
                }
                // The reset's own line says it.
                _ if target.is_none() && was_reset == Some(true) => continue,
                _ => ownership.listener = target.or(sole),
            }
            changed.push((client, Some(ownership.clone())));
        }
        changed
    }
}

/// The client of a segment, and whether it is the sender.
fn client_of(line: &Line) -> Option<(&str, bool)> {
    let (from, to) = line.ends()?;
    Some(if to == SERVER { (from, true) } else { (to, false) })
}

enum Later<'l> {
    FromClient(Notation),
    FromServer(Notation),
    Act(Effect<'l>),
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
