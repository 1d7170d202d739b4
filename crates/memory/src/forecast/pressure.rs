//! How tight it is, without flapping.
//!
//! A level is entered at once and left late: only when every signal has stayed below the level's
//! lower threshold for a while, and then one level at a time. Three signals raise it, the worst
//! one counts: the share that is used, the share of time in which somebody waited for memory
//! (PSI), and how soon the trend runs out.

use std::time::Duration;

use plimsoll_core_types::{Bytes, PressureLevel, Ratio, Timestamp};
use serde::{Deserialize, Serialize};

/// Above which signals each level is entered, and when it is left. Every value is valid that
/// [`checked`](Self::checked) lets through.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PressureConfig {
    /// The share in use from which pressure is elevated, high, critical. Default 75%, 85%, 95%.
    pub used: [Ratio; 3],
    /// The share of time in which somebody waits for memory, likewise. Default 5%, 20%, 50%.
    pub stalled: [Ratio; 3],
    /// The time to exhaustion, likewise: the farthest first. Default 10 min, 2 min, 20 s.
    pub exhausted_in: [Duration; 3],
    /// How far below its threshold a signal must be for its level to be left, as a share of the
    /// threshold. Default 5%.
    pub slack: Ratio,
    /// For how long all of them must be. Default 10 s.
    pub calm_for: Duration,
}

impl Default for PressureConfig {
    fn default() -> Self {
        let shares = |shares: [f64; 3]| shares.map(Ratio::saturating);
        Self {
            used: shares([0.75, 0.85, 0.95]),
            stalled: shares([0.05, 0.2, 0.5]),
            exhausted_in: [600, 120, 20].map(Duration::from_secs),
            slack: Ratio::saturating(0.05),
            calm_for: Duration::from_secs(10),
        }
    }
}

/// What is wrong with a [`PressureConfig`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PressureConfigError {
    /// Thresholds of a worse level that are easier to reach.
    #[error("pressure {field}: the thresholds must get stricter from level to level")]
    Order {
        /// Of which signal.
        field: &'static str,
    },
    /// A slack of everything: no level would ever be left.
    #[error("pressure slack is {given}; it must be below 100%")]
    Slack {
        /// What was given.
        given: Ratio,
    },
}

impl PressureConfig {
    /// The same config.
    ///
    /// # Errors
    ///
    /// When thresholds contradict each other; names the field.
    pub fn checked(self) -> Result<Self, PressureConfigError> {
        for (field, shares) in [("used", self.used), ("stalled", self.stalled)] {
            if !shares.is_sorted() {
                return Err(PressureConfigError::Order { field });
            }
        }
        if !self.exhausted_in.iter().rev().is_sorted() {
            return Err(PressureConfigError::Order { field: "exhausted_in" });
        }
        if self.slack >= Ratio::ONE {
            return Err(PressureConfigError::Slack { given: self.slack });
        }
        Ok(self)
    }
}

/// What pressure is judged by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Signals {
    /// What is used.
    pub used: Bytes,
    /// What there is, less the reserve.
    pub capacity: Bytes,
    /// Share of time in which somebody waited for memory; none where unknown.
    pub stalled: Option<Ratio>,
    /// When it runs out by the trend; none where it does not.
    pub exhausted_in: Option<Duration>,
}

/// Tells the pressure level from signals over time.
///
/// ```
/// use plimsoll_core_types::{Bytes, PressureLevel, Timestamp};
/// use plimsoll_memory::{PressureConfig, PressureGauge, Signals};
///
/// let mut gauge = PressureGauge::new(PressureConfig::default());
/// let signals = |gib| Signals {
///     used: Bytes::from_gib(gib),
///     capacity: Bytes::from_gib(100),
///     ..Signals::default()
/// };
/// let at = Timestamp::from_secs_f64;
/// assert_eq!(gauge.update(&signals(86), at(0.0)), PressureLevel::High);
/// // It does not flap around the threshold.
/// assert_eq!(gauge.update(&signals(84), at(60.0)), PressureLevel::High);
/// // It is left after ten seconds well below.
/// assert_eq!(gauge.update(&signals(60), at(61.0)), PressureLevel::High);
/// assert_eq!(gauge.update(&signals(60), at(71.0)), PressureLevel::Elevated);
/// ```
#[derive(Clone, Debug, Default)]
pub struct PressureGauge {
    config: PressureConfig,
    level: PressureLevel,
    below_since: Option<Timestamp>,
}

const WORSE: [PressureLevel; 3] =
    [PressureLevel::Elevated, PressureLevel::High, PressureLevel::Critical];

impl PressureGauge {
    /// A gauge at [`PressureLevel::Calm`].
    pub fn new(config: PressureConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// The level that was last told.
    pub const fn level(&self) -> PressureLevel {
        self.level
    }

    /// The level by `signals`, and by those before.
    pub fn update(&mut self, signals: &Signals, now: Timestamp) -> PressureLevel {
        let entered = self.config.level(signals, Ratio::ONE);
        if entered >= self.level {
            (self.level, self.below_since) = (entered, None);
            return self.level;
        }
        // With thresholds lowered by the slack: what still reaches its level there holds it.
        if self.config.level(signals, self.config.slack.complement()) >= self.level {
            self.below_since = None;
            return self.level;
        }
        let since = *self.below_since.get_or_insert(now);
        if now.saturating_since(since) >= self.config.calm_for {
            self.level = one_below(self.level);
            self.below_since = Some(now);
        }
        self.level
    }
}

impl PressureConfig {
    /// The worst level that a signal reaches, with thresholds multiplied by `eased`.
    fn level(&self, signals: &Signals, eased: Ratio) -> PressureLevel {
        let eased = eased.get();
        let reached = |index: usize| {
            let used = signals.used.as_f64() / signals.capacity.as_f64().max(1.0);
            let stalled = signals.stalled.map_or(0.0, Ratio::get);
            let soon = signals.exhausted_in.is_some_and(|left| {
                left.as_secs_f64() * eased <= self.exhausted_in[index].as_secs_f64()
            });
            used >= self.used[index].get() * eased
                || stalled >= (self.stalled[index].get() * eased).max(f64::MIN_POSITIVE)
                || soon
        };
        (0..WORSE.len())
            .rev()
            .find(|index| reached(*index))
            .map_or(PressureLevel::Calm, |i| WORSE[i])
    }
}

const fn one_below(level: PressureLevel) -> PressureLevel {
    match level {
        PressureLevel::Critical => PressureLevel::High,
        PressureLevel::High => PressureLevel::Elevated,
        PressureLevel::Elevated | PressureLevel::Calm => PressureLevel::Calm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(percent: u64) -> Signals {
        Signals { used: Bytes::new(percent), capacity: Bytes::new(100), ..Signals::default() }
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_secs_f64(seconds)
    }

    #[test]
    fn the_worst_signal_counts() {
        let check = |signals: Signals, expected| {
            let mut gauge = PressureGauge::default();
            assert_eq!(gauge.update(&signals, at(0.0)), expected, "{signals:?}");
        };
        check(used(10), PressureLevel::Calm);
        check(used(75), PressureLevel::Elevated);
        check(used(96), PressureLevel::Critical);
        check(Signals { stalled: Ratio::new(0.3).ok(), ..used(10) }, PressureLevel::High);
        let soon = Some(Duration::from_secs(100));
        check(Signals { exhausted_in: soon, ..used(76) }, PressureLevel::High);
        let full = Signals { capacity: Bytes::ZERO, ..used(1) };
        check(full, PressureLevel::Critical);
        check(Signals::default(), PressureLevel::Calm);
    }

    #[test]
    fn a_series_around_a_threshold_changes_the_level_once() {
        let mut gauge = PressureGauge::default();
        let mut changes = 0;
        let mut last = gauge.level();
        for second in 0..600_u32 {
            let level = gauge.update(&used(84 + u64::from(second % 3)), at(f64::from(second)));
            changes += u32::from(level != last);
            last = level;
        }
        assert_eq!(last, PressureLevel::High);
        assert!(changes <= 2, "{changes}");
    }

    #[test]
    fn levels_are_left_one_at_a_time() {
        let mut gauge = PressureGauge::default();
        gauge.update(&used(99), at(0.0));
        let levels: Vec<_> =
            (1..=40).map(|second| gauge.update(&used(0), at(f64::from(second)))).collect();
        assert_eq!(levels[9], PressureLevel::Critical);
        assert_eq!(levels[10], PressureLevel::High);
        assert_eq!(levels[20], PressureLevel::Elevated);
        assert_eq!(levels[30], PressureLevel::Calm);
        assert_eq!(levels[39], PressureLevel::Calm);
    }

    #[test]
    fn contradictions_are_named() {
        let config = PressureConfig::default();
        assert_eq!(config.checked(), Ok(config));
        let turned = PressureConfig { used: [0.9, 0.8, 0.95].map(Ratio::saturating), ..config };
        assert!(turned.checked().unwrap_err().to_string().contains("used"));
        let endless = PressureConfig { slack: Ratio::ONE, ..config };
        assert!(endless.checked().is_err());
    }
}
