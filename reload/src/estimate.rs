//! What a few reloads say about all: a mean, and how sure it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The mean of a number over reloads, with its 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end. Nothing where one reload says nothing about others.
    pub high: Option<f64>,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

impl Estimate {
    /// What `each` says; nothing where it is empty.
    ///
    /// Reloads are alike and independent, so Student's distribution serves. Where not one
    /// was lost it cannot, and the upper end is the rate at which as many reloads would still
    /// lose nothing in 5 of 100 runs.
    pub fn of(each: &[u64]) -> Option<Self> {
        let count = each.len() as f64;
        let (min, max) = (*each.iter().min()?, *each.iter().max()?);
        let mean = each.iter().sum::<u64>() as f64 / count;
        if max == 0 {
            return Some(Self { mean, low: 0.0, high: Some(-(0.05_f64.ln()) / count), min, max });
        }
        if each.len() == 1 {
            return Some(Self { mean, low: 0.0, high: None, min, max });
        }
        let squares: f64 = each.iter().map(|one| (*one as f64 - mean).powi(2)).sum();
        let error = (squares / (count - 1.0) / count).sqrt();
        let reach = student(each.len() - 1) * error;
        Some(Self { mean, low: (mean - reach).max(0.0), high: Some(mean + reach), min, max })
    }
}

/// The 97.5th of a hundred of Student's distribution, by degrees of freedom.
fn student(freedom: usize) -> f64 {
    const FIRST: [f64; 10] =
        [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    match FIRST.get(freedom.saturating_sub(1)) {
        Some(value) => *value,
        // The expansion in powers of 1/freedom about the normal distribution's 1.96.
        None => 1.96 + 2.372 / freedom as f64 + 2.823 / (freedom as f64).powi(2),
    }
}

/// The 95 % confidence interval of a share, of which `some` of `all` were counted (Wilson's
/// interval).
pub fn share(some: u64, all: u64) -> (f64, f64) {
    const Z: f64 = 1.96;
    let all = all.max(1) as f64;
    let share = some as f64 / all;
    let centre = share + Z * Z / (2.0 * all);
    let half = Z * (share * (1.0 - share) / all + Z * Z / (4.0 * all * all)).sqrt();
    let whole = 1.0 + Z * Z / all;
    (((centre - half) / whole).max(0.0), ((centre + half) / whole).min(1.0))
}

/// How likely it is that at most `some` happen, of things that happen independently of each
/// other, `mean` in the mean (Poisson's distribution).
pub fn chance_of_at_most(some: u64, mean: f64) -> f64 {
    let mut term = (-mean).exp();
    let mut chance = term;
    for count in 1..=some {
        term *= mean / count as f64;
        chance += term;
    }
    chance.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest]
    #[case(0, 2.0, 0.1353)]
    #[case(1, 4.0, 0.0916)]
    #[case(9, 20.0, 0.0050)]
    #[case(19, 40.0, 0.0001)]
    #[case(100, 1.0, 1.0)]
    #[case(10, 2000.0, 0.0)]
    fn few_of_many_are_no_chance(#[case] some: u64, #[case] mean: f64, #[case] chance: f64) {
        let found = chance_of_at_most(some, mean);
        assert!((found - chance).abs() < 1e-4, "{found}");
    }

    #[rstest]
    #[case(46, 100, 0.366, 0.557)]
    #[case(0, 100, 0.0, 0.037)]
    #[case(100, 100, 0.963, 1.0)]
    fn a_share_has_its_interval(
        #[case] some: u64,
        #[case] all: u64,
        #[case] low: f64,
        #[case] high: f64,
    ) {
        let found = share(some, all);
        assert!((found.0 - low).abs() < 1e-3 && (found.1 - high).abs() < 1e-3, "{found:?}");
    }

    use rstest::rstest;

    #[rstest]
    #[case(11, 2.201)]
    #[case(20, 2.086)]
    #[case(60, 2.000)]
    #[case(1000, 1.962)]
    fn student_is_as_in_tables(#[case] freedom: usize, #[case] value: f64) {
        assert!((student(freedom) - value).abs() < 4e-3, "{}", student(freedom));
    }

    #[test]
    fn twenty_zeros_do_not_prove_zero() {
        let estimate = Estimate::of(&[0; 20]).expect("reloads");
        assert_eq!((estimate.mean, estimate.low), (0.0, 0.0));
        assert!((estimate.high.expect("an end") - 0.1498).abs() < 1e-3);
    }

    #[test]
    fn the_interval_is_about_the_mean() {
        let estimate = Estimate::of(&[39, 40, 41]).expect("reloads");
        assert!((estimate.mean - 40.0).abs() < 1e-9);
        assert!((estimate.low - 37.516).abs() < 1e-2, "{estimate:?}");
        assert!((estimate.high.expect("an end") - 42.484).abs() < 1e-2);
        assert_eq!(Estimate::of(&[7]).expect("one").high, None);
        assert_eq!(Estimate::of(&[]), None);
    }
}
