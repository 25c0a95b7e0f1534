//! Does what a history says in a lab, and compares what is seen with what the model says.

pub mod at_once;
mod counting;
mod deed;
mod disagreement;
mod expiry;
mod open;
pub mod orders;
pub mod record;
mod while_timers_fire;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use harness::lab::unrecorded::UnrecordedLab;
use harness::net::draft::Draft;
use harness::net::sysctl;
use harness::net::witness::{Counters, sockets};
use harness::socket::{Child, Listener, Received, Stream};
use harness::{Error, Family, PORT, Result, bpf, errno_name};
use serde::{Deserialize, Serialize};

pub use disagreement::{Disagreement, Played};

use crate::drive::counting::{CountersAre, grown};
use crate::drive::disagreement::Comparison;
use crate::drive::expiry::Expiry;
use crate::drive::open::{Open, Peer, directions, draft};
use crate::drive::record::{acts, looks};
use crate::history::History;
use crate::model::{Answer, CallResult, Model, ModelBug, Rest, SLOTS, STEPS_TAKE, Seen};
use crate::step::{ClientId, ListenerId, MOST_LISTENERS, Segment, Setting, Step};

/// A lab in which histories are played, one after the other.
pub struct Driver {
    family: Family,
    lab: UnrecordedLab,
    /// Clients' addresses by the slot of their hash.
    addresses: Vec<Vec<SocketAddr>>,
    /// The first client whose slot is not known.
    next_client: u16,
    /// The settings as they are.
    settings: BTreeMap<&'static str, u8>,
    counters: Counters,
    /// When timers fire.
    expiry: Expiry,
    /// When a segment was sent last, since the Unix epoch.
    last_sent: Duration,
    /// When SYN+ACKs were sent again that were looked at, since the Unix epoch.
    sent_again: Vec<Duration>,
}

/// A step that was taken: what the model says, and what the kernel did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The step.
    pub step: Step,
    /// The situation in which it was taken, in a few words.
    pub situation: String,
    /// What must be seen.
    pub model: Seen,
    /// What was seen.
    pub kernel: Seen,
}

/// Settings of every history, so that nothing depends on how fast it is: no cookies, no limits
/// on how often the kernel answers, and Fast Open without cookies, for servers.
const SETTINGS: [(&str, &str); 4] = [
    (sysctl::SYNCOOKIES, "0"),
    ("net.ipv4.tcp_invalid_ratelimit", "0"),
    ("net.ipv4.tcp_challenge_ack_limit", "2147483647"),
    ("net.ipv4.tcp_fastopen", "514"),
];

/// Settings as a history finds them.
const FIRST: [Setting; 3] =
    [Setting::MigrateReq(false), Setting::AbortOnOverflow(false), Setting::SynAckRetries(2)];

/// How many clients are asked for at once when their hashes are found out.
const AT_ONCE: u16 = 50;

/// Each slot has this number of addresses at least: few histories need more.
const ADDRESSES: usize = 3;

impl Driver {
    /// Opens the lab of this process, for connections of a family, and finds out which addresses
    /// have which hash.
    ///
    /// # Errors
    /// The lab cannot be set up.
    pub fn open(family: Family) -> Result<Self> {
        for (name, value) in SETTINGS {
            sysctl::write(name, value)?;
        }
        let mut driver = Self {
            family,
            lab: UnrecordedLab::open(family)?,
            addresses: vec![vec![]; SLOTS],
            next_client: 1,
            settings: BTreeMap::new(),
            counters: Counters::read()?,
            expiry: Expiry::open()?,
            last_sent: Duration::ZERO,
            sent_again: vec![],
        };
        driver.find_addresses(&[ADDRESSES; SLOTS])?;
        Ok(driver)
    }

    /// A group of as many listeners as there are slots: which of them a client reaches is its
    /// slot. Each slot has at least as many addresses then as are wanted of it.
    fn find_addresses(&mut self, wanted: &[usize; SLOTS]) -> Result<()> {
        let is_missing = |addresses: &[Vec<SocketAddr>]| {
            addresses.iter().zip(wanted).any(|(of_slot, wanted)| of_slot.len() < *wanted)
        };
        if !is_missing(&self.addresses) {
            return Ok(());
        }
        let listeners = (0..SLOTS)
            .map(|_| {
                listen(self.family, "probe", Some(4096), false, 0).map_err(|e| refused("listen", e))
            })
            .collect::<Result<Vec<_>>>()?;
        while is_missing(&self.addresses) {
            let asked = self.next_client..self.next_client.saturating_add(AT_ONCE);
            self.next_client = asked.end;
            if asked.is_empty() {
                return Err(Error::unreadable("which listener the hash selects", "no pattern"));
            }
            for number in asked {
                self.lab.send(self.lab.client(number), &Draft::syn(), 0)?;
            }
            for answer in self.lab.segments()? {
                if answer.from.port() == PORT && answer.flags.syn() && answer.flags.ack() {
                    self.lab.send(answer.to, &Draft::new(".", 1, 1), answer.seq)?;
                }
            }
            self.lab.segments()?;
            for (addresses, listener) in self.addresses.iter_mut().zip(&listeners) {
                while let Some(child) = listener.accept_now()? {
                    addresses.push(child.peer);
                    child.reset_on_close()?;
                }
            }
        }
        drop(listeners);
        self.lab.segments()?;
        Ok(())
    }

    /// Sleeps for a while.
    pub fn sleep(&self, time: Duration) {
        if !time.is_zero() {
            self.lab.pass(time);
        }
    }

    /// Plays a history, up to a disagreement that is like no known bug, and cleans up. `watch` is shown
    /// each step.
    ///
    /// # Errors
    /// The laboratory broke.
    pub fn play(
        &mut self,
        history: &History,
        bugs: &BTreeSet<ModelBug>,
        mut watch: impl FnMut(&Taken),
    ) -> Result<Played> {
        let mut open = self.begin(history)?;
        let played = self.play_in(history, bugs, &mut open, &mut watch);
        let cleaned = self.clean_up(open);
        let played = played?;
        cleaned?;
        Ok(played)
    }

    fn begin(&mut self, history: &History) -> Result<Open> {
        for setting in FIRST {
            self.set(setting)?;
        }
        let mut wanted = [0; SLOTS];
        history.slots.iter().for_each(|slot| wanted[usize::from(*slot)] += 1);
        self.find_addresses(&wanted)?;
        let mut of_slots: Vec<_> = self.addresses.iter().map(|of_slot| of_slot.iter()).collect();
        let mut clients = Vec::new();
        for slot in &history.slots {
            let address = of_slots[usize::from(*slot)].next().expect("they were found");
            clients.push(Peer { address: *address, initial: None });
        }
        self.lab.segments()?;
        self.lab.woken()?;
        self.counters = Counters::read()?;
        let listeners = (0..MOST_LISTENERS).map(|_| vec![]).collect();
        Ok(Open { listeners, accepted: vec![], clients })
    }

    fn play_in(
        &mut self,
        history: &History,
        bugs: &BTreeSet<ModelBug>,
        open: &mut Open,
        watch: &mut impl FnMut(&Taken),
    ) -> Result<Played> {
        let mut comparison = Comparison::new(history, bugs);
        let mut since = Instant::now();
        while let Some(step) = comparison.next() {
            let is_last = comparison.is_at_the_last();
            let model = &mut comparison.model;
            let Some(taken) = self.step(step, is_last, model, open, &mut since)? else {
                return Ok(Played::TooSlow);
            };
            watch(&taken);
            comparison.compare(&taken.model, &taken.kernel);
        }
        Ok(comparison.played())
    }

    /// Takes a step, as does the model; nothing if it was taken so late that timers may have
    /// fired. `since` is when the last wait ended. If the step `is_counted`, counters are read after
    /// it in any case.
    fn step(
        &mut self,
        step: &Step,
        is_counted: bool,
        model: &mut Model,
        open: &mut Open,
        since: &mut Instant,
    ) -> Result<Option<Taken>> {
        let numbers = numbers(model, step);
        let (before, had_child) = (model.now(), model.clients_with_child());
        let situation = model.situation(step);
        let expected = model.step(step);
        let passes = Duration::from_millis(model.now() - before);
        let began = since_epoch();
        let result = self.take(step, numbers, open, *since + passes)?;
        self.write_down(began, step, numbers, &result, open);
        if *step == Step::Wait {
            *since += passes;
        }
        let established = &had_child | &model.clients_with_child();
        let counters = CountersAre::after(step, is_counted || !expected.counters.is_empty());
        let listening = expected.queues.keys().copied();
        let mut seen = self.look(result, open, listening, &established, counters)?;
        if *step == Step::Wait {
            // Timers of one moment fire in any order.
            seen.answers.sort_by_key(|(client, _)| *client);
        }
        if since.elapsed() > Duration::from_millis(STEPS_TAKE) && model.has_timers() {
            return Ok(None);
        }
        Ok(Some(Taken { step: *step, situation, model: expected, kernel: seen }))
    }

    fn set(&mut self, setting: Setting) -> Result<()> {
        if self.settings.get(setting.name()) != Some(&setting.value()) {
            sysctl::write(setting.name(), &setting.value().to_string())?;
            self.settings.insert(setting.name(), setting.value());
        }
        Ok(())
    }

    /// Takes a step; a wait ends at `until`.
    fn take(
        &mut self,
        step: &Step,
        numbers: (u32, u32),
        open: &mut Open,
        until: Instant,
    ) -> Result<CallResult> {
        let done = |done: io::Result<()>| Ok(call_result(done));
        match *step {
            Step::Set(setting) => {
                self.set(setting)?;
                Ok(CallResult::Done)
            }
            Step::Listen { listener, backlog, defer_accept, fast_open } => {
                let name = listener.to_string();
                match listen(self.family, &name, Some(backlog), defer_accept, fast_open) {
                    Ok(socket) => {
                        self.lab.watch(&socket, listener.0 as u64)?;
                        open.listeners[listener.0].push(socket);
                        Ok(CallResult::Done)
                    }
                    Err(e) => done(Err(e)),
                }
            }
            Step::ListenAgain { listener, backlog } => {
                done(open.listener(listener)?.listen(backlog.cast_signed()))
            }
            Step::Shutdown { listener, how } => {
                done(open.listener(listener)?.shutdown(directions(how)))
            }
            Step::Duplicate { listener } => {
                let other = open.listener(listener)?.duplicate()?;
                open.listeners[listener.0].push(other);
                Ok(CallResult::Done)
            }
            Step::Close { listener } => {
                drop(open.listeners[listener.0].pop());
                Ok(CallResult::Done)
            }
            Step::Accept { listener } => {
                let accepted = open.listener(listener)?.accept_now();
                self.accepted(accepted, open)
            }
            Step::SelectIndex { listener, index } => {
                done(bpf::select_index(open.listener(listener)?, index))
            }
            Step::SelectByHash { listener } => done(bpf::detach(open.listener(listener)?)),
            Step::Send { client, segment } => {
                self.send(&open.clients[client.0], segment, numbers)?;
                self.last_sent = since_epoch();
                Ok(CallResult::Done)
            }
            Step::Wait => {
                self.lab.pass(until.saturating_duration_since(Instant::now()));
                Ok(CallResult::Done)
            }
        }
    }

    fn send(&self, client: &Peer, segment: Segment, numbers: (u32, u32)) -> Result<()> {
        let Peer { address, initial } = client;
        self.lab.send(*address, &draft(segment, numbers), initial.unwrap_or(0))
    }

    /// What `accept` returned, and everything that there is to receive. The child is kept.
    fn accepted(&self, accepted: Result<Option<Child>>, open: &mut Open) -> Result<CallResult> {
        let child = match accepted {
            Ok(Some(child)) => child,
            Ok(None) => return Ok(CallResult::Refused("EAGAIN".to_owned())),
            Err(Error::Tested { source, .. }) => return Ok(call_result(Err(source))),
            Err(other) => return Err(other),
        };
        let client = open.client_of(&child);
        let (bytes, then) = self.lab.receive_all(&child)?;
        let then = match then {
            Received::Bytes(_) | Received::Nothing => Rest::More,
            Received::End => Rest::End,
            Received::Failed(errno) => Rest::Error(errno),
        };
        open.accepted.push(child);
        Ok(CallResult::Accepted { client, bytes, then })
    }

    /// What is seen of a step, with the queues of these listeners; acknowledgements to clients
    /// with an established connection left out.
    fn look(
        &mut self,
        result: CallResult,
        open: &mut Open,
        listening: impl IntoIterator<Item = ListenerId>,
        established: &BTreeSet<ClientId>,
        counters: CountersAre,
    ) -> Result<Seen> {
        let mut answers = Vec::new();
        for segment in self.lab.segments()? {
            let client = open.clients.iter().position(|peer| peer.address == segment.to);
            let Some(index) = client.filter(|_| segment.from.port() == PORT) else { continue };
            let answer = open.clients[index].read(&self.lab, &segment);
            if let Answer::SynAckAgain { .. } = answer {
                self.sent_again.push(segment.at);
            }
            let client = ClientId(index);
            if !(matches!(answer, Answer::Ack { .. }) && established.contains(&client)) {
                answers.push((client, answer));
            }
        }
        let counters = match counters {
            CountersAre::Read => grown(&mut self.counters)?,
            CountersAre::LeftForLater => BTreeMap::new(),
        };
        let (mut queues, mut backlogs) = (BTreeMap::new(), BTreeMap::new());
        for listener in listening {
            if let Some(socket) = open.listeners[listener.0].first() {
                let queue = socket.queue()?;
                queues.insert(listener, queue.waiting);
                backlogs.insert(listener, queue.backlog);
            }
        }
        let woken = self.lab.woken()?.into_iter().map(|number| ListenerId(number as usize));
        let seen = Seen { result, answers, counters, queues, woken: woken.collect() };
        if let Some(record) = self.lab.record() {
            for act in looks(&seen, &backlogs) {
                record.add_act_before_its_packets(since_epoch(), act, None);
            }
        }
        Ok(seen)
    }

    /// Adds a step to the record, if there is one. Its packets have not been looked at yet.
    fn write_down(
        &mut self,
        began: Duration,
        step: &Step,
        numbers: (u32, u32),
        result: &CallResult,
        open: &Open,
    ) {
        let Some(record) = self.lab.record() else { return };
        let is_open = |listener: ListenerId| !open.listeners[listener.0].is_empty();
        let is_last = matches!(step, Step::Close { listener } if !is_open(*listener));
        let passed = since_epoch().saturating_sub(began);
        let (acts, refused) = acts(step, numbers, result, is_last, passed);
        for act in acts {
            record.add_act_before_its_packets(began, act, refused.clone());
        }
    }

    /// Closes everything, and has the kernel drop requests: each finds no listener when its
    /// client sends once more.
    fn clean_up(&mut self, open: Open) -> Result<()> {
        for child in &open.accepted {
            child.reset_on_close()?;
        }
        drop((open.listeners, open.accepted));
        for peer in &open.clients {
            self.lab.send(peer.address, &Draft::new(".", 1, 1), peer.initial.unwrap_or(0))?;
        }
        self.lab.segments()?;
        self.lab.check_complete()
    }

    /// How many sockets and requests there are at the server's port: none, between histories.
    ///
    /// # Errors
    /// The kernel's table cannot be read.
    pub fn left(&self) -> Result<usize> {
        let is_of_server =
            |socket: &&harness::net::witness::SocketLine| socket.local.port() == PORT;
        Ok(sockets(self.family)?.iter().filter(is_of_server).count())
    }
}

/// The time since the Unix epoch, as packets have it.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// SEG.SEQ and SEG.ACK, if the step sends a segment.
fn numbers(model: &Model, step: &Step) -> (u32, u32) {
    match step {
        Step::Send { client, segment } => model.numbers(*client, *segment),
        _ => (0, 0),
    }
}

/// A listener as all of a history are; without a backlog, one that does not listen yet.
fn listen(
    family: Family,
    name: &str,
    backlog: Option<u32>,
    defer_accept: bool,
    fast_open: u32,
) -> io::Result<Listener> {
    let socket = Listener::unrecorded(name, family).map_err(io::Error::other)?;
    socket.reuse_port()?;
    socket.bind_port(PORT)?;
    if defer_accept {
        socket.defer_accept(1)?;
    }
    if fast_open > 0 {
        socket.fast_open(fast_open.cast_signed())?;
    }
    if let Some(backlog) = backlog {
        socket.listen(backlog.cast_signed())?;
    }
    Ok(socket)
}

fn refused(call: &str, source: io::Error) -> Error {
    // One of the laboratory's own says more, of what there is too little for instance.
    source
        .downcast::<Error>()
        .unwrap_or_else(|source| Error::Call { call: call.to_owned(), source })
}

fn call_result(done: io::Result<()>) -> CallResult {
    match done {
        Ok(()) => CallResult::Done,
        Err(e) => CallResult::Refused(errno_name(&e)),
    }
}
