//! Two steps at the same time.

use std::collections::BTreeSet;
use std::mem;
use std::time::{Duration, Instant};

use harness::Result;
use harness::lab::SERVER;
use harness::process::at_once::{AtOnce, TwoProcessors};
use serde::{Deserialize, Serialize};

use crate::drive::counting::CountersAre;
use crate::drive::deed::{Deed, TwoDone, deed};
use crate::drive::open::Open;
use crate::drive::orders::{
    Both, Neither, Order, Possibility, Possible, Verdict, comparable, differences, every_listener,
    in_between, in_order, longest_queues, sorted_out, unread,
};
use crate::drive::record::Recorded;
use crate::drive::{Driver, numbers, since_epoch};
use crate::history::History;
use crate::model::{CallResult, Difference, Model, ModelBug, STEPS_TAKE};
use crate::step::{ClientId, Segment, Step};

/// What one round of a pair does: steps, and then two at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// The steps before, with the clients' hashes. The last client does nothing in them.
    pub before: History,
    /// The two.
    pub at_once: [Step; 2],
}

impl Round {
    /// The first of the two is that time passes, until the timers of requests fire.
    pub fn waits(&self) -> bool {
        self.at_once[0] == Step::Wait
    }
}

/// How the two steps of a round are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swing {
    /// By how many nanoseconds the second one is to begin later than the first one.
    pub apart: i64,
    /// The second one is done on the processor where everything else is done.
    pub is_swapped: bool,
}

/// When the timer of a request that one of the two has made fires at the earliest.
const REQUEST_TIMER: Duration = Duration::from_secs(1);

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
        /// The record, if it is not one of the two orders.
        recorded: Option<Recorded>,
    },
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
        self.begin_record(&open);
        let raced = self.race_in(round, bugs, two, swing, &mut open);
        self.lab.end_record();
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
            let Some(taken) = self.step(step, true, &mut model, open, &mut since)? else {
                return Ok(Raced::TooSlow);
            };
            let differences = taken.model.differences(&taken.kernel);
            if !differences.is_empty() {
                return Ok(Raced::Before(*step, differences));
            }
        }
        let steps = round.at_once.map(|step| (step, numbers(&model, &step)));
        let waits = round.waits();
        let two_done = match waits {
            true => self.while_timers_fire(&model, steps[1], two, swing.apart, open, &mut since)?,
            false => self.do_at_once(steps, two, swing, open)?,
        };
        let TwoDone { done: [first, second], began, apart } = two_done;
        let results = [self.returned(first, open)?, self.returned(second, open)?];
        for at in if apart < 0 { [1, 0] } else { [0, 1] } {
            let (step, numbers) = &steps[at];
            self.write_down(began[at], step, *numbers, &results[at], open);
        }
        let verdict = self.judge(round, &model, results.map(unread), open, since)?;
        if waits {
            self.learn_expiry();
        }
        let took = since.elapsed();
        if took > Duration::from_millis(STEPS_TAKE) && model.has_timers() || took > REQUEST_TIMER {
            return Ok(Raced::TooSlow);
        }
        let record = match &verdict {
            Verdict::Order(_) | Verdict::Either => None,
            Verdict::Between(_) => self.lab.end_record().map(|record| (record, true)),
            Verdict::Neither(neither) => {
                self.lab.end_record().map(|record| (record, neither.at.is_none()))
            }
        };
        let [first, second] = round.at_once;
        let recorded = record.map(|(mut record, of_the_two)| {
            record.describe(format!("`{second}` began {apart} ns after `{first}`"));
            Recorded::of(record, began, of_the_two)
        });
        Ok(Raced::AtOnce { apart, verdict, recorded: recorded.transpose()? })
    }

    /// Begins a record in which everybody has a name.
    fn begin_record(&mut self, open: &Open) {
        self.lab.begin_record();
        let server = self.family.server();
        if let Some(record) = self.lab.record() {
            record.trace_mut().name(server, SERVER);
            for (index, client) in open.clients.iter().enumerate() {
                record.trace_mut().name(client.address, ClientId(index).to_string());
            }
        }
    }

    /// Does the two, each on its processor.
    fn do_at_once(
        &mut self,
        steps: [(Step, (u32, u32)); 2],
        two: &TwoProcessors,
        swing: Swing,
        open: &mut Open,
    ) -> Result<TwoDone> {
        for (step, _) in &steps {
            self.prepare(step, open)?;
        }
        let closing = steps.map(|(step, _)| open.take_closing(&step));
        let (driver, open) = (&*self, &*open);
        let [first, second] = closing;
        let first = deed(steps[0], first, driver, open)?;
        let second = deed(steps[1], second, driver, open)?;
        // What is sent there arrives there.
        let there = |deed: Deed<'_>| {
            let done = deed.done();
            driver.lab.settle().map(|()| done)
        };
        let at_once = match swing.is_swapped {
            false => two.at_once(swing.apart, || first.done(), || there(second))?,
            true => two.at_once(-swing.apart, || second.done(), || there(first))?,
        };
        let (here_began, there_began) = (at_once.here_began, at_once.there_began());
        let AtOnce { here, there, apart, .. } = at_once;
        let there = there?;
        Ok(match swing.is_swapped {
            false => TwoDone { done: [here, there], began: [here_began, there_began], apart },
            true => {
                TwoDone { done: [there, here], began: [there_began, here_began], apart: -apart }
            }
        })
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
        let listening = every_listener(expected.iter().map(|(_, both)| &both.seen));
        let seen = self.look(CallResult::Done, open, listening, &with_child, CountersAre::Read)?;
        let seen = Both { results, seen }.comparable(&with_child);
        let (mut possible, differing) = sorted_out(expected.into_iter().map(|(one, both)| {
            let differences = both.comparable(&with_child).differences(&seen);
            (one, differences)
        }));
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
        let send = |segment| Step::Send { client: newcomer, segment };
        let mut neither = self.accept_everybody(possible, open, since)?;
        for segment in [Segment::Syn, Segment::Ack] {
            if neither.is_none() {
                neither = self.after(&send(segment), possible, open, since)?;
            }
        }
        match neither {
            None => self.accept_everybody(possible, open, since),
            found => Ok(found),
        }
    }

    /// Accepts on each listener until nobody waits.
    fn accept_everybody(
        &mut self,
        possible: &mut Vec<Possible>,
        open: &mut Open,
        since: &mut Instant,
    ) -> Result<Option<Neither>> {
        for (listener, most) in longest_queues(possible) {
            for _ in 0..=most {
                let neither = self.after(&Step::Accept { listener }, possible, open, since)?;
                if neither.is_some() {
                    return Ok(neither);
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
        let began = since_epoch();
        let result = self.take(step, numbers, open, *since)?;
        self.write_down(began, step, numbers, &result, open);
        let seen =
            self.look(result, open, every_listener(&expected), &with_child, CountersAre::Read)?;
        let seen = comparable(seen, &with_child);
        let differing;
        (*possible, differing) =
            sorted_out(mem::take(possible).into_iter().zip(expected).map(|(one, expected)| {
                let differences = differences(&comparable(expected, &with_child), &seen);
                (one, differences)
            }));
        let neither = Neither { at: Some(*step), possible: differing };
        Ok(possible.is_empty().then_some(neither))
    }
}
