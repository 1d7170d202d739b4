//! How much to provide: the newsvendor's quantile.
//!
//! Where a unit too little costs `under` and a unit too much costs `over`, the amount of least
//! expected cost is the quantile of demand at `under / (under + over)` (Arrow, Harris & Marschak,
//! "Optimal inventory policy", *Econometrica* 19, 1951). The demand that counts is that at the
//! lead time: what is decided now takes effect only then.

use std::time::Duration;

use plimsoll_core_types::Ratio;
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
}
