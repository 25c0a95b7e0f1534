//! Changes histories: what reached something new may be near to what reaches more.

use fastrand::Rng;

use crate::generate::{Recipe, STEPS, Writer, of_number};
use crate::history::History;
use crate::model::SLOTS;
use crate::step::{ClientId, ListenerId, Step};

/// Fewest and most changes of one history.
const CHANGES: std::ops::RangeInclusive<usize> = 1..=4;

/// A step of a history that is being changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// This one, if it is possible there.
    Step(Step),
    /// Any.
    New,
}

impl Recipe {
    /// The beginning of a history: one of these beginnings, changed as this number says. The same
    /// number changes the same beginnings in the same way.
    ///
    /// # Panics
    /// If there is no beginning to change.
    pub fn changed(&self, beginnings: &[History], number: u64) -> History {
        let mut rng = of_number(!number);
        let History { mut slots, steps } = beginnings[rng.usize(0..beginnings.len())].clone();
        let mut wanted: Vec<Wanted> = steps.into_iter().map(Wanted::Step).collect();
        for _ in 0..rng.usize(CHANGES) {
            match rng.u8(0..8) {
                0 => {
                    let client = rng.usize(0..slots.len());
                    slots[client] = rng.u8(0..SLOTS as u8);
                }
                1 => {
                    let other = &beginnings[rng.usize(0..beginnings.len())];
                    cross(&mut wanted, other, slots.len(), &mut rng);
                }
                _ => change(&mut wanted, slots.len(), &mut rng),
            }
        }
        let mut writer = self.writer(number, rng, &slots);
        for each in wanted {
            if writer.steps.len() >= *STEPS.end() {
                break;
            }
            match each {
                Wanted::Step(step) => writer.again(step),
                Wanted::New => drop(writer.add()),
            }
        }
        History { slots, steps: writer.steps }
    }
}

/// From somewhere on, what another history does from somewhere on.
fn cross(wanted: &mut Vec<Wanted>, other: &History, clients: usize, rng: &mut Rng) {
    wanted.truncate(rng.usize(0..=wanted.len()));
    let first = rng.usize(0..=other.steps.len());
    wanted.extend(other.steps[first..].iter().map(|step| {
        Wanted::Step(match *step {
            Step::Send { client, segment } => {
                Step::Send { client: ClientId(client.0 % clients), segment }
            }
            step => step,
        })
    }));
}

/// One change: a step or several are left out, repeated, added, or moved, or somebody else's.
fn change(wanted: &mut Vec<Wanted>, clients: usize, rng: &mut Rng) {
    let at = rng.usize(0..=wanted.len());
    let Some(step) = wanted.get(at).copied() else {
        wanted.push(Wanted::New);
        return;
    };
    match rng.u8(0..8) {
        0 => drop(wanted.remove(at)),
        1 => {
            let end = rng.usize(at..=wanted.len());
            wanted.drain(at..end);
        }
        2 => wanted.insert(rng.usize(at..=wanted.len()), step),
        3 => {
            wanted.remove(at);
            wanted.insert(rng.usize(0..=wanted.len()), step);
        }
        4 => wanted[at] = somebody_elses(step, clients, rng),
        5 => wanted[at] = Wanted::New,
        _ => wanted.insert(at, Wanted::New),
    }
}

/// The same of another client, or of another listener.
fn somebody_elses(wanted: Wanted, clients: usize, rng: &mut Rng) -> Wanted {
    let Wanted::Step(step) = wanted else { return wanted };
    Wanted::Step(match step {
        Step::Send { segment, .. } => {
            Step::Send { client: ClientId(rng.usize(0..clients)), segment }
        }
        // Each listener's first step is its own.
        Step::Listen { .. } | Step::Set(_) | Step::Wait => step,
        of_a_listener => match of_a_listener.listener() {
            Some(ListenerId(most)) => {
                of_a_listener.of_listener(ListenerId(rng.usize(0..=most + 1)))
            }
            None => of_a_listener,
        },
    })
}

impl Writer<'_> {
    /// Takes a step of another history, if that is possible here. What listens first has the next
    /// name.
    fn again(&mut self, step: Step) {
        let step = match step {
            Step::Listen { .. } => step.of_listener(ListenerId(self.model.sockets_made())),
            step => step,
        };
        if step == Step::Wait {
            if self.waits == 0 {
                return;
            }
            self.waits -= usize::from(self.force(step));
        } else {
            self.force(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelBug;
    use std::collections::BTreeSet;

    fn beginnings(recipe: &Recipe) -> Vec<History> {
        (0..20).map(|number| recipe.beginning(number)).collect()
    }

    #[test]
    fn every_changed_history_is_possible_and_is_read_as_it_was_written() {
        let bugs = ModelBug::ALL.into_iter().collect();
        let recipe = Recipe { wait_every: 3, bugs, ..Recipe::default() };
        let beginnings = beginnings(&recipe);
        for number in 0..2000 {
            let history = recipe.with_its_end(recipe.changed(&beginnings, number));
            assert!(history.is_possible(&recipe.bugs), "{number}: {history}");
            assert!(history.is_possible(&BTreeSet::new()), "{number}: {history}");
            assert_eq!(history.to_string().parse(), Ok(history.clone()), "{number}");
            let waits = history.steps.contains(&Step::Wait);
            assert!(recipe.waits(number) || !waits, "{number}: {history}");
        }
    }

    #[test]
    fn a_number_always_makes_the_same_change() {
        let recipe = Recipe::default();
        let beginnings = beginnings(&recipe);
        assert_eq!(recipe.changed(&beginnings, 7), recipe.changed(&beginnings, 7));
        assert_ne!(recipe.changed(&beginnings, 7), recipe.changed(&beginnings, 8));
    }

    #[test]
    fn what_is_changed_stays_near_to_what_it_was() {
        let recipe = Recipe::default();
        let one = beginnings(&recipe).into_iter().max_by_key(|history| history.steps.len());
        let one = [one.expect("there are some")];
        let steps: BTreeSet<String> = one[0].steps.iter().map(ToString::to_string).collect();
        let (mut same, mut all, mut unchanged) = (0, 0, 0);
        for number in 0..500 {
            let changed = recipe.changed(&one, number);
            all += changed.steps.len();
            same += changed.steps.iter().filter(|step| steps.contains(&step.to_string())).count();
            unchanged += usize::from(changed == one[0]);
        }
        assert!(same * 10 > all * 8, "{same} of {all} steps are of the history that was changed");
        assert!(unchanged < 100, "{unchanged} of 500 are as they were");
    }

    #[test]
    fn only_what_was_asked_for_is_added() {
        let only = ["syn", "close"].map(str::to_owned).to_vec();
        let recipe = Recipe { only, ..Recipe::default() };
        let beginnings = beginnings(&recipe);
        for number in 0..500 {
            let changed = recipe.changed(&beginnings, number);
            let words = ["listen", "syn", "close"];
            assert!(changed.steps.iter().all(|step| words.contains(&step.word())), "{changed}");
        }
    }
}
