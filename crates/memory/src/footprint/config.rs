//! How footprints are learned.

use std::time::Duration;

use plimsoll_core_types::{Bytes, Ratio};
use serde::{Deserialize, Serialize};

/// How footprints are learned. Every value is valid that [`checked`](Self::checked) lets through.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FootprintConfig {
    /// Which share of peaks the figure should cover. Default 99.5%: the
    /// highest of the lives that still count, where these are fewer than two hundred.
    pub coverage: Ratio,
    /// What is added to that, as a share. More of it wastes memory, less of it has engines outgrow
    /// their leases. Default 5%.
    pub margin: Ratio,
    /// Measurements before they are believed. Default 5.
    pub samples: u32,
    /// A life that is longer than this counts as several. Default 24 hours.
    pub window: Duration,
    /// After this long a peak counts for half. Default 4 days.
    pub half_life: Duration,
    /// What running out multiplies the figure by. Default 1.2.
    pub bump: Ratio,
    /// What running out adds at least. Default 100 MiB.
    pub bump_least: Bytes,
    /// How many consumers and configurations are kept. Default 4096.
    pub consumers: usize,
}

impl Default for FootprintConfig {
    fn default() -> Self {
        let day = Duration::from_hours(24);
        Self {
            coverage: Ratio::saturating(0.995),
            margin: Ratio::saturating(0.05),
            samples: 5,
            window: day,
            half_life: Duration::from_hours(4 * 24),
            bump: Ratio::saturating(1.2),
            bump_least: Bytes::from_mib(100),
            consumers: 4096,
        }
    }
}

/// What is wrong with a [`FootprintConfig`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FootprintConfigError {
    /// A coverage of nothing, or of more than everything.
    #[error("footprint coverage is {given}; it must be above 0% and at most 100%")]
    Coverage {
        /// What was given.
        given: Ratio,
    },
    /// A bump that shrinks.
    #[error("footprint bump is {given}; it must be at least 100%")]
    Bump {
        /// What was given.
        given: Ratio,
    },
    /// A time or count of zero.
    #[error("footprint {field} is 0; it must be above")]
    Zero {
        /// Which field.
        field: &'static str,
    },
}

impl FootprintConfig {
    /// The same config.
    ///
    /// # Errors
    ///
    /// When a value is out of range; names the field.
    pub fn checked(self) -> Result<Self, FootprintConfigError> {
        let zero = |field| Err(FootprintConfigError::Zero { field });
        if self.coverage == Ratio::ZERO || self.coverage > Ratio::ONE {
            return Err(FootprintConfigError::Coverage { given: self.coverage });
        }
        if self.bump < Ratio::ONE {
            return Err(FootprintConfigError::Bump { given: self.bump });
        }
        if self.window.is_zero() {
            return zero("window");
        }
        if self.half_life.is_zero() {
            return zero("half_life");
        }
        if self.consumers == 0 {
            return zero("consumers");
        }
        Ok(self)
    }
}
