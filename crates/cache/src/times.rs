//! How long after one another keys are asked for, and how old entries are when they are found.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{Ratio, Timestamp};
use serde::{Deserialize, Serialize};

use crate::hash::Spread;

/// Keys whose last look-up is remembered, at the most.
const MOST_KEYS: usize = 1 << 14;

/// One in so many of the sampled keys is timed.
const EVERY: u64 = 8;

const BUCKETS: usize = 64;

/// Durations, counted in buckets that double.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// How many there were of 2^n up to 2^(n + 1) nanoseconds.
    counts: Vec<u64>,
}

impl Default for Durations {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS] }
    }
}

impl Durations {
    fn add(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.counts[nanos.ilog2() as usize] += 1;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many there were in each bucket that has any, with its upper end.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let counts = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bucket, count)| (upper(bucket), *count))
    }

    /// The upper end of the bucket within which `share` of them lie; none where there are none.
    pub fn quantile(&self, share: Ratio) -> Option<Duration> {
        let wanted = share.min_one().get() * self.count() as f64;
        let mut reached = 0.0;
        let mut within = self.buckets().map(|(upper, count)| {
            reached += count as f64;
            (upper, reached)
        });
        within.find(|(_, reached)| *reached >= wanted).map(|(upper, _)| upper)
    }
}

fn upper(bucket: usize) -> Duration {
    Duration::from_nanos(1_u64.checked_shl(bucket as u32 + 1).unwrap_or(u64::MAX))
}

/// Times a part of the sampled look-ups.
#[derive(Debug, Default)]
pub(crate) struct Times(Mutex<Timed>);

#[derive(Debug, Default)]
struct Timed {
    last: HashMap<u64, Timestamp, Spread>,
    reuse: Durations,
    age: Durations,
}

impl Times {
    /// Notes a look-up of a sampled key; `written` is when the entry that was found was.
    pub(crate) fn looked_up(&self, hash: u64, now: Timestamp, written: Option<Timestamp>) {
        // The low bits: the high ones decided that the key is sampled.
        if !hash.is_multiple_of(EVERY) {
            return;
        }
        let mut timed = self.0.lock();
        if let Some(written) = written {
            timed.age.add(now.saturating_since(written));
        }
        if timed.last.len() >= MOST_KEYS && !timed.last.contains_key(&hash) {
            timed.last.clear();
        }
        if let Some(before) = timed.last.insert(hash, now) {
            timed.reuse.add(now.saturating_since(before));
        }
    }

    /// Times between two look-ups of a key, and ages of entries when they were found.
    pub(crate) fn read(&self) -> (Durations, Durations) {
        let timed = self.0.lock();
        (timed.reuse.clone(), timed.age.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuse_and_age_are_told_apart() {
        let times = Times::default();
        let at = |seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000);
        for second in 0..100 {
            times.looked_up(8, at(second), Some(at(0)));
        }
        times.looked_up(9, at(5), None);
        let (reuse, age) = times.read();
        assert_eq!((reuse.count(), age.count()), (99, 100));
        assert_eq!(reuse.quantile(Ratio::ONE), Some(upper(29)));
        assert!(age.quantile(Ratio::ONE).unwrap() >= Duration::from_secs(99));
        assert!(age.quantile(Ratio::new(0.5).unwrap()).unwrap() < Duration::from_secs(99));
    }

    #[test]
    fn no_more_keys_are_remembered_than_told() {
        let times = Times::default();
        (0..3 * MOST_KEYS as u64).for_each(|key| times.looked_up(key * 8, Timestamp::ZERO, None));
        assert!(times.0.lock().last.len() <= MOST_KEYS);
    }
}
