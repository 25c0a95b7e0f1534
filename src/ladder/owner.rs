//! Whose a connection is at each moment, as far as a trace tells.
//!
//! The kernel shows nobody which listener a request or a waiting child belongs to. What is
//! said here is concluded from what the trace shows and from what a kernel can do at all:
//! a connection belongs to a listener from its SYN on, a child changes hands only when its
//! listener ends, a request only by the segment or the timer that comes next, and who
//! accepts a connection has had it since it last could change hands. Where that leaves a
//! choice, nothing is said.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use harness::lab::SERVER;
use harness::trace::Line;

use crate::ladder::act::act_of;
use crate::ladder::notation::Notation;
use crate::ladder::rung::Change;

/// What a timer needs at least: the first SYN+ACK comes again after a second, data after
/// 200 ms, and the kernel's timers may fire a little early as the wire sees it.
const SYN_ACK_TIMER: Duration = Duration::from_millis(900);
const DATA_TIMER: Duration = Duration::from_millis(180);

/// How far a connection has come, and with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenure {
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

impl fmt::Display for Tenure {
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

impl Tenure {
    /// What is left when a reset has come: of a child that nobody has accepted yet, its
    /// place in the queue.
    fn after_reset(self) -> Option<Self> {
        (self.stage == Stage::Child).then_some(Self { reset: true, ..self })
    }
}

/// What a line of a trace tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The listener that a segment goes to or comes from.
    pub column: Option<String>,
    /// The listener that begins or ends.
    pub change: Option<(String, Change)>,
    /// Clients whose connections have changed hands; nothing for one that is gone.
    pub owners: Vec<(String, Option<Tenure>)>,
    /// The gate dropped it.
    pub dropped: bool,
    /// The timer that sent it, or that it came again.
    pub timer: Option<String>,
}

/// What each line tells.
pub fn told(lines: &[Line]) -> Vec<Told> {
    let mut follower = Follower::new(lines);
    (0..lines.len()).map(|at| follower.next(at)).collect()
}

struct Follower<'l> {
    lines: &'l [Line],
    notations: Vec<Option<Notation>>,
    live: Vec<String>,
    connections: BTreeMap<String, Connection>,
    migration: bool,
    /// A group has a program, which may migrate what the setting would not.
    program: bool,
    gate_closed: bool,
    cookies: bool,
    /// Something ended that the trace does not name.
    uncertain: bool,
}

#[derive(Debug, Clone, Default)]
struct Connection {
    tenure: Option<Tenure>,
    /// Number behind the last byte that the client sent.
    end: u32,
    /// The client is a socket of a kernel, which has timers.
    has_timers: bool,
    sent: Vec<Sent>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    by_client: bool,
    segment: Notation,
    when: Duration,
    /// The gate dropped it.
    dropped: bool,
}

impl<'l> Follower<'l> {
    fn new(lines: &'l [Line]) -> Self {
        let notation = |line: &Line| line.actors.as_ref().and_then(|_| Notation::of(&line.what));
        Self {
            lines,
            notations: lines.iter().map(notation).collect(),
            live: vec![],
            connections: BTreeMap::new(),
            migration: false,
            program: false,
            gate_closed: false,
            cookies: false,
            uncertain: false,
        }
    }

    fn next(&mut self, at: usize) -> Told {
        match (self.client_of(at), self.notations[at]) {
            (Some((client, true)), Some(notation)) => self.client_sent(at, &client, notation),
            (Some((client, false)), Some(notation)) => self.server_sent(at, &client, notation),
            (Some(_), None) => Told::default(),
            (None, _) => self.act(at),
        }
    }

    /// The client of a segment, and whether it is the sender.
    fn client_of(&self, at: usize) -> Option<(String, bool)> {
        let (from, to) = self.lines[at].actors.as_ref()?;
        Some(if to == SERVER { (from.clone(), true) } else { (to.clone(), false) })
    }

    /// What follows, up to the next SYN of the same client that opens another connection.
    fn later<'s>(&'s self, at: usize, client: &'s str) -> impl Iterator<Item = (usize, Later<'s>)> {
        (at + 1..self.lines.len()).filter_map(move |index| match self.client_of(index) {
            Some((other, _)) if other != client => None,
            Some((_, from_client)) => self.notations[index].map(|notation| match from_client {
                true => (index, Later::FromClient(notation)),
                false => (index, Later::FromServer(notation)),
            }),
            None => Some((index, Later::Act(act_of(&self.lines[index])))),
        })
    }

    /// Who will accept a connection, if no other listener's end can have moved it before.
    fn heir(&self, at: usize, client: &str) -> Option<String> {
        let (mut ended, mut destroyed) = (Vec::new(), false);
        for (_, later) in self.later(at, client) {
            match later {
                Later::Act(act) => {
                    if let Some(listener) = accepts(act, client) {
                        let moved = ended.iter().any(|other| *other != listener);
                        return (!moved).then(|| listener.to_owned());
                    }
                    ended.extend(ended_by(act));
                    destroyed |= destroys(act, client);
                }
                Later::FromClient(syn) if syn.is_syn() && syn.seq == 0 => {}
                Later::FromServer(n) if n.flags.rst() && !destroyed => return None,
                Later::FromClient(_) | Later::FromServer(_) => {}
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

    fn is_live(&self, listener: Option<&String>) -> bool {
        listener.is_some_and(|listener| self.live.contains(listener))
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
                Later::Act(act) if accepts(act, client).is_some() => return true,
                Later::FromClient(next) if next.is_syn() => return false,
                Later::FromClient(next) if next == n && n.len > 0 => return false,
                Later::Act(_) | Later::FromClient(_) => {}
            }
        }
        false
    }

    fn client_sent(&mut self, at: usize, client: &str, n: Notation) -> Told {
        let mut told = Told::default();
        let now = self.lines[at].since_start;
        let before = self.connections.get(client).cloned().unwrap_or_default();
        let again = before.sent.iter().rfind(|sent| sent.by_client && sent.segment == n);
        let again = again.map(|sent| sent.when);
        let opens = n.is_syn() && again.is_none();
        let mut connection = if opens { Connection::default() } else { before };
        if opens {
            connection.has_timers = self.lines[at].detail.contains("TS val");
        }
        if let Some(when) = again
            && (n.len > 0 || n.flags.syn() || n.is_fin())
        {
            let waited = now.saturating_sub(when);
            let timer = connection.has_timers && waited >= DATA_TIMER;
            let what = if timer { "retransmission" } else { "again" };
            told.timer = Some(format!("{what}, {} later", seconds(waited)));
        }
        let tenure = connection.tenure.clone();
        let after = self.tenure_after(at, client, n, &connection);
        told.dropped = self.gate_closed && !n.flags.syn() && !n.flags.rst();
        let holds = after.as_ref().or(tenure.as_ref());
        told.column = holds.and_then(|tenure| tenure.listener.clone());
        if after != tenure {
            told.owners.push((client.to_owned(), after.clone()));
        }
        connection.end = connection.end.max(n.end());
        connection.tenure = after;
        connection.sent.push(Sent {
            by_client: true,
            segment: n,
            when: now,
            dropped: told.dropped,
        });
        self.connections.insert(client.to_owned(), connection);
        told
    }

    /// Whose the connection is when a segment of the client has been dealt with.
    fn tenure_after(
        &self,
        at: usize,
        client: &str,
        n: Notation,
        connection: &Connection,
    ) -> Option<Tenure> {
        let held = connection.tenure.clone();
        if n.is_syn() {
            let mut answers = self.later(at, client).filter_map(|(_, later)| match later {
                Later::FromServer(n) => Some(n),
                _ => None,
            });
            let taken = answers.next().is_some_and(Notation::is_syn_ack);
            if held.is_some() || !taken || self.cookies {
                return held;
            }
            let listener = self.sole().or_else(|| self.heir(at, client));
            return Some(Tenure { stage: Stage::Request, listener, ended: false, reset: false });
        }
        if n.flags.rst() {
            let exact = n.seq == connection.end;
            return if exact { held.and_then(Tenure::after_reset) } else { held };
        }
        let waits = held.as_ref().is_none_or(|tenure| tenure.stage == Stage::Request);
        let cookie = held.is_none() && self.cookies;
        let gets_through = n.flags.ack() && !self.gate_closed && (held.is_some() || cookie);
        if !waits || !gets_through || !self.completes(at, client, n) {
            return held;
        }
        let listener = held.and_then(|tenure| tenure.listener);
        let listener = match self.is_live(listener.as_ref()) {
            true => listener,
            false => self.heir(at, client).or_else(|| self.sole()),
        };
        Some(Tenure { stage: Stage::Child, listener, ended: false, reset: false })
    }

    fn server_sent(&mut self, at: usize, client: &str, n: Notation) -> Told {
        let mut told = Told::default();
        let now = self.lines[at].since_start;
        let mut connection = self.connections.get(client).cloned().unwrap_or_default();
        let before = connection.tenure.clone();
        // What the gate dropped the server has not seen, and cannot answer.
        let last = connection.sent.iter().rfind(|sent| !sent.dropped).copied();
        if n.is_syn_ack()
            && let Some(Sent { by_client: false, when, .. }) = last
            && now.saturating_sub(when) >= SYN_ACK_TIMER
        {
            let waited = seconds(now.saturating_sub(when));
            told.timer = Some(format!("SYN+ACK timer, {waited} later"));
            // Nobody sends one for a listener that has ended: the timer moved the request.
            if let Some(tenure) = &mut connection.tenure
                && !self.is_live(tenure.listener.as_ref())
            {
                let listener = self.sole().or_else(|| self.heir(at, client));
                *tenure = Tenure { stage: Stage::Request, listener, ended: false, reset: false };
            }
        }
        let takes_data = n.is_syn_ack() && n.ack.is_some_and(|ack| ack > 1);
        if takes_data && let Some(tenure) = &mut connection.tenure {
            tenure.stage = Stage::Child;
        }
        let holds = connection.tenure.clone();
        if n.flags.rst() {
            let held = connection.tenure.take().filter(|_| self.was_destroyed(at, client));
            connection.tenure = held.and_then(Tenure::after_reset);
        }
        told.column = holds.and_then(|tenure| tenure.listener);
        if connection.tenure != before {
            told.owners.push((client.to_owned(), connection.tenure.clone()));
        }
        connection.sent.push(Sent { by_client: false, segment: n, when: now, dropped: false });
        self.connections.insert(client.to_owned(), connection);
        told
    }

    /// Whether the last act was to destroy the client's child.
    fn was_destroyed(&self, at: usize, client: &str) -> bool {
        let act = self.lines[..at].iter().rfind(|line| line.actors.is_none()).map(act_of);
        act.is_some_and(|act| destroys(act, client))
    }

    fn act(&mut self, at: usize) -> Told {
        let lines = self.lines;
        let act = act_of(&lines[at]);
        let mut told = Told::default();
        match act.split_once(" = ") {
            Some((harness::sysctl::MIGRATE_REQ, value)) => self.migration = value == "1",
            Some(("net.ipv4.tcp_syncookies", value)) => self.cookies = value == "2",
            _ => {}
        }
        self.program |= act.contains("'s group runs: ");
        if act.starts_with("gate closed") {
            self.gate_closed = true;
        } else if act.starts_with("gate opens") {
            self.gate_closed = false;
        } else if act.contains("kill") || act.contains("KILL") || act.contains("exec") {
            self.uncertain = true;
        }
        if let Some(listener) = argument(act, "listen(") {
            self.live.push(listener.to_owned());
            told.change = Some((listener.to_owned(), Change::Begins));
        }
        if let Some(listener) = ended_by(act).filter(|name| self.ends(at, name)) {
            self.live.retain(|live| live != listener);
            told.change = Some((listener.to_owned(), Change::Ends));
            told.owners = self.left_by(at, listener);
        }
        for (client, connection) in &mut self.connections {
            if let Some(listener) = accepts(act, client) {
                let listener = Some(listener.to_owned());
                connection.tenure =
                    Some(Tenure { stage: Stage::Accepted, listener, ended: false, reset: false });
                told.owners.push((client.clone(), connection.tenure.clone()));
            }
        }
        told
    }

    /// Whether a listener listens no more: it is one, and accepts nothing afterwards.
    fn ends(&self, at: usize, listener: &str) -> bool {
        let accepted = format!("accept({listener}): ");
        let mut acts = self.lines[at + 1..].iter().filter(|line| line.actors.is_none()).map(act_of);
        let later = acts.find(|act| {
            argument(act, "listen(") == Some(listener)
                || (act.starts_with(&accepted) && act.ends_with("'s connection"))
        });
        let goes_on = later.is_some_and(|act| act.starts_with(&accepted));
        self.live.iter().any(|live| live == listener) && !goes_on
    }

    /// What becomes of a listener's connections when it has ended.
    fn left_by(&mut self, at: usize, listener: &str) -> Vec<(String, Option<Tenure>)> {
        let its = |tenure: &Tenure| {
            tenure.stage != Stage::Accepted && tenure.listener.as_deref() == Some(listener)
        };
        let left: Vec<String> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.tenure.as_ref().is_some_and(its))
            .map(|(client, _)| client.clone())
            .collect();
        let mut changed = Vec::new();
        for client in left {
            let was_reset = self.later(at, &client).find_map(|(_, later)| match later {
                Later::FromServer(n) => Some(n.flags.rst()),
                Later::Act(act) if destroys(act, &client) => Some(false),
                _ => None,
            });
            let heir = self.heir(at, &client);
            let stays = !self.migration && !self.program;
            let sole = self.sole().filter(|_| self.migration);
            let Some(tenure) = self.connections.get_mut(&client).and_then(|c| c.tenure.as_mut())
            else {
                continue;
            };
            match tenure.stage {
                Stage::Request => tenure.ended = true,
                // It is freed with the queue, and nobody is left to be told.
                _ if tenure.reset && stays && heir.is_none() => {
                    self.connections.entry(client.clone()).or_default().tenure = None;
                    changed.push((client, None));
                    continue;
                }
                // The reset's own line says it.
                _ if heir.is_none() && was_reset == Some(true) => continue,
                _ => tenure.listener = heir.or(sole),
            }
            changed.push((client, Some(tenure.clone())));
        }
        changed
    }
}

enum Later<'l> {
    FromClient(Notation),
    FromServer(Notation),
    Act(&'l str),
}

/// `A`, if an act is `verb(A)`.
fn argument<'a>(act: &'a str, verb: &str) -> Option<&'a str> {
    act.strip_prefix(verb)?.strip_suffix(')')
}

/// Whether an act destroys the client's child, which its queue keeps.
fn destroys(act: &str, client: &str) -> bool {
    argument(act, "SOCK_DESTROY(").and_then(|what| what.strip_suffix("'s child")) == Some(client)
}

/// The listener that an act ends.
fn ended_by(act: &str) -> Option<&str> {
    let ends = [", SHUT_RD)", ", SHUT_RDWR)"];
    let shut = act.strip_prefix("shutdown(");
    let destroyed = argument(act, "SOCK_DESTROY(").filter(|what| !what.contains("'s "));
    argument(act, "close(")
        .or(destroyed)
        .or_else(|| act.strip_prefix("connect(")?.strip_suffix(", AF_UNSPEC)"))
        .or_else(|| ends.iter().find_map(|end| shut?.strip_suffix(end)))
}

/// The listener that accepts `client`'s connection by this act.
fn accepts<'a>(act: &'a str, client: &str) -> Option<&'a str> {
    let (listener, whose) = act.strip_prefix("accept(")?.split_once("): ")?;
    (whose.strip_suffix("'s connection")? == client).then_some(listener)
}

fn seconds(duration: Duration) -> String {
    format!("{:.2} s", duration.as_secs_f64())
}
