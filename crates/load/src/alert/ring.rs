//! Good and bad events of the latest stretch of time, counted in whole numbers: a running sum that
//! is exact however long it runs.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

/// In how many parts a window is counted; what falls out of it falls out a part at a time.
const BUCKETS: usize = 60;

/// Events, by how they went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) good: u64,
    pub(super) bad: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.good += other.good;
        self.bad += other.bad;
    }

    fn subtract(&mut self, other: Self) {
        self.good -= other.good;
        self.bad -= other.bad;
    }

    pub(super) const fn total(self) -> u64 {
        self.good + self.bad
    }

    /// The share that was bad; zero where there was nothing.
    pub(super) fn bad_share(self) -> f64 {
        self.bad as f64 / self.total().max(1) as f64
    }
}

/// The events of the latest `window`, to a sixtieth of it.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    buckets: [Count; BUCKETS],
    sum: Count,
    /// Nanoseconds of a bucket.
    width: u64,
    /// Which bucket is being filled, counted from the clock's start.
    current: u64,
}

impl Ring {
    pub(super) fn new(window: Duration) -> Self {
        let nanos = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        let width = (nanos / BUCKETS as u64).max(1);
        Self { buckets: [Count::default(); BUCKETS], sum: Count::default(), width, current: 0 }
    }

    /// Lets go of what has left the window.
    fn pass(&mut self, now: Timestamp) {
        let current = now.as_nanos() / self.width;
        // After a whole window everything is gone, however long it was.
        let passed = current.saturating_sub(self.current).min(BUCKETS as u64);
        for bucket in current.saturating_sub(passed)..current {
            let bucket = &mut self.buckets[((bucket + 1) % BUCKETS as u64) as usize];
            self.sum.subtract(std::mem::take(bucket));
        }
        self.current = self.current.max(current);
    }

    /// Counts events that have ended by `now`. Time never goes back: what is late counts now.
    pub(super) fn add(&mut self, events: Count, now: Timestamp) {
        self.pass(now);
        self.buckets[(self.current % BUCKETS as u64) as usize].add(events);
        self.sum.add(events);
    }

    /// What was counted within the window that ended at the last [`add`](Self::add).
    pub(super) const fn sum(&self) -> Count {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_events_within_the_window(
            events in prop::collection::vec((0_u64..100, 0_u64..9, 0_u64..9), 1..200)
        ) {
            let mut ring = Ring::new(Duration::from_mins(1));
            let (mut now, mut all) = (0, Vec::new());
            for (after, good, bad) in events {
                now += after;
                let count = Count { good, bad };
                ring.add(count, at(now));
                all.push((now, count));
                let mut expected = Count::default();
                for (_, count) in all.iter().filter(|(when, _)| now - when < 60) {
                    expected.add(*count);
                }
                prop_assert_eq!(ring.sum(), expected);
            }
        }
    }

    #[test]
    fn time_that_goes_back_loses_and_doubles_nothing() {
        let mut ring = Ring::new(Duration::from_mins(1));
        ring.add(Count { good: 1, bad: 0 }, at(100));
        ring.add(Count { good: 1, bad: 1 }, at(90));
        assert_eq!(ring.sum(), Count { good: 2, bad: 1 });
        ring.add(Count::default(), at(161));
        assert_eq!(ring.sum(), Count::default());
    }
}
