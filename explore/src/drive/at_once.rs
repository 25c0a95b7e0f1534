//! Two steps at the same time, and which order of them explains what was seen.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use harness::net::sysctl;
use harness::process::at_once::{AtOnce, TwoProcessors};
use harness::socket::{Child, Listener};
use harness::trace::Direction;
use harness::{Error, Result, bpf};
use serde::{Deserialize, Serialize};

use crate::drive::{Driver, Open, call_result, draft, listen, numbers, refused};
use crate::history::History;
use crate::model::{
    Answer, Between, CallResult, Difference, Model, ModelBug, Rest, STEPS_TAKE, Seen,
};
use crate::step::{ClientId, ListenerId, Segment, Setting, Step};

/// What one round of a pair does: steps, and then two at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The steps before, with the clients' hashes. The last client does nothing in them.
    pub before: History,
    /// The two.
    pub at_once: [Step; 2],
}

/// How the two steps of a round are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swing {
    /// By how many nanoseconds the second one is to begin later than the first one.
    pub apart: i64,
    /// The second one is done on the processor where everything else is done.
    pub is_swapped: bool,
}

/// Which of the two steps came first, for the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The first one.
    FirstBeforeSecond,
    /// The second one.
    SecondBeforeFirst,
}

/// What came of a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Raced {
    /// A step was taken so late that timers may have fired: nothing was learned.
    TooSlow,
    /// The kernel disagrees with the model before the two steps: there is no race to judge.
    Before(Step, Vec<Difference>),
    /// The two were done.
    AtOnce {
        /// By how many nanoseconds the second one began later than the first one.
        apart: i64,
        /// What explains what was seen.
        verdict: Verdict,
    },
}

/// What explains what was seen of two steps at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// This order, and not the other one.
    Order(Order),
    /// Either order: they look alike.
    Either,
    /// Neither order, and something between them that healthy kernels leave open.
    Between(Between),
    /// Neither.
    Neither(Neither),
}

/// Something that neither order explains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neither {
    /// The step after the two in which it was seen; none if it was seen of the two themselves.
    pub at: Option<Step>,
    /// What was possible until then, and in what each differs from what was seen.
    pub possible: Vec<(Possibility, Vec<Difference>)>,
}

/// An order that is still possible: what the server has after it.
struct Possible {
    what: Possibility,
    model: Model,
    /// Who had a child at any time since the two began. When its acknowledgements are sent
    /// depends on the time.
    with_child: BTreeSet<ClientId>,
}

/// What the two steps may have come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Possibility {
    /// An order of them.
    Order(Order),
    /// Something between them.
    Between(Between),
}

/// What the two steps returned, in the order in which the round names them, and what else was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Both {
    results: [CallResult; 2],
    seen: Seen,
}

/// A step that is ready to be taken, and what it needs.
enum Deed<'a> {
    Listen(&'a Listener, u32),
    Shutdown(&'a Listener, Direction),
    Close(Listener),
    Accept(&'a Listener),
    Select(&'a Listener, Option<u32>),
    Set(Setting),
    Other(Step, &'a Driver, &'a Open, (u32, u32)),
}

/// What became of one.
enum Done {
    Call(io::Result<()>),
    Accepted(Result<Option<Child>>),
    Laboratory(Result<()>),
}

impl Driver {
    /// Plays a round, and cleans up.
    ///
    /// # Errors
    /// The laboratory broke.
    pub fn race(
        &mut self,
        round: &Round,
        bugs: &BTreeSet<ModelBug>,
        two: &TwoProcessors,
        swing: Swing,
    ) -> Result<Raced> {
        let mut open = self.begin(&round.before)?;
        let raced = self.race_in(round, bugs, two, swing, &mut open);
        let cleaned = self.clean_up(open);
        let raced = raced?;
        cleaned?;
        Ok(raced)
    }

    fn race_in(
        &mut self,
        round: &Round,
        bugs: &BTreeSet<ModelBug>,
        two: &TwoProcessors,
        swing: Swing,
        open: &mut Open,
    ) -> Result<Raced> {
        let mut model = Model::new(bugs.clone(), &round.before.slots);
        let mut since = Instant::now();
        for step in &round.before.steps {
            let Some(taken) = self.step(step, &mut model, open, &mut since)? else {
                return Ok(Raced::TooSlow);
            };
            let differences = taken.model.differences(&taken.kernel);
            if !differences.is_empty() {
                return Ok(Raced::Before(*step, differences));
            }
        }
        let steps = round.at_once.map(|step| (step, numbers(&model, &step)));
        let AtOnce { here, there, apart } = self.do_at_once(steps, two, swing, open)?;
        let (results, apart) = match swing.is_swapped {
            false => ([here, there], apart),
            true => ([there, here], -apart),
        };
        let [first, second] = results;
        let results = [self.returned(first, open)?, self.returned(second, open)?];
        let verdict = self.judge(round, &model, results, open, since)?;
        if since.elapsed() > Duration::from_millis(STEPS_TAKE) && model.has_timers() {
            return Ok(Raced::TooSlow);
        }
        Ok(Raced::AtOnce { apart, verdict })
    }

    /// Does the two, each on its processor.
    fn do_at_once(
        &mut self,
        steps: [(Step, (u32, u32)); 2],
        two: &TwoProcessors,
        swing: Swing,
        open: &mut Open,
    ) -> Result<AtOnce<Done, Done>> {
        for (step, _) in &steps {
            if let Step::Listen { listener, defer_accept, fast_open, .. } = *step {
                let socket = bound(listener, defer_accept, fast_open)?;
                self.lab.watch(&socket, listener.0 as u64)?;
                open.listeners[listener.0].push(socket);
            }
        }
        for (step, _) in &steps {
            if let Step::Set(setting) = step {
                // Written behind the driver's back.
                self.settings.remove(setting.name());
            }
        }
        // A descriptor that is closed is nobody else's from here on.
        let closing = steps.map(|(step, _)| match step {
            Step::Close { listener } => Some(&mut open.listeners[listener.0]).and_then(Vec::pop),
            _ => None,
        });
        let (driver, open) = (&*self, &*open);
        let [first, second] = closing;
        let first = deed(steps[0], first, driver, open)?;
        let second = deed(steps[1], second, driver, open)?;
        // What is sent there arrives there.
        let there = |deed: Deed<'_>| {
            let done = deed.done();
            driver.lab.settle().map(|()| done)
        };
        let AtOnce { here, there, apart } = match swing.is_swapped {
            false => two.at_once(swing.apart, || first.done(), || there(second))?,
            true => two.at_once(-swing.apart, || second.done(), || there(first))?,
        };
        Ok(AtOnce { here, there: there?, apart })
    }

    /// What a call returned; a child is kept. How much there was to receive is not looked at: that
    /// depends on when somebody does.
    fn returned(&mut self, done: Done, open: &mut Open) -> Result<CallResult> {
        match done {
            Done::Call(done) => Ok(call_result(done)),
            Done::Laboratory(done) => done.map(|()| CallResult::Done),
            Done::Accepted(Ok(None)) => Ok(CallResult::Refused("EAGAIN".to_owned())),
            Done::Accepted(Err(Error::Tested { source, .. })) => Ok(call_result(Err(source))),
            Done::Accepted(Err(other)) => Err(other),
            Done::Accepted(Ok(Some(child))) => {
                let client = open.client_of(&child);
                self.lab.receive_all(&child)?;
                open.accepted.push(child);
                Ok(whose(client))
            }
        }
    }

    fn judge(
        &mut self,
        round: &Round,
        model: &Model,
        results: [CallResult; 2],
        open: &mut Open,
        mut since: Instant,
    ) -> Result<Verdict> {
        let orders = [Order::FirstBeforeSecond, Order::SecondBeforeFirst]
            .map(|order| in_order(model, &round.at_once, order));
        let between = model.between(&round.at_once).into_iter();
        let expected: Vec<(Possible, Both)> =
            orders.into_iter().chain(between.map(in_between)).collect();
        let with_child: BTreeSet<ClientId> =
            expected.iter().flat_map(|(possible, _)| possible.with_child.clone()).collect();
        let queues = every_queue(expected.iter().map(|(_, both)| &both.seen));
        let seen = self.look(CallResult::Done, open, &queues, &with_child)?;
        let seen = Both { results, seen }.comparable(&with_child);
        let mut possible = Vec::new();
        let mut differing = Vec::new();
        for (one, both) in expected {
            let differences = both.comparable(&with_child).differences(&seen);
            if differences.is_empty() {
                possible.push(one);
            } else {
                differing.push((one.what, differences));
            }
        }
        // An order explains it better than what needs two looks.
        let is_order = |one: &Possible| matches!(one.what, Possibility::Order(_));
        if possible.iter().any(is_order) {
            possible.retain(is_order);
        }
        if possible.is_empty() {
            return Ok(Verdict::Neither(Neither { at: None, possible: differing }));
        }
        if let Some(neither) = self.rest(round, &mut possible, open, &mut since)? {
            return Ok(Verdict::Neither(neither));
        }
        Ok(match possible.as_slice() {
            [Possible { what: Possibility::Order(order), .. }] => Verdict::Order(*order),
            [Possible { what: Possibility::Between(between), .. }, ..] => {
                Verdict::Between(*between)
            }
            _ => Verdict::Either,
        })
    }

    /// What must hold afterwards: whoever waits is accepted, nobody else is, and a new client
    /// finds the room of a fresh listener. Orders that it does not fit are not possible any more;
    /// the result is what none of them explains.
    fn rest(
        &mut self,
        round: &Round,
        possible: &mut Vec<Possible>,
        open: &mut Open,
        since: &mut Instant,
    ) -> Result<Option<Neither>> {
        let newcomer = ClientId(round.before.slots.len() - 1);
        for segment in [None, Some(Segment::Syn), Some(Segment::Ack)] {
            if let Some(segment) = segment {
                let step = Step::Send { client: newcomer, segment };
                if let Some(neither) = self.after(&step, possible, open, since)? {
                    return Ok(Some(neither));
                }
                if segment == Segment::Syn {
                    continue;
                }
            }
            for (listener, most) in longest_queues(possible) {
                for _ in 0..=most {
                    let step = Step::Accept { listener };
                    if let Some(neither) = self.after(&step, possible, open, since)? {
                        return Ok(Some(neither));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Takes a step afterwards.
    fn after(
        &mut self,
        step: &Step,
        possible: &mut Vec<Possible>,
        open: &mut Open,
        since: &mut Instant,
    ) -> Result<Option<Neither>> {
        let numbers = numbers(&possible[0].model, step);
        let mut expected = Vec::new();
        let mut with_child = BTreeSet::new();
        for one in possible.iter_mut() {
            expected.push(one.model.step(step));
            with_child.append(&mut one.model.clients_with_child());
        }
        let result = self.take(step, numbers, open, *since)?;
        let seen = self.look(result, open, &every_queue(&expected), &with_child)?;
        let seen = comparable(seen, &with_child);
        let mut differing = Vec::new();
        let mut expected = expected.into_iter();
        possible.retain(|one| {
            let Some(expected) = expected.next() else { return false };
            let differences = differences(&comparable(expected, &with_child), &seen);
            let fits = differences.is_empty();
            if !fits {
                differing.push((one.what, differences));
            }
            fits
        });
        let neither = Neither { at: Some(*step), possible: differing };
        Ok(possible.is_empty().then_some(neither))
    }
}

impl Both {
    fn comparable(self, with_child: &BTreeSet<ClientId>) -> Self {
        Self { results: self.results, seen: comparable(self.seen, with_child) }
    }

    fn differences(&self, kernel: &Self) -> Vec<Difference> {
        let mut found = differences(&self.seen, &kernel.seen);
        for (model, kernel) in self.results.iter().zip(&kernel.results) {
            let with = |result: &CallResult| Seen { result: result.clone(), ..Seen::default() };
            found.append(&mut with(model).differences(&with(kernel)));
        }
        found
    }
}

/// What is left of what was seen where two things happened: the answers to each client in their
/// order, but no acknowledgement of a connection, and whom `epoll` reports that still has a child.
fn comparable(mut seen: Seen, with_child: &BTreeSet<ClientId>) -> Seen {
    seen.answers.retain(|(client, answer)| {
        !(matches!(answer, Answer::Ack { .. }) && with_child.contains(client))
    });
    // The two may have been answered on two processors.
    seen.answers.sort();
    seen.counters.retain(|_, grown| *grown != 0);
    let has_child = |listener: &ListenerId| seen.queues.get(listener).is_some_and(|long| *long > 0);
    seen.woken = seen.woken.into_iter().filter(has_child).collect();
    if let CallResult::Accepted { client, .. } = seen.result {
        seen.result = whose(client);
    }
    seen
}

/// The queues of every listener that listens in one of these.
fn every_queue<'a>(expected: impl IntoIterator<Item = &'a Seen>) -> Seen {
    let queues = expected.into_iter().flat_map(|seen| seen.queues.clone()).collect();
    Seen { queues, ..Seen::default() }
}

/// In what the kernel differs from what must be seen. Whoever does not listen then has no queue.
fn differences(expected: &Seen, kernel: &Seen) -> Vec<Difference> {
    let mut kernel = kernel.clone();
    kernel.queues.retain(|listener, _| expected.queues.contains_key(listener));
    kernel.woken.retain(|listener| expected.queues.contains_key(listener));
    expected.differences(&kernel)
}

fn whose(client: ClientId) -> CallResult {
    CallResult::Accepted { client, bytes: 0, then: Rest::More }
}

/// What is seen of two steps, one after the other in this order.
fn in_order(model: &Model, steps: &[Step; 2], order: Order) -> (Possible, Both) {
    let mut model = model.clone();
    let indices = match order {
        Order::FirstBeforeSecond => [0, 1],
        Order::SecondBeforeFirst => [1, 0],
    };
    let mut results = [CallResult::Done, CallResult::Done];
    let mut both = Seen::default();
    let mut with_child = model.clients_with_child();
    for index in indices {
        let mut seen = model.step(&steps[index]);
        with_child.append(&mut model.clients_with_child());
        results[index] = match std::mem::take(&mut seen.result) {
            CallResult::Accepted { client, .. } => whose(client),
            other => other,
        };
        both = both.and_then(seen);
    }
    let what = Possibility::Order(order);
    (Possible { what, model, with_child }, Both { results, seen: both })
}

/// What is seen of two steps, neither of which returns anything, and of what is between them.
fn in_between((between, model, seen): (Between, Model, Seen)) -> (Possible, Both) {
    let with_child = model.clients_with_child();
    let results = [CallResult::Done, CallResult::Done];
    let what = Possibility::Between(between);
    (Possible { what, model, with_child }, Both { results, seen })
}

/// How many children wait at most at each listener that listens.
fn longest_queues(possible: &[Possible]) -> Vec<(ListenerId, u32)> {
    let mut longest = BTreeMap::new();
    for (listener, long) in possible.iter().flat_map(|one| one.model.queues()) {
        let most = longest.entry(listener).or_insert(long);
        *most = long.max(*most);
    }
    longest.into_iter().collect()
}

/// A socket that has everything that a listener needs, and does not listen yet.
fn bound(listener: ListenerId, defer_accept: bool, fast_open: u32) -> Result<Listener> {
    listen(&listener.to_string(), None, defer_accept, fast_open).map_err(|e| refused("bind", e))
}

fn deed<'a>(
    (step, numbers): (Step, (u32, u32)),
    closing: Option<Listener>,
    driver: &'a Driver,
    open: &'a Open,
) -> Result<Deed<'a>> {
    Ok(match step {
        Step::Listen { listener, backlog, .. } | Step::ListenAgain { listener, backlog } => {
            Deed::Listen(open.listener(listener)?, backlog)
        }
        Step::Shutdown { listener, how } => Deed::Shutdown(open.listener(listener)?, how),
        Step::Close { listener } => Deed::Close(
            closing
                .ok_or_else(|| Error::unreadable("a step", format!("{listener} is not open")))?,
        ),
        Step::Accept { listener } => Deed::Accept(open.listener(listener)?),
        Step::SelectIndex { listener, index } => {
            Deed::Select(open.listener(listener)?, Some(index))
        }
        Step::SelectByHash { listener } => Deed::Select(open.listener(listener)?, None),
        Step::Set(setting) => Deed::Set(setting),
        Step::Duplicate { .. } | Step::Send { .. } | Step::Wait => {
            Deed::Other(step, driver, open, numbers)
        }
    })
}

impl Deed<'_> {
    fn done(self) -> Done {
        match self {
            Self::Listen(socket, backlog) => Done::Call(socket.listen(backlog.cast_signed())),
            Self::Shutdown(socket, how) => Done::Call(socket.shutdown(match how {
                Direction::Read => Shutdown::Read,
                Direction::Write => Shutdown::Write,
                Direction::Both => Shutdown::Both,
            })),
            Self::Close(socket) => {
                drop(socket);
                Done::Call(Ok(()))
            }
            Self::Accept(socket) => Done::Accepted(socket.accept_now()),
            Self::Select(socket, Some(index)) => Done::Call(bpf::select_index(socket, index)),
            Self::Select(socket, None) => Done::Call(bpf::detach(socket)),
            Self::Set(setting) => {
                Done::Laboratory(sysctl::write(setting.name(), &setting.value().to_string()))
            }
            Self::Other(step, driver, open, numbers) => {
                Done::Laboratory(driver.send(&step, open, numbers))
            }
        }
    }
}

impl Driver {
    fn send(&self, step: &Step, open: &Open, numbers: (u32, u32)) -> Result<()> {
        let Step::Send { client, segment } = *step else {
            return Err(Error::unreadable("a step", format!("`{step}` at the same time")));
        };
        let peer = &open.clients[client.0];
        self.lab.send(peer.address, &draft(segment, numbers), peer.initial.unwrap_or(0))
    }
}

impl Neither {
    /// In what it is like others: the step, and in what the kernel differs from that which is
    /// nearest to what was seen.
    pub fn signature(&self) -> String {
        let at = self.at.map_or("the two", |step| step.word());
        let nearest = self.possible.iter().map(|(_, differences)| differences);
        let nearest = nearest.min_by_key(|differences| differences.len());
        let of: BTreeSet<String> =
            nearest.into_iter().flatten().map(|difference| difference.of.to_string()).collect();
        let of: Vec<String> = of.into_iter().collect();
        format!("{at}: {}", of.join(", "))
    }
}
