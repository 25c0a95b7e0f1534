//! How far apart two acts begin: all of it at first, and then where the orders meet.

use serde::{Deserialize, Serialize};

use crate::drive::orders::Order;

/// As far apart as acts begin at most, in nanoseconds: longer than any of them takes.
const WIDEST: f64 = 100_000.0;

/// As close as it is of interest, in nanoseconds.
const CLOSEST: f64 = 20.0;

/// One of so many rounds is anywhere, whatever is known: what was taken for the place where the
/// orders meet may be none.
const ANYWHERE: u32 = 4;

/// How many rounds of each order say where the orders meet.
const ENOUGH: usize = 5;

/// What share of the rounds of an order may lie outside of the window: an interrupt between the
/// beginning of an act and the act itself puts it off.
const STRAY: usize = 20;

/// Where the two orders of a pair meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The earliest beginning of the second act, after that of the first one, with which the
    /// first one came first. In nanoseconds.
    pub first_from: i64,
    /// The latest one with which the second one came first.
    pub second_until: i64,
}

impl Window {
    /// For how many nanoseconds both orders were seen; less than zero is a gap between them.
    pub fn wide(&self) -> i64 {
        self.second_until - self.first_from
    }
}

/// What is known of a pair, and what is tried next.
#[derive(Debug)]
pub struct Sweep {
    random: fastrand::Rng,
    first: Vec<i64>,
    second: Vec<i64>,
}

impl Sweep {
    /// Nothing is known. The same seed tries the same.
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), first: vec![], second: vec![] }
    }

    /// By how many nanoseconds the second act of the next round is to begin later.
    pub fn next_distance(&mut self) -> i64 {
        let is_anywhere = self.random.u32(..ANYWHERE) == 0;
        match self.window().filter(|_| !is_anywhere) {
            Some(Window { first_from, second_until }) => {
                let middle = (first_from + second_until) / 2;
                let far = (first_from - second_until).abs().max(CLOSEST as i64);
                middle + self.random.i64(-far..=far)
            }
            None => self.anywhere(),
        }
    }

    /// Near zero as often as far from it.
    fn anywhere(&mut self) -> i64 {
        let exponent = self.random.f64();
        let far = CLOSEST * (WIDEST / CLOSEST).powf(exponent);
        let sign = if self.random.bool() { 1 } else { -1 };
        sign * far as i64
    }

    /// A round had this order.
    pub fn add(&mut self, apart: i64, order: Order) {
        // So late or so early it says nothing of where the orders meet.
        if apart.abs() > WIDEST as i64 {
            return;
        }
        let seen = match order {
            Order::FirstBeforeSecond => &mut self.first,
            Order::SecondBeforeFirst => &mut self.second,
        };
        let at = seen.partition_point(|one| *one < apart);
        seen.insert(at, apart);
    }

    /// Where the orders meet, if both were seen often enough.
    pub fn window(&self) -> Option<Window> {
        let (first, second) = (&self.first, &self.second);
        if first.len() < ENOUGH || second.len() < ENOUGH {
            return None;
        }
        let first_from = first[first.len() / STRAY];
        let second_until = second[second.len() - 1 - second.len() / STRAY];
        Some(Window { first_from, second_until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Order::{FirstBeforeSecond, SecondBeforeFirst};

    /// The kernel decides at 700 ns, give or take 150.
    #[test]
    fn most_rounds_are_where_the_orders_meet() {
        let mut sweep = Sweep::new(7);
        let mut noise = fastrand::Rng::with_seed(1);
        let mut close = 0;
        for _ in 0..1000 {
            let apart = sweep.next_distance();
            close += u32::from((400..1000).contains(&apart));
            let decides = 700 + noise.i64(-150..=150);
            sweep.add(apart, if apart > decides { FirstBeforeSecond } else { SecondBeforeFirst });
        }
        assert!(close > 500, "{close}");
        let window = sweep.window().expect("both were seen");
        assert!((500..900).contains(&window.first_from), "{window:?}");
        assert!((500..900).contains(&window.second_until), "{window:?}");
    }

    #[test]
    fn one_order_alone_has_no_window() {
        let mut sweep = Sweep::new(7);
        for _ in 0..100 {
            let apart = sweep.next_distance();
            assert!((-100_000..=100_000).contains(&apart), "{apart}");
            sweep.add(apart, FirstBeforeSecond);
        }
        assert_eq!(sweep.window(), None);
    }
}
