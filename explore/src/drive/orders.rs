//! Which order of two steps, or what between them, explains what was seen.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{Answer, Between, CallResult, Difference, Model, Rest, Seen};
use crate::step::{ClientId, ListenerId, Step};

/// Which of the two steps came first, for the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The first one.
    FirstBeforeSecond,
    /// The second one.
    SecondBeforeFirst,
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
pub(super) struct Possible {
    pub(super) what: Possibility,
    pub(super) model: Model,
    /// Who had a child at any time since the two began. When its acknowledgements are sent
    /// depends on the time.
    pub(super) with_child: BTreeSet<ClientId>,
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
pub(super) struct Both {
    pub(super) results: [CallResult; 2],
    pub(super) seen: Seen,
}

impl Both {
    pub(super) fn comparable(self, with_child: &BTreeSet<ClientId>) -> Self {
        Self { results: self.results, seen: comparable(self.seen, with_child) }
    }

    pub(super) fn differences(&self, kernel: &Self) -> Vec<Difference> {
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
pub(super) fn comparable(mut seen: Seen, with_child: &BTreeSet<ClientId>) -> Seen {
    seen.answers.retain(|(client, answer)| {
        !(matches!(answer, Answer::Ack { .. }) && with_child.contains(client))
    });
    // The two may have been answered on two processors.
    seen.answers.sort();
    seen.counters.retain(|_, grown| *grown != 0);
    let has_child = |listener: &ListenerId| seen.queues.get(listener).is_some_and(|long| *long > 0);
    seen.woken = seen.woken.into_iter().filter(has_child).collect();
    seen.result = unread(seen.result);
    seen
}

/// Every listener that listens in one of these.
pub(super) fn every_listener<'a>(
    expected: impl IntoIterator<Item = &'a Seen>,
) -> BTreeSet<ListenerId> {
    expected.into_iter().flat_map(|seen| seen.queues.keys().copied()).collect()
}

/// What is possible since nothing that was seen differs from it, and what is not.
pub(super) fn sorted_out(
    compared: impl Iterator<Item = (Possible, Vec<Difference>)>,
) -> (Vec<Possible>, Vec<(Possibility, Vec<Difference>)>) {
    let (fitting, differing): (Vec<_>, Vec<_>) =
        compared.partition(|(_, differences)| differences.is_empty());
    (
        fitting.into_iter().map(|(one, _)| one).collect(),
        differing.into_iter().map(|(one, differences)| (one.what, differences)).collect(),
    )
}

/// In what the kernel differs from what must be seen. Whoever does not listen then has no queue.
pub(super) fn differences(expected: &Seen, kernel: &Seen) -> Vec<Difference> {
    let mut kernel = kernel.clone();
    kernel.queues.retain(|listener, _| expected.queues.contains_key(listener));
    kernel.woken.retain(|listener| expected.queues.contains_key(listener));
    expected.differences(&kernel)
}

/// What a call returned, but for what there was to receive: that depends on when somebody does.
pub(super) fn unread(result: CallResult) -> CallResult {
    match result {
        CallResult::Accepted { client, .. } => {
            CallResult::Accepted { client, bytes: 0, then: Rest::More }
        }
        other => other,
    }
}

/// What is seen of two steps, one after the other in this order.
pub(super) fn in_order(model: &Model, steps: &[Step; 2], order: Order) -> (Possible, Both) {
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
        results[index] = unread(std::mem::take(&mut seen.result));
        both = both.and_then(seen);
    }
    let what = Possibility::Order(order);
    (Possible { what, model, with_child }, Both { results, seen: both })
}

/// What is seen of two steps, neither of which returns anything, and of what is between them.
pub(super) fn in_between((between, model, seen): (Between, Model, Seen)) -> (Possible, Both) {
    let with_child = model.clients_with_child();
    let results = [CallResult::Done, CallResult::Done];
    let what = Possibility::Between(between);
    (Possible { what, model, with_child }, Both { results, seen })
}

/// How many children wait at most at each listener that listens.
pub(super) fn longest_queues(possible: &[Possible]) -> Vec<(ListenerId, u32)> {
    let mut longest = BTreeMap::new();
    for (listener, long) in possible.iter().flat_map(|one| one.model.queues()) {
        let most = longest.entry(listener).or_insert(long);
        *most = long.max(*most);
    }
    longest.into_iter().collect()
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
