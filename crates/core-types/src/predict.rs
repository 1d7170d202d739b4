//! The interface of whoever says what will be used.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::history::{SeriesKey, UsageHistory};
use crate::reason::Reason;
use crate::units::Ratio;

/// Forecasts series, recommends amounts, and keeps the score of its own forecasts.
///
/// One predictor serves many series, told apart by their [`SeriesKey`]. It learns from what is
/// new in a history since it last saw that series, so that calling it at every tick costs only
/// the new samples.
pub trait ResourcePredictor: Send + Sync + std::fmt::Debug {
    /// Learns what is new in `history`, and says where it is heading.
    fn forecast(&self, history: &UsageHistory) -> ResourceForecast;

    /// What to provide for `forecast`, given what too little and too much cost.
    fn optimize(&self, forecast: &ResourceForecast) -> Recommendation;

    /// Scores what was forecast for the moment of `usage` against it.
    fn validate(&self, usage: &ResourceUsage) -> ForecastScore;
}

/// The levels at which every forecast tells its quantiles.
const LEVELS: [f64; 11] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99];

/// A distribution by its quantiles at fixed levels, in the series' unit.
///
/// ```
/// use plimsoll_core_types::Quantiles;
/// let certain = Quantiles::certain(5.0)?;
/// assert_eq!(certain.at(0.99), 5.0);
/// # Ok::<(), plimsoll_core_types::QuantilesError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "[f64; 11]", into = "[f64; 11]")]
pub struct Quantiles([f64; LEVELS.len()]);

impl Quantiles {
    /// The levels, lowest first.
    pub const LEVELS: [f64; LEVELS.len()] = LEVELS;

    /// The distribution with these values at [`Self::LEVELS`].
    ///
    /// # Errors
    ///
    /// When a value is not finite or the values fall.
    pub fn new(values: [f64; LEVELS.len()]) -> Result<Self, QuantilesError> {
        for (index, value) in values.iter().enumerate() {
            let level = LEVELS[index];
            if !value.is_finite() {
                return Err(QuantilesError::NotFinite { level, value: *value });
            }
            if index > 0 && *value < values[index - 1] {
                return Err(QuantilesError::Falling { level, value: *value });
            }
        }
        Ok(Self(values))
    }

    /// All of the distribution at `value`.
    ///
    /// # Errors
    ///
    /// When `value` is not finite.
    pub fn certain(value: f64) -> Result<Self, QuantilesError> {
        Self::new([value; LEVELS.len()])
    }

    /// The value that is not exceeded with probability `level`, between the fixed levels by
    /// straight lines, beyond them by the outermost value.
    pub fn at(&self, level: f64) -> f64 {
        let above = LEVELS.partition_point(|known| *known < level);
        if above == 0 || level.is_nan() {
            return self.0[0];
        }
        if above == LEVELS.len() {
            return self.0[LEVELS.len() - 1];
        }
        let (low, high) = (LEVELS[above - 1], LEVELS[above]);
        let part = (level - low) / (high - low);
        self.0[above - 1] + part * (self.0[above] - self.0[above - 1])
    }

    /// The value that is exceeded half of the time.
    pub const fn median(&self) -> f64 {
        self.0[LEVELS.len() / 2]
    }

    /// The values at [`Self::LEVELS`].
    pub const fn values(&self) -> &[f64; LEVELS.len()] {
        &self.0
    }
}

impl TryFrom<[f64; LEVELS.len()]> for Quantiles {
    type Error = QuantilesError;

    fn try_from(values: [f64; LEVELS.len()]) -> Result<Self, Self::Error> {
        Self::new(values)
    }
}

impl From<Quantiles> for [f64; LEVELS.len()] {
    fn from(quantiles: Quantiles) -> Self {
        quantiles.0
    }
}

/// Why values are no quantiles.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantilesError {
    /// A value is infinite or no number.
    #[error("the quantile at {level} is {value}; it must be finite")]
    NotFinite {
        /// At which level.
        level: f64,
        /// What was given.
        value: f64,
    },
    /// A value is below that of the level before.
    #[error("the quantile at {level} is {value}, below that of the level before")]
    Falling {
        /// At which level.
        level: f64,
        /// What was given.
        value: f64,
    },
}

/// The distribution of a series at one moment ahead.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HorizonForecast {
    /// How far ahead of the forecast's making.
    pub horizon: Duration,
    /// The distribution, in the series' unit.
    pub quantiles: Quantiles,
}

/// Whether forecasts of a series can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ForecastHealth {
    /// They are better than the last value.
    Skilled {
        /// Their error relative to the last value's; below one.
        relative_error: f64,
    },
    /// Too little has been seen; the forecast is the last value with a wide interval.
    Learning {
        /// How many samples were seen.
        seen: usize,
        /// How many it takes.
        needed: usize,
    },
    /// They are no better than the last value, which therefore stands in for them.
    FellBack {
        /// Their error relative to the last value's; about one or more.
        relative_error: f64,
    },
    /// The series has changed its nature, and is being learnt anew.
    Drifting {
        /// How many samples ago.
        samples_ago: usize,
    },
}

/// Where a series is heading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceForecast {
    /// Which series.
    pub key: SeriesKey,
    /// When the forecast was made.
    pub at: Timestamp,
    /// The distribution at each horizon, the nearest first; empty before the first sample.
    pub horizons: Vec<HorizonForecast>,
    /// Whether to trust it.
    pub health: ForecastHealth,
    /// The season that was found, where there is one.
    pub season: Option<Duration>,
}

impl ResourceForecast {
    /// The distribution `ahead` of the forecast's making: that of the first tracked horizon that
    /// is not nearer, else of the farthest.
    pub fn ahead(&self, ahead: Duration) -> Option<&Quantiles> {
        let found = self.horizons.iter().find(|forecast| forecast.horizon >= ahead);
        found.or(self.horizons.last()).map(|forecast| &forecast.quantiles)
    }
}

/// What to provide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// For which series.
    pub key: SeriesKey,
    /// How much, in the series' unit; none where the forecast is not to be acted on.
    pub amount: Option<f64>,
    /// How much of it is beyond the median forecast, as a share of the median.
    pub headroom: Ratio,
    /// How probably it suffices.
    pub confidence: Ratio,
    /// Why, or why not.
    pub reason: Reason,
}

/// What a series turned out to be, for [`ResourcePredictor::validate`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceUsage {
    /// Which series.
    pub key: SeriesKey,
    /// When.
    pub at: Timestamp,
    /// The value, in the series' unit.
    pub value: f64,
}

/// How good the forecasts of a series have been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecastScore {
    /// Which series.
    pub key: SeriesKey,
    /// How many forecasts have been scored.
    pub scored: u64,
    /// Mean absolute error relative to that of the last value; below one is skill. None before
    /// the first score.
    pub relative_error: Option<f64>,
    /// Which share of values fell within the 95% interval. None before the first score.
    pub coverage95: Option<Ratio>,
    /// Mean pinball loss over [`Quantiles::LEVELS`], in the series' unit. None before the first
    /// score.
    pub pinball: Option<f64>,
    /// Whether to trust them.
    pub health: ForecastHealth,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_finite_and_do_not_fall() {
        let mut values = [1.0; 11];
        values[3] = f64::NAN;
        assert!(Quantiles::new(values).unwrap_err().to_string().contains("0.1 is NaN"));
        values[3] = 0.5;
        assert!(matches!(Quantiles::new(values), Err(QuantilesError::Falling { .. })));
        assert!(serde_json::from_str::<Quantiles>("[1,2,3,4,5,6,7,8,9,10,9]").is_err());
    }

    #[test]
    fn quantiles_between_levels_are_on_a_line() {
        let rising = Quantiles::new(std::array::from_fn(|index| index as f64)).unwrap();
        assert_eq!(rising.at(0.5), 5.0);
        assert_eq!(rising.median(), 5.0);
        assert!((rising.at(0.625) - 5.5).abs() < 1e-12);
        assert_eq!(rising.at(0.0), 0.0);
        assert_eq!(rising.at(1.0), 10.0);
        assert_eq!(rising.at(f64::NAN), 0.0);
    }
}
