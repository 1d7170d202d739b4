//! How a host's memory is managed.

use std::time::Duration;

use plimsoll_core_types::{AmountOrShare, Bytes, Ratio};
use serde::{Deserialize, Serialize};

use crate::forecast::{PressureConfig, PressureConfigError};
use crate::track::TrackConfig;

/// How a [`MemoryService`](crate::MemoryService) manages memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryConfig {
    /// What is left to the host, whatever is free: taken off its capacity. Default 2%.
    pub reserve: AmountOrShare<Bytes>,
    /// How tight it may get. See [`PressureConfig`].
    pub pressure: PressureConfig,
    /// How far ahead to look, rising. Default one, five and fifteen minutes.
    pub horizons: Vec<Duration>,
    /// How many samples of the host's use are kept where nobody brings a history. Default 600.
    pub history: usize,
    /// How many consumers are told apart. See [`TrackConfig`].
    pub track: TrackConfig,
    /// How long a reclaimer may take for one turn. Default 5 s.
    pub reclaim_within: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            reserve: AmountOrShare::Share(Ratio::saturating(0.02)),
            pressure: PressureConfig::default(),
            horizons: [60, 300, 900].map(Duration::from_secs).to_vec(),
            history: 600,
            track: TrackConfig::default(),
            reclaim_within: Duration::from_secs(5),
        }
    }
}

/// What is wrong with a [`MemoryConfig`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryConfigError {
    /// Pressure thresholds that contradict each other.
    #[error(transparent)]
    Pressure(PressureConfigError),
    /// A reserve of everything.
    #[error("memory reserve is {given}; it must be below 100%")]
    Reserve {
        /// What was given.
        given: Ratio,
    },
    /// Horizons that do not rise.
    #[error("memory horizons must rise; {given:?} does not come after the one before")]
    Horizons {
        /// The first that is out of order.
        given: Duration,
    },
}

impl MemoryConfig {
    /// The same config.
    ///
    /// # Errors
    ///
    /// When a value is out of range; names the field.
    pub fn checked(self) -> Result<Self, MemoryConfigError> {
        self.pressure.checked().map_err(MemoryConfigError::Pressure)?;
        if let AmountOrShare::Share(given) = self.reserve
            && given >= Ratio::ONE
        {
            return Err(MemoryConfigError::Reserve { given });
        }
        if let Some(pair) = self.horizons.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(MemoryConfigError::Horizons { given: pair[1] });
        }
        Ok(self)
    }
}
