//! Makes a history as short and simple as it can be while something stays true of it.

use std::collections::BTreeSet;
use std::iter;
use std::ops::Range;

use crate::history::History;
use crate::model::{ModelBug, Slot};
use crate::step::{ClientId, ListenerId, Segment, Setting, Step};

/// A backlog that nothing fills.
const ROOMY: u32 = 16;

/// The shortest and simplest history found that is possible and of which `holds` is true, as it
/// is of `history`. `holds` is asked as often as `budget` says at most.
///
/// # Errors
/// What `holds` fails with.
pub fn reduce<E>(
    history: &History,
    bugs: &BTreeSet<ModelBug>,
    mut budget: usize,
    mut holds: impl FnMut(&History) -> Result<bool, E>,
) -> Result<History, E> {
    let mut best = history.clone();
    let mut try_one = |candidate: History, best: &mut History| -> Result<bool, E> {
        let is_possible = candidate.is_possible(bugs) && candidate.is_possible(&BTreeSet::new());
        if candidate == *best || !is_possible || budget == 0 {
            return Ok(false);
        }
        budget -= 1;
        let better = holds(&candidate)?;
        if better {
            *best = candidate;
        }
        Ok(better)
    };
    loop {
        let before = best.clone();
        let mut size = best.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < best.steps.len() {
                let mut shorter = best.clone();
                shorter.steps.drain(at..(at + size).min(best.steps.len()));
                if !try_one(shorter, &mut best)? {
                    at += size;
                }
            }
            size /= 2;
        }
        for at in 0..best.steps.len() {
            for simpler in simpler(&best.steps[at]) {
                let mut candidate = best.clone();
                candidate.steps[at] = simpler;
                // The next of them is simpler than what stood there, not than this one.
                if try_one(candidate, &mut best)? {
                    break;
                }
            }
        }
        for candidate in with_one_wait(&best) {
            if try_one(candidate, &mut best)? {
                break;
            }
        }
        try_one(with_fewer_clients(&best), &mut best)?;
        for client in 0..best.slots.len() {
            let mut candidate = best.clone();
            candidate.slots[client] = 0;
            try_one(candidate, &mut best)?;
        }
        if best != before {
            continue;
        }
        for candidate in elsewhere(&best) {
            if try_one(candidate, &mut best)? {
                break;
            }
        }
        if best == before {
            return Ok(best);
        }
    }
}

/// Places in a group, from the first to the last.
const PLACES: [Slot; 4] = [0, 20, 40, 59];

/// Without a step, or without all steps of one listener, and with a client or all of them at another
/// place: of a group that has another number of members, another one gets them.
fn elsewhere(history: &History) -> Vec<History> {
    let steps = &history.steps;
    let listeners: BTreeSet<ListenerId> = steps.iter().filter_map(|step| step.listener()).collect();
    let without_listener = |listener: &ListenerId| {
        let others = steps.iter().filter(|step| step.listener() != Some(*listener));
        others.copied().collect()
    };
    let without_listener: Vec<Vec<Step>> = listeners.iter().map(without_listener).collect();
    let without_step = (0..steps.len()).map(|at| {
        let mut others = steps.clone();
        others.remove(at);
        others
    });
    let clients = history.slots.len();
    let all_or_one: Vec<Range<usize>> =
        iter::once(0..clients).chain((0..clients).map(|client| client..client + 1)).collect();
    // Without a step alone was tried before.
    let at_their_places =
        |steps: &Vec<Step>| History { slots: history.slots.clone(), steps: steps.clone() };
    let mut candidates: Vec<History> = without_listener.iter().map(at_their_places).collect();
    for steps in without_listener.into_iter().chain(without_step) {
        for clients in &all_or_one {
            for place in PLACES {
                let mut slots = history.slots.clone();
                slots[clients.clone()].fill(place);
                candidates.push(History { slots, steps: steps.clone() });
            }
        }
    }
    candidates
}

/// What may do the same in a way that is easier to read.
fn simpler(step: &Step) -> Vec<Step> {
    match *step {
        Step::Listen { listener, backlog, defer_accept, fast_open } => {
            let of = |backlog, defer_accept, fast_open| Step::Listen {
                listener,
                backlog,
                defer_accept,
                fast_open,
            };
            vec![
                of(backlog, false, fast_open),
                of(backlog, defer_accept, 0),
                of(ROOMY, defer_accept, fast_open),
            ]
        }
        Step::Send { client, segment } => {
            let simpler: &[Segment] = match segment {
                Segment::Data(_) => &[Segment::Ack, Segment::Data(1)],
                Segment::FastOpenSyn(_) => &[Segment::Syn, Segment::FastOpenSyn(1)],
                Segment::Fin => &[Segment::Ack],
                _ => &[],
            };
            simpler.iter().map(|segment| Step::Send { client, segment: *segment }).collect()
        }
        _ => vec![],
    }
}

/// With one wait in place of several: requests are too old after the first timeout.
fn with_one_wait(history: &History) -> Vec<History> {
    let soon = Step::Set(Setting::SynAckRetries(0));
    let steps = &history.steps;
    let waits: Vec<usize> = (0..steps.len()).filter(|at| steps[*at] == Step::Wait).collect();
    if waits.len() < 2 || steps.contains(&soon) {
        return vec![];
    }
    let with = |kept: &usize| {
        let others = steps.iter().enumerate();
        let others = others.filter(|(at, step)| at == kept || **step != Step::Wait);
        let steps = std::iter::once(soon).chain(others.map(|(_, step)| *step)).collect();
        History { slots: history.slots.clone(), steps }
    };
    waits.iter().map(with).collect()
}

/// Without the clients that do nothing.
fn with_fewer_clients(history: &History) -> History {
    let used: BTreeSet<ClientId> = history
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Send { client, .. } => Some(*client),
            _ => None,
        })
        .collect();
    let names: Vec<ClientId> = used.into_iter().collect();
    let mut fewer = history.clone();
    fewer.slots = names.iter().map(|client| history.slots[client.0]).collect();
    for step in &mut fewer.steps {
        if let Step::Send { client, .. } = step {
            let index = names.iter().position(|used| used == client);
            *client = ClientId(index.unwrap_or(client.0));
        }
    }
    fewer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Recipe;

    #[test]
    fn what_has_nothing_to_do_with_it_goes() {
        let recipe = Recipe::default();
        let closes_after_syn = |history: &History| {
            let words: Vec<&str> = history.steps.iter().map(Step::word).collect();
            let syn = words.iter().position(|word| *word == "syn");
            syn.is_some_and(|syn| words[syn..].contains(&"close"))
        };
        let mut reduced = 0;
        for number in 0..200 {
            let history = recipe.history(number);
            if !closes_after_syn(&history) {
                continue;
            }
            let short = reduce(&history, &recipe.bugs, 10_000, |candidate| {
                Ok::<_, ()>(closes_after_syn(candidate))
            });
            let short = short.expect("nothing fails");
            let words: Vec<&str> = short.steps.iter().map(Step::word).collect();
            assert_eq!(words.len(), 3, "{short}");
            assert!(short.slots == [0], "{short}");
            let is_plain = |step: &Step| match step {
                Step::Listen { backlog, defer_accept, fast_open, .. } => {
                    (*backlog, *defer_accept, *fast_open) == (ROOMY, false, 0)
                }
                _ => true,
            };
            assert!(short.steps.iter().all(is_plain), "{short}");
            reduced += 1;
        }
        assert!(reduced > 20, "{reduced}");
    }
}
