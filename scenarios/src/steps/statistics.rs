//! Bounds that chance alone hardly ever leaves.

/// The narrowest counts `low..=high` such that a binomial variable of `trials` trials
/// with probability `p` falls below `low`, and above `high`, each with a probability of
/// at most `risk / 2`.
pub(crate) fn binomial_bounds(trials: u64, p: f64, risk: f64) -> (i64, i64) {
    let probabilities = binomial(trials, p);
    let tail = |counts: &mut dyn Iterator<Item = usize>| {
        let mut sum = 0.0;
        counts
            .take_while(|&count| {
                sum += probabilities[count];
                sum <= risk / 2.0
            })
            .count()
    };
    let all = probabilities.len();
    let below = tail(&mut (0..all));
    let above = tail(&mut (0..all).rev());
    (below as i64, (all - 1 - above) as i64)
}

/// The probability of each count from 0 to `trials`, by the ratio of neighbours from the
/// most probable count outwards, so that nothing underflows where it matters.
fn binomial(trials: u64, p: f64) -> Vec<f64> {
    let n = trials as usize;
    let mode = ((trials + 1) as f64 * p) as usize;
    let mut weights = vec![0.0_f64; n + 1];
    weights[mode] = 1.0;
    let odds = p / (1.0 - p);
    for k in mode..n {
        weights[k + 1] = weights[k] * odds * (n - k) as f64 / (k + 1) as f64;
    }
    for k in (0..mode).rev() {
        weights[k] = weights[k + 1] / odds * (k + 1) as f64 / (n - k) as f64;
    }
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_four_coins() {
        let expected = [0.0625, 0.25, 0.375, 0.25, 0.0625];
        for (probability, expected) in binomial(4, 0.5).iter().zip(expected) {
            assert!((probability - expected).abs() < 1e-12, "{probability} for {expected}");
        }
    }

    #[test]
    fn bounds_keep_to_the_risk() {
        let (trials, p, risk) = (400, 0.25, 5e-8);
        let (low, high) = binomial_bounds(trials, p, risk);
        let probabilities = binomial(trials, p);
        let outside: f64 = probabilities[..low as usize].iter().sum::<f64>()
            + probabilities[high as usize + 1..].iter().sum::<f64>();
        assert!(outside <= risk, "{outside}");
        // 5.4 standard deviations of 8.66 each way.
        assert_eq!((low, high), (56, 149));
    }
}
