//! Makes histories up, from a seed.

pub mod change;

use std::collections::BTreeSet;

use fastrand::Rng;
use harness::trace::Direction;
use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::model::{MOST_IN_GROUP, Model, ModelBug, SLOTS, Slot};
use crate::step::{ClientId, ListenerId, Segment, Setting, Step};

/// What histories are to be like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Only steps with these first words; all where there are none.
    pub only: Vec<String>,
    /// Bugs of the kernel, which the model has, too.
    pub bugs: BTreeSet<ModelBug>,
    /// Every so-manieth history waits for timers.
    pub wait_every: u64,
}

/// Fewest and most steps, before those that look at what is left.
const STEPS: std::ops::RangeInclusive<usize> = 5..=40;

/// How many clients take part, before those that look at what is left.
const CLIENTS: std::ops::RangeInclusive<usize> = 2..=6;

/// How often something is tried that the model may not allow, for one step.
const TRIES: usize = 20;

/// Segments that a history may have often, with how often it has which.
const FAVOURITES: &[Segment] = &[
    Segment::FastOpenSyn(1),
    Segment::FastOpenSyn(1),
    Segment::FastOpenSyn(1),
    Segment::Data(1),
    Segment::Fin,
    Segment::Reset,
    Segment::ResetInWindow,
    Segment::SynInWindow,
    Segment::AckOfNothing,
];

/// How many waits a history may have.
const WAITS: usize = 3;

impl Recipe {
    /// Whether the history of this number waits for timers.
    pub fn waits(&self, number: u64) -> bool {
        self.wait_every > 0 && number.is_multiple_of(self.wait_every)
    }

    /// The history of this number.
    pub fn history(&self, number: u64) -> History {
        self.with_its_end(self.beginning(number))
    }

    /// The history of this number, up to where it looks at what is left.
    pub fn beginning(&self, number: u64) -> History {
        let mut rng = of_number(number);
        let clients = rng.usize(CLIENTS);
        let slots: Vec<Slot> = (0..clients).map(|_| rng.u8(0..SLOTS as u8)).collect();
        let mut writer = self.writer(number, rng, &slots);
        // Those that wait have few steps to spare.
        if writer.waits == 0 && writer.rng.bool() {
            writer.favourite = Some(writer.one_of(FAVOURITES));
        }
        writer.begin();
        let steps = writer.rng.usize(STEPS);
        while writer.steps.len() < steps && writer.add() {}
        History { slots, steps: writer.steps }
    }

    /// A history that looks at what is left after a beginning.
    pub fn with_its_end(&self, beginning: History) -> History {
        let History { mut slots, mut steps } = beginning;
        let taken = steps.len();
        self.look_at_the_rest(&mut slots, &mut steps);
        debug_assert!(steps.len() >= taken);
        History { slots, steps }
    }

    /// Who begins a history of this number.
    fn writer(&self, number: u64, rng: Rng, slots: &[Slot]) -> Writer<'_> {
        Writer {
            model: Model::new(self.bugs.clone(), slots),
            well: Model::new(BTreeSet::new(), slots),
            steps: vec![],
            rng,
            clients: slots.len(),
            waits: if self.waits(number) { WAITS } else { 0 },
            only: &self.only,
            favourite: None,
        }
    }

    /// The end of every history: what waits is accepted, and each listener serves a client that
    /// comes now. That needs a client for each listener.
    fn look_at_the_rest(&self, slots: &mut Vec<Slot>, steps: &mut Vec<Step>) {
        let replayed = |slots: &[Slot], steps: &[Step]| Model::after(&self.bugs, slots, steps);
        let mut model = replayed(slots, steps);
        let mut take = |model: &mut Model, step: Step| {
            let seen = model.step(&step);
            steps.push(step);
            seen
        };
        let members = model.members();
        if let Some(listener) = members.first() {
            take(&mut model, Step::SelectByHash { listener: *listener });
        }
        for listener in &members {
            let waiting = model.queues().get(listener).copied().unwrap_or(0);
            for _ in 0..waiting {
                take(&mut model, Step::Accept { listener: *listener });
            }
        }
        let first = slots.len();
        let slot_of = |index: usize| (index * SLOTS).div_ceil(members.len()) as Slot;
        slots.extend((0..members.len()).map(slot_of));
        let mut model = replayed(slots, steps);
        for (index, listener) in members.iter().enumerate() {
            let client = ClientId(first + index);
            for segment in [Segment::Syn, Segment::Data(1)] {
                let step = Step::Send { client, segment };
                model.step(&step);
                steps.push(step);
            }
            let step = Step::Accept { listener: *listener };
            model.step(&step);
            steps.push(step);
        }
    }
}

/// What is drawn for a number. Neighbours would begin alike.
fn of_number(number: u64) -> Rng {
    Rng::with_seed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number >> 7))
}

/// A history that is being made up.
struct Writer<'r> {
    model: Model,
    /// The same without bugs: a history must be possible on a kernel that is well, too.
    well: Model,
    steps: Vec<Step>,
    rng: Rng,
    clients: usize,
    waits: usize,
    only: &'r [String],
    /// What is sent often. What is rare seldom meets itself: a count of Fast Open children that is
    /// wrong shows after 184 histories (the median of 20), and after 1164 without favourites.
    favourite: Option<Segment>,
}

impl Writer<'_> {
    /// Some settings, and a listener or more: without them nothing happens.
    fn begin(&mut self) {
        if self.rng.u8(0..4) > 0 {
            self.take(Step::Set(Setting::MigrateReq(true)));
        }
        // What a request that is too old does is seen only of those that are old soon.
        if self.waits > 0 && self.rng.u8(0..4) > 0 {
            let retries = self.rng.u8(0..=1);
            self.take(Step::Set(Setting::SynAckRetries(retries)));
        }
        for _ in 0..self.rng.usize(1..=3) {
            let step = self.listen();
            self.force(step);
        }
    }

    /// Adds a step; says whether any was found.
    fn add(&mut self) -> bool {
        (0..TRIES).any(|_| {
            let step = self.any_step();
            self.take(step)
        })
    }

    /// Adds a step if it is wanted and possible.
    fn take(&mut self, step: Step) -> bool {
        let wanted = self.only.is_empty() || self.only.iter().any(|word| word == step.word());
        wanted && self.force(step)
    }

    fn force(&mut self, step: Step) -> bool {
        let allowed = self.model.allows(&step) && self.well.allows(&step);
        if allowed {
            self.model.step(&step);
            self.well.step(&step);
            self.steps.push(step);
        }
        allowed
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.rng.usize(0..choices.len())]
    }

    fn listener(&mut self) -> ListenerId {
        let made = self.model.sockets_made();
        ListenerId(self.rng.usize(0..made.max(1)))
    }

    fn backlog(&mut self) -> u32 {
        self.one_of(&[0, 1, 1, 2, 4, 16])
    }

    fn listen(&mut self) -> Step {
        let listener = ListenerId(self.model.sockets_made());
        let defer_accept = self.rng.u8(0..8) == 0;
        let fast_open = match self.favourite {
            Some(Segment::FastOpenSyn(_)) => self.one_of(&[1, 1, 1, 2, 2, 5]),
            _ => self.one_of(&[0, 0, 0, 1, 1, 2, 5]),
        };
        Step::Listen { listener, backlog: self.backlog(), defer_accept, fast_open }
    }

    fn any_step(&mut self) -> Step {
        match self.rng.u8(0..100) {
            0..3 => self.setting(),
            3..8 => self.listen(),
            8..11 => Step::ListenAgain { listener: self.listener(), backlog: self.backlog() },
            11..14 => {
                let how = self.one_of(&[
                    Direction::Both,
                    Direction::Both,
                    Direction::Read,
                    Direction::Write,
                ]);
                Step::Shutdown { listener: self.listener(), how }
            }
            14..16 => Step::Duplicate { listener: self.listener() },
            16..24 => Step::Close { listener: self.listener() },
            24..30 => Step::Accept { listener: self.listener() },
            30..32 => {
                let index = self.rng.u32(0..MOST_IN_GROUP as u32);
                Step::SelectIndex { listener: self.listener(), index }
            }
            32 => Step::SelectByHash { listener: self.listener() },
            33..45 if self.waits > 0 && self.model.has_timers() => {
                self.waits -= 1;
                Step::Wait
            }
            _ => {
                let client = ClientId(self.rng.usize(0..self.clients));
                Step::Send { client, segment: self.segment() }
            }
        }
    }

    fn setting(&mut self) -> Step {
        Step::Set(match self.rng.u8(0..4) {
            0 => Setting::AbortOnOverflow(self.rng.bool()),
            1 => Setting::SynAckRetries(self.rng.u8(0..=2)),
            _ => Setting::MigrateReq(self.rng.bool()),
        })
    }

    fn segment(&mut self) -> Segment {
        let favourite = self.favourite.filter(|_| self.rng.u8(0..3) == 0);
        match favourite.unwrap_or_else(|| self.any_segment()) {
            Segment::FastOpenSyn(_) => Segment::FastOpenSyn(self.rng.u32(1..20)),
            Segment::Data(_) => Segment::Data(self.rng.u32(1..20)),
            segment => segment,
        }
    }

    fn any_segment(&mut self) -> Segment {
        match self.rng.u8(0..64) {
            0..20 => Segment::Syn,
            20..26 => Segment::FastOpenSyn(1),
            26..38 => Segment::Ack,
            38..46 => Segment::Data(1),
            46..49 => Segment::Fin,
            49..53 => Segment::Reset,
            53..56 => Segment::ResetInWindow,
            56..58 => Segment::SynInWindow,
            58..60 => Segment::AckOfNothing,
            60..62 => Segment::OutOfWindow,
            _ => Segment::WithoutAck,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_history_is_possible_and_is_read_as_it_was_written() {
        let bugs = ModelBug::ALL.into_iter().collect();
        let recipe = Recipe { wait_every: 3, bugs, ..Recipe::default() };
        for number in 0..2000 {
            let history = recipe.history(number);
            assert!(history.is_possible(&recipe.bugs), "{number}: {history}");
            assert_eq!(history.to_string().parse(), Ok(history.clone()), "{number}");
            let waits = history.steps.contains(&Step::Wait);
            assert!(recipe.waits(number) || !waits, "{number}: {history}");
        }
    }

    #[test]
    fn a_number_is_always_the_same_history() {
        let recipe = Recipe::default();
        assert_eq!(recipe.history(7), recipe.history(7));
        assert_ne!(recipe.history(7), recipe.history(8));
    }

    #[test]
    fn only_what_was_asked_for_is_done_until_the_rest_is_looked_at() {
        let only = ["syn", "close"].map(str::to_owned).to_vec();
        let recipe = Recipe { only, ..Recipe::default() };
        let all = ["listen", "syn", "close", "select-by-hash", "data", "accept"];
        for number in 0..200 {
            let history = recipe.history(number);
            assert!(history.steps.iter().all(|step| all.contains(&step.word())), "{history}");
        }
    }
}
