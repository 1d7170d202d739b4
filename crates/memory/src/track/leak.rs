//! Whose memory only grows.
//!
//! A leak is growth that never goes back. What a consumer holds goes up and down with its work, so
//! its size tells nothing; but the *least* it held within each window of time returns to the same
//! level where it frees what it took, and rises from window to window where it does not. A
//! consumer is suspected when the least of every window is above that of the window before, over
//! enough windows, by enough bytes in all. A cache that fills up and then stays full is suspected
//! only while it fills; one that is emptied now and then never is.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ConsumerId, Ratio, Timestamp};
use serde::{Deserialize, Serialize};

/// From when on growth is suspected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LeakConfig {
    /// How long a window is. Shorter than a consumer's own rhythm, and its ups look like growth.
    /// Default one minute.
    pub window: Duration,
    /// How many windows in a row must rise. Default 8.
    pub windows: usize,
    /// By how much in all, at least. Default 4 MiB.
    pub least: Bytes,
    /// The same as a share of what was held at first. Default 5%.
    pub share: Ratio,
}

impl Default for LeakConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_mins(1),
            windows: 8,
            least: Bytes::from_mib(4),
            share: Ratio::saturating(0.05),
        }
    }
}

/// Somebody whose memory only grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeakSuspect {
    /// Who.
    pub consumer: ConsumerId,
    /// Where in its code, where it tells sites apart.
    pub site: Option<String>,
    /// By how much its least has grown.
    pub grown: Bytes,
    /// Over how long.
    pub over: Duration,
    /// What it holds.
    pub held: Bytes,
    /// How long the oldest of it has been held, at least.
    pub oldest: Option<Duration>,
}

impl LeakSuspect {
    /// Bytes that it grows by in a second.
    pub fn rate(&self) -> f64 {
        self.grown.as_f64() / self.over.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// The least of each window.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth {
    current: Option<(Timestamp, Bytes)>,
    /// When each window began, and its least; the oldest first.
    windows: VecDeque<(Timestamp, Bytes)>,
}

impl Growth {
    /// Takes note of what is held at `now`.
    pub(super) fn observe(&mut self, held: Bytes, now: Timestamp, config: &LeakConfig) {
        match &mut self.current {
            Some((since, least)) if now.saturating_since(*since) < config.window => {
                *least = held.min(*least);
            }
            current => {
                let done = current.replace((now, held));
                self.windows.extend(done);
                // One more than rises: as many rises as windows are asked for.
                while self.windows.len() > config.windows.max(1) + 1 {
                    self.windows.pop_front();
                }
            }
        }
    }

    /// By how much it has grown, and over how long, where that is suspect.
    pub(super) fn suspect(&self, config: &LeakConfig) -> Option<(Bytes, Duration)> {
        if self.windows.len() < config.windows.max(1) + 1 {
            return None;
        }
        let rises = self.windows.iter().zip(self.windows.iter().skip(1));
        if rises.into_iter().any(|((_, before), (_, after))| after <= before) {
            return None;
        }
        let ((began, first), (last_began, last)) = (self.windows.front()?, self.windows.back()?);
        let grown = last.saturating_sub(*first);
        let enough = grown >= config.least.max(first.scaled(config.share));
        enough.then(|| (grown, last_began.saturating_since(*began)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is held at each second; true where it is suspected at any time.
    fn suspected(held: impl Fn(u64) -> u64, seconds: u64) -> Option<u64> {
        let config = LeakConfig::default();
        let mut growth = Growth::default();
        (0..seconds).find(|second| {
            let now = Timestamp::ZERO + Duration::from_secs(*second);
            growth.observe(Bytes::from_mib(held(*second)), now, &config);
            growth.suspect(&config).is_some()
        })
    }

    #[test]
    fn a_leak_under_a_rhythm_is_found_within_its_windows() {
        // Works in bursts of 300 MiB, and loses 2 MiB a minute.
        let found = suspected(|second| 100 + 300 * (second % 20 / 10) + second / 30, 7200);
        let found = found.expect("it leaks");
        assert!(found <= 11 * 60, "{found}");
    }

    #[test]
    fn what_comes_back_is_no_leak() {
        let sawtooth = |second: u64| 100 + second / 10;
        let filled = |second: u64| 100 + second.min(300);
        let steady = |second: u64| 500 + (second * 7919) % 101;
        for (name, found) in [
            (
                "filled for fewer windows than are asked for",
                suspected(|s| sawtooth(s % 400), 36_000),
            ),
            ("filled once", suspected(filled, 36_000)),
            ("steady", suspected(steady, 36_000)),
            ("falling", suspected(|second| 40_000 - second, 36_000)),
        ] {
            assert_eq!(found, None, "{name}");
        }
    }

    #[test]
    fn a_trickle_below_the_least_is_none() {
        assert_eq!(suspected(|second| 1000 + second / 100, 3600), None, "36 MiB an hour of 1000");
        let config =
            LeakConfig { least: Bytes::new(1), share: Ratio::ZERO, ..LeakConfig::default() };
        let mut growth = Growth::default();
        for second in 0..700 {
            let now = Timestamp::ZERO + Duration::from_secs(second);
            growth.observe(Bytes::new(second), now, &config);
        }
        let (grown, over) = growth.suspect(&config).unwrap();
        assert_eq!((grown, over), (Bytes::new(480), Duration::from_mins(8)));
    }
}
