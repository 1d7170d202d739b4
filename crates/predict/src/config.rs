//! What a forecaster is told when it is made.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;

/// Where the season of a series comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeasonSpec {
    /// It is found from the series itself; a day is tried first where the interval allows it.
    #[default]
    Auto,
    /// So many steps.
    Steps(usize),
    /// There is none.
    None,
}

/// How a [`Forecaster`](crate::Forecaster) reads its series.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_predict::{ForecasterConfig, SeasonSpec};
/// let five_minutes = ForecasterConfig::new(Duration::from_secs(300));
/// assert_eq!(five_minutes.season, SeasonSpec::Auto);
/// assert_eq!(five_minutes.max_season, 288);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecasterConfig {
    /// The nominal time between samples, which is one step.
    pub interval: Duration,
    /// The season. Default [`SeasonSpec::Auto`].
    #[serde(default)]
    pub season: SeasonSpec,
    /// The longest season, in steps, that there is memory for; 4 to 8192, default 288 (a day of
    /// five minutes). State grows by about 9 bytes for each.
    #[serde(default = "max_season")]
    pub max_season: usize,
    /// The series can't go below this, in its own unit; default zero. None for a series that may
    /// be negative.
    #[serde(default = "floor")]
    pub floor: Option<f64>,
}

const fn max_season() -> usize {
    288
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the type of the field")]
const fn floor() -> Option<f64> {
    Some(0.0)
}

impl ForecasterConfig {
    /// Samples each `interval`, everything else by default.
    pub const fn new(interval: Duration) -> Self {
        Self { interval, season: SeasonSpec::Auto, max_season: max_season(), floor: floor() }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// When a field is out of range; the error names it, what was given and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.interval.is_zero() {
            return Err(ConfigError::Interval);
        }
        ConfigError::count("max_season", self.max_season, 4, 8192)?;
        if let SeasonSpec::Steps(steps) = self.season {
            ConfigError::count("season", steps, 2, self.max_season)?;
        }
        if let Some(floor) = self.floor {
            ConfigError::number("floor", floor, -crate::gate::LARGEST, crate::gate::LARGEST)?;
        }
        Ok(())
    }
}
