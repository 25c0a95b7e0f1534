//! A step while the timers of requests fire.

use std::io;
use std::time::{Duration, Instant};

use harness::Result;
use harness::process::at_once::TwoProcessors;

use crate::drive::deed::{Done, TwoDone, deed};
use crate::drive::open::Open;
use crate::drive::{Driver, since_epoch};
use crate::model::Model;
use crate::step::Step;

/// The other processor's thread is made as long before, so that a busy machine has it there in time.
const BEFORE: Duration = Duration::from_millis(150);

impl Driver {
    /// Lets time pass until the timers have surely fired, and does a step on the other processor,
    /// `apart` nanoseconds after they are expected to. `since` is when the last wait ended.
    ///
    /// The kernel fires a timer on the processor that has set it, and each segment was sent on this
    /// one. When exactly, is not ours to say: what is known is when timers fired before.
    pub(super) fn while_timers_fire(
        &mut self,
        model: &Model,
        (step, numbers): (Step, (u32, u32)),
        two: &TwoProcessors,
        apart: i64,
        open: &mut Open,
        since: &mut Instant,
    ) -> Result<TwoDone> {
        self.prepare(&step, open)?;
        let mut later = model.clone();
        later.step(&Step::Wait);
        *since += Duration::from_millis(later.now() - model.now());
        let fires = nanoseconds(self.expiry.of(self.last_sent));
        let begins = Duration::from_nanos(fires.saturating_add_signed(apart));
        self.lab.pass(begins.saturating_sub(BEFORE).saturating_sub(since_epoch()));
        self.sent_again.clear();
        let closing = open.take_closing(&step);
        let (driver, shared) = (&*self, &*open);
        let deed = deed((step, numbers), closing, driver, shared)?;
        let begin = Instant::now() + begins.saturating_sub(since_epoch());
        let there = two.there_at(begin, || {
            let began = since_epoch();
            let done = deed.done();
            driver.lab.settle().map(|()| (done, began))
        })?;
        let (done, began) = there?;
        self.lab.pass(since.saturating_duration_since(Instant::now()));
        let waited: io::Result<()> = Ok(());
        Ok(TwoDone {
            done: [Done::Call(waited), done],
            began: [Duration::from_nanos(fires), began],
            apart: nanoseconds(began).cast_signed() - fires.cast_signed(),
        })
    }

    /// Learns when the timers have fired, if they have sent something.
    pub(super) fn learn_expiry(&mut self) {
        if let Some(fired) = self.sent_again.iter().min() {
            self.expiry.learn(*fired);
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}
