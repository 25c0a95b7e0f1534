//! How far from the moment at which timers are expected to fire an act begins: a step towards the
//! other order after each round, and shorter steps once both were seen. A round takes more than a
//! second, so that there are few.

use crate::drive::orders::Order;

/// The first step, in nanoseconds: timers fire late by about as much.
const FIRST_STEP: i64 = 64_000;

/// The shortest one.
const LEAST_STEP: i64 = 2_000;

/// An act that began so much later than it was to, in nanoseconds, says nothing of the next one.
const LATE: i64 = 50_000;

/// What is known of a pair, and what is tried next.
#[derive(Debug)]
pub struct Stairs {
    random: fastrand::Rng,
    /// Where the orders may meet.
    at: i64,
    step: i64,
    /// What was tried last.
    tried: i64,
    last: Option<Order>,
}

impl Stairs {
    /// Nothing is known. The same seed tries the same.
    pub fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { random, at: 0, step: FIRST_STEP, tried: 0, last: None }
    }

    /// By how many nanoseconds the act of the next round is to begin later.
    pub fn next_distance(&mut self) -> i64 {
        self.tried = self.at + self.random.i64(-self.step / 2..=self.step / 2);
        self.tried
    }

    /// A round in which the act began so much later had these orders: the timers before it, after
    /// it, or some before and some after.
    pub fn add(&mut self, apart: i64, orders: &[Order]) {
        if (apart - self.tried).abs() > LATE {
            return;
        }
        match orders {
            [order] => {
                if self.last.is_some_and(|last| last != *order) {
                    self.step = (self.step / 2).max(LEAST_STEP);
                }
                self.last = Some(*order);
                self.at += match order {
                    Order::FirstBeforeSecond => -self.step,
                    Order::SecondBeforeFirst => self.step,
                };
            }
            [] => {}
            _ => (self.at, self.step) = (self.tried, LEAST_STEP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Order::{FirstBeforeSecond, SecondBeforeFirst};

    /// Timers that fire 170 us late, give or take 3: in a dozen rounds the act is where they are.
    #[test]
    fn a_dozen_rounds_find_where_the_orders_meet() {
        let mut stairs = Stairs::new(7);
        let mut noise = fastrand::Rng::with_seed(1);
        let mut tried = Vec::new();
        for _ in 0..24 {
            let apart = stairs.next_distance();
            tried.push(apart);
            let fires = 170_000 + noise.i64(-3_000..=3_000);
            let order = if apart > fires { FirstBeforeSecond } else { SecondBeforeFirst };
            stairs.add(apart, &[order]);
        }
        let near = tried[12..].iter().filter(|apart| (140_000..200_000).contains(*apart)).count();
        assert!(near >= 10, "{tried:?}");
    }

    #[test]
    fn where_some_timers_fired_before_and_some_after_it_stays() {
        let mut stairs = Stairs::new(7);
        let there = stairs.next_distance();
        stairs.add(there + 10, &[FirstBeforeSecond, SecondBeforeFirst]);
        for _ in 0..20 {
            assert!((stairs.next_distance() - there).abs() <= LEAST_STEP);
        }
    }

    #[test]
    fn an_act_that_began_late_says_nothing() {
        let mut stairs = Stairs::new(7);
        stairs.next_distance();
        stairs.add(9_000_000, &[FirstBeforeSecond]);
        assert_eq!((stairs.at, stairs.step), (0, FIRST_STEP));
    }
}
