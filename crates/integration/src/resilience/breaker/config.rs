//! What a breaker can be told.

use std::time::Duration;

use plimsoll_core_types::Ratio;

use crate::config::ConfigError;

/// When a [`Breaker`](super::Breaker) opens, for how long, and what closes it again.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerConfig {
    /// How many calls the share of failures is taken over: a call's weight falls to 37% after so
    /// many more. A power of two from 8 to 1024; default 32. A longer one is slower to open and
    /// less often wrong.
    pub window: u32,
    /// Opens when this share of the calls in the window fails. Above 0%, below 100%; default 50%.
    /// Since the share begins at none, it takes about 0.7 windows of nothing but failures to reach
    /// 50%.
    pub failure_share: Ratio,
    /// Opens when so many calls fail in a row, at most 1000; 0 leaves that to the share. Default 5.
    pub failures_in_a_row: u16,
    /// For how long it stays open before it lets probes through. 1 ms to a day; default 1 s.
    pub open_for: Duration,
    /// Each time that probes fail, it stays open twice as long as before, at most this long.
    /// Default 60 s.
    pub open_at_most: Duration,
    /// How many probes it lets through at a time when it is half open, and how many must go well
    /// before it closes. 1 to 32; default 3.
    pub probes: u8,
    /// A probe that has not answered for this long has failed. 1 ms to a day; default 10 s.
    pub probe_timeout: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            window: 32,
            failure_share: Ratio::saturating(0.5),
            failures_in_a_row: 5,
            open_for: Duration::from_secs(1),
            open_at_most: Duration::from_mins(1),
            probes: 3,
            probe_timeout: Duration::from_secs(10),
        }
    }
}

const DAY: Duration = Duration::from_hours(24);

impl BreakerConfig {
    /// Says whether every value is within its bounds.
    ///
    /// # Errors
    ///
    /// Names the first field that is not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !self.window.is_power_of_two() || !(8..=1024).contains(&self.window) {
            let allowed = "a power of two from 8 to 1024";
            return Err(ConfigError::new("window", self.window, allowed));
        }
        if self.failure_share == Ratio::ZERO || self.failure_share >= Ratio::ONE {
            let allowed = "above 0% and below 100%";
            return Err(ConfigError::new("failure_share", self.failure_share, allowed));
        }
        if self.failures_in_a_row > 1000 {
            let given = self.failures_in_a_row;
            return Err(ConfigError::new("failures_in_a_row", given, "at most 1000"));
        }
        if !(1..=32).contains(&self.probes) {
            return Err(ConfigError::new("probes", self.probes, "1 to 32"));
        }
        let durations = [
            ("open_for", self.open_for),
            ("open_at_most", self.open_at_most),
            ("probe_timeout", self.probe_timeout),
        ];
        for (field, duration) in durations {
            if duration < Duration::from_millis(1) || duration > DAY {
                let given = format!("{} s", duration.as_secs_f64());
                return Err(ConfigError::new(field, given, "1 ms to a day"));
            }
        }
        Ok(())
    }
}
