//! How a [`HostCpu`](crate::HostCpu) reads its host.

use std::time::Duration;

use plimsoll_core_types::Ratio;

/// How a [`HostCpu`](crate::HostCpu) reads its host. Checked when that is made.
#[derive(Clone, Debug, PartialEq)]
pub struct HostConfig {
    /// How long what was read stands before the limits are read again. Default 100 ms. A change of
    /// a quota is seen so late at the most, when somebody asks.
    pub refresh_every: Duration,
    /// The shortest time over which use is measured; the kernel counts it in hundredths of a
    /// second for each CPU. Default 500 ms; above zero.
    pub measure_over: Duration,
    /// From which pressure (PSI `some`, ten seconds) on weights count. Default 10%.
    pub contended_above: Ratio,
    /// Below which pressure they cease to count. Default 5%; at most
    /// [`contended_above`](Self::contended_above).
    pub contended_below: Ratio,
    /// How many sibling groups are looked at, each level. Default 256; the rest counts as if it
    /// were not there.
    pub most_siblings: usize,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            refresh_every: Duration::from_millis(100),
            measure_over: Duration::from_millis(500),
            contended_above: Ratio::saturating(0.10),
            contended_below: Ratio::saturating(0.05),
            most_siblings: 256,
        }
    }
}

/// Why a [`HostConfig`] is no config.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostConfigError {
    /// Use can't be measured over no time.
    #[error("measure_over is 0; it must be above 0")]
    NoTime,
    /// The thresholds are in the wrong order.
    #[error("contended_below is {below}; it must be at most contended_above, {above}")]
    Thresholds {
        /// The lower.
        below: Ratio,
        /// The upper.
        above: Ratio,
    },
}

impl HostConfig {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of range, with what it may be.
    pub fn check(&self) -> Result<(), HostConfigError> {
        if self.measure_over.is_zero() {
            return Err(HostConfigError::NoTime);
        }
        let (below, above) = (self.contended_below, self.contended_above);
        if below > above {
            return Err(HostConfigError::Thresholds { below, above });
        }
        Ok(())
    }
}
