//! From a forecast rate to the probability that somebody asks.
//!
//! Given its rate λ, arrivals are a Poisson process, so nobody asks within `t` with probability
//! `exp(−λt)`. The rate itself is uncertain: a mixed (doubly stochastic) Poisson process, whose
//! probability of no arrival is the Laplace transform of the rate's distribution,
//! `E[exp(−λt)]` (D. R. Cox, "Some statistical methods connected with series of events", 1955;
//! J. Grandell, *Mixed Poisson Processes*, 1997). The distribution is known by its quantiles, and
//! between two of them taken as uniform, for which the integral has a closed form. Beyond the
//! outermost quantile all mass is taken to lie on it, as [`Quantiles::at`] does.

use std::time::Duration;

use plimsoll_core_types::{Quantiles, Ratio};

/// The probability that at least one request arrives within `within`, where `rate` is the
/// distribution of the request rate, per second, over that time.
///
/// A negative rate counts as zero. At most one.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::Quantiles;
/// use plimsoll_predict::demand::arrival_probability;
///
/// let sure = Quantiles::certain(2.0)?;
/// let p = arrival_probability(&sure, Duration::from_millis(500)).get();
/// assert!((p - (1.0 - (-1.0_f64).exp())).abs() < 1e-12);
/// # Ok::<(), plimsoll_core_types::QuantilesError>(())
/// ```
pub fn arrival_probability(rate: &Quantiles, within: Duration) -> Ratio {
    let seconds = within.as_secs_f64();
    // Beyond a thousand expected requests, none is impossible to the last digit of a float.
    let expected = rate.values().map(|value| (value.max(0.0) * seconds).min(1e3));
    let levels = Quantiles::LEVELS;
    let last = levels.len() - 1;
    let mut some =
        levels[0] * some_at(expected[0]) + (1.0 - levels[last]) * some_at(expected[last]);
    for index in 1..levels.len() {
        let mass = levels[index] - levels[index - 1];
        some += mass * some_between(expected[index - 1], expected[index]);
    }
    Ratio::saturating(some).min_one()
}

/// The expected value of the forecast distribution: the integral of its quantiles.
pub fn mean(quantiles: &Quantiles) -> f64 {
    let (levels, values) = (Quantiles::LEVELS, quantiles.values());
    let last = levels.len() - 1;
    let mut sum = levels[0] * values[0] + (1.0 - levels[last]) * values[last];
    for index in 1..levels.len() {
        sum +=
            (levels[index] - levels[index - 1]) * f64::midpoint(values[index], values[index - 1]);
    }
    sum
}

/// One or more of a Poisson count of this mean.
fn some_at(mean: f64) -> f64 {
    -(-mean).exp_m1()
}

/// The same where the mean is uniform between two bounds: `1 − (e^−a − e^−b) / (b − a)`.
fn some_between(low: f64, high: f64) -> f64 {
    let width = high - low;
    if width < 1e-6 {
        return some_at(f64::midpoint(low, high));
    }
    1.0 - (-low).exp() * some_at(width) / width
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(value: impl Fn(f64) -> f64) -> Quantiles {
        Quantiles::new(Quantiles::LEVELS.map(value)).unwrap()
    }

    #[test]
    fn a_certain_rate_is_a_poisson_process() {
        for rate in [0.0, 0.1, 1.0, 30.0] {
            let seen = arrival_probability(&quantiles(|_| rate), Duration::from_secs(2)).get();
            assert!((seen - (1.0 - (-rate * 2.0).exp())).abs() < 1e-12, "{rate}: {seen}");
        }
    }

    #[test]
    fn an_uncertain_rate_asks_less_often_than_its_mean() {
        // Jensen: exp is convex, so uncertainty raises the probability that nobody asks.
        let spread = quantiles(|level| 2.0 * level);
        let seen = arrival_probability(&spread, Duration::from_secs(3)).get();
        let sure = arrival_probability(&quantiles(|_| 1.0), Duration::from_secs(3)).get();
        assert!(seen < sure);
        // A rate uniform on [0, 2]: 1 − (1 − e^−6)/6.
        assert!((seen - (1.0 - (1.0 - (-6.0_f64).exp()) / 6.0)).abs() < 5e-3, "{seen}");
    }

    #[test]
    fn the_extremes_stay_probabilities() {
        let huge = quantiles(|_| f64::MAX);
        assert_eq!(arrival_probability(&huge, Duration::MAX).get(), 1.0);
        let negative = quantiles(|level| level - 2.0);
        assert_eq!(arrival_probability(&negative, Duration::from_secs(1)).get(), 0.0);
        assert_eq!(arrival_probability(&huge, Duration::ZERO).get(), 0.0);
    }

    #[test]
    fn the_mean_integrates_the_quantiles() {
        assert!((mean(&quantiles(|level| level)) - 0.5).abs() < 1e-3);
        assert!((mean(&quantiles(|_| 7.0)) - 7.0).abs() < 1e-12);
    }
}
