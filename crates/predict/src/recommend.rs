//! How much to provide: the newsvendor's quantile.
//!
//! Where a unit too little costs `under` and a unit too much costs `over`, the amount of least
//! expected cost is the quantile of demand at `under / (under + over)` (Arrow, Harris & Marschak,
//! "Optimal inventory policy", *Econometrica* 19, 1951). The demand that counts is that at the
//! lead time: what is decided now takes effect only then.

use std::time::Duration;

use plimsoll_core_types::{Quantiles, Ratio, Reason};
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// What too little and too much cost, and how long a decision takes to have effect.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_predict::Cost;
/// let cost = Cost { under: 99.0, over: 1.0, lead: Duration::from_secs(60) };
/// assert_eq!(cost.level(), 0.99);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// What one unit too little costs; above zero, at most 1e12 times `over`.
    pub under: f64,
    /// What one unit too much costs; above zero.
    pub over: f64,
    /// How long it takes until what is decided now has effect: the time of a cold start.
    pub lead: Duration,
}

impl Cost {
    /// The level of the quantile that is cheapest.
    pub fn level(&self) -> f64 {
        self.under / (self.under + self.over)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        ConfigError::number("cost.over", self.over, 1e-12, 1e12)?;
        ConfigError::number("cost.under", self.under, 1e-12, 1e12)
    }
}

/// An amount to provide, and what it is expected to be worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// How much, in the series' unit.
    pub amount: f64,
    /// How much of it is beyond the median forecast.
    pub headroom: f64,
    /// How probably it suffices at the lead time.
    pub confidence: Ratio,
    /// How much of it is expected to lie idle, in the series' unit.
    pub expected_waste: f64,
    /// How much demand is expected to be beyond it, in the series' unit.
    pub expected_loss: f64,
    /// Why.
    pub reason: Reason,
}

/// Why nothing is recommended.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Declined {
    /// Too little was seen at this horizon.
    #[error("{seen} samples were seen; it takes about {needed}")]
    TooFewSamples {
        /// How many were seen.
        seen: usize,
        /// How many it takes, about.
        needed: usize,
    },
    /// The series can't be forecast at this horizon.
    #[error("forecasts have {relative_error:.2} times the error of the last value or a constant")]
    NoSkill {
        /// Error relative to the better of the last value's and a constant's.
        relative_error: f64,
    },
    /// What would have been said so far was worth no more than the static rule.
    #[error("forecasts so far would have saved {:.1}% of what a static rule wastes", waste_saved * 100.0)]
    NoGain {
        /// What would have been saved, as a share; zero or less.
        waste_saved: f64,
    },
}

impl From<Declined> for Reason {
    fn from(declined: Declined) -> Self {
        match declined {
            Declined::TooFewSamples { seen, needed } => Self::TooFewSamples { seen, needed },
            Declined::NoSkill { relative_error } => Self::NoSkill { relative_error },
            Declined::NoGain { waste_saved } => Self::NoSkill { relative_error: 1.0 - waste_saved },
        }
    }
}

/// How much of `amount` is expected to lie idle, and how much demand to be beyond it: the two
/// partial expectations of the distribution, taken as uniform between its quantiles.
pub(crate) fn expected(demand: &Quantiles, amount: f64) -> (f64, f64) {
    let (levels, values) = (Quantiles::LEVELS, demand.values());
    let last = levels.len() - 1;
    let at = |mass: f64, value: f64| {
        (mass * (amount - value).max(0.0), mass * (value - amount).max(0.0))
    };
    let (mut waste, mut loss) = at(levels[0], values[0]);
    for index in 1..=last {
        let (low, high) = (values[index - 1], values[index]);
        let mass = levels[index] - levels[index - 1];
        // The part of the piece below the amount, and the mean distance on either side.
        let part = if high > low { ((amount - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        if part > 0.0 && part < 1.0 {
            waste += mass * part * (amount - low) / 2.0;
            loss += mass * (1.0 - part) * (high - amount) / 2.0;
        } else {
            let (idle, beyond) = at(mass, f64::midpoint(low, high));
            waste += idle;
            loss += beyond;
        }
    }
    let (idle, beyond) = at(1.0 - levels[last], values[last]);
    (waste + idle, loss + beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_expectations_add_up_to_the_distance_from_the_mean() {
        let uniform = Quantiles::new(Quantiles::LEVELS.map(|level| 10.0 * level)).unwrap();
        for amount in [0.0, 2.0, 5.0, 9.5, 20.0] {
            let (waste, loss) = expected(&uniform, amount);
            assert!((waste - loss - (amount - 5.0)).abs() < 0.02, "{amount}: {waste} {loss}");
        }
        // The loss of a uniform on 0..10 beyond 8: (10 − 8)² / 20.
        assert!((expected(&uniform, 8.0).1 - 0.2).abs() < 0.02);
    }
}
