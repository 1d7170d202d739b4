//! How long waits took: counts by length, in buckets that grow with it.
//!
//! Eight buckets for each doubling, so that a quantile is at most an eighth too high: the layout
//! of G. Tene's *High Dynamic Range Histogram* with three significant bits.

use std::time::Duration;

const BITS: u32 = 3;
const STEPS: usize = 1 << BITS;
/// Waits up to 2^40 ns (18 minutes) are told apart.
const BUCKETS: usize = (40 - BITS as usize + 1) * STEPS;

/// How many waits took how long, those that ended without an object included.
///
/// Waits with a limit are all timed. Of those without, the first 1024 after each
/// [`measure`](crate::Pool::measure) are; later ones by a sample of about one in 16, each of which stands for those since the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitHistogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    total: u64,
    longest: u64,
}

impl Default for WaitHistogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, total: 0, longest: 0 }
    }
}

impl WaitHistogram {
    /// Counts a wait that stands for `weight` of them.
    pub(crate) fn record(&mut self, wait: Duration, weight: u8) {
        let (nanos, weight) =
            (u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX), u64::from(weight));
        self.buckets[bucket(nanos)] += weight;
        self.count += weight;
        self.total = self.total.saturating_add(nanos.saturating_mul(weight));
        self.longest = self.longest.max(nanos);
    }

    /// How many waits there were.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The mean wait; zero where there was none.
    pub const fn mean(&self) -> Duration {
        match self.total.checked_div(self.count) {
            Some(nanos) => Duration::from_nanos(nanos),
            None => Duration::ZERO,
        }
    }

    /// The longest wait.
    pub const fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    /// The wait that a share `quantile` (0 to 1) of all did not exceed, at most an eighth too
    /// high; zero where there was none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = (quantile.clamp(0.0, 1.0) * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            // The last bucket has no end.
            if seen >= rank && index + 1 < BUCKETS {
                return Duration::from_nanos(end(index).min(self.longest));
            }
        }
        self.longest()
    }

    /// The waits in this that were not in `earlier`, an earlier state of the same history. The
    /// longest is the longest of all.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut buckets = self.buckets.clone();
        for (bucket, before) in buckets.iter_mut().zip(earlier.buckets.iter()) {
            *bucket = bucket.saturating_sub(*before);
        }
        let count = self.count.saturating_sub(earlier.count);
        let total = self.total.saturating_sub(earlier.total);
        Self { buckets, count, total, longest: self.longest }
    }
}

/// Below 8 each length has its own bucket; above, the leading three bits after the first decide.
fn bucket(nanos: u64) -> usize {
    let Some(shift) = (nanos.max(1).ilog2()).checked_sub(BITS) else { return nanos as usize };
    let step = (nanos >> shift) as usize - STEPS;
    ((shift as usize + 1) * STEPS + step).min(BUCKETS - 1)
}

/// The longest wait that falls into bucket `index`.
fn end(index: usize) -> u64 {
    let Some(shift) = (index / STEPS).checked_sub(1) else { return index as u64 };
    let step = (index % STEPS + STEPS) as u64;
    ((step + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_falls_into_a_bucket_that_ends_at_most_an_eighth_later() {
        for nanos in (0..1000).chain((3..40).flat_map(|bit| {
            let power = 1_u64 << bit;
            [power - 1, power, power + power / 3]
        })) {
            let index = bucket(nanos);
            assert!(end(index) >= nanos && end(index) - nanos <= nanos / 8, "{nanos} in {index}");
            assert!(index == 0 || end(index - 1) < nanos, "{nanos} in {index}");
        }
    }

    #[test]
    fn quantiles_and_differences() {
        let mut waits = WaitHistogram::default();
        assert_eq!(waits.quantile(0.99), Duration::ZERO);
        for micros in 1..=1000 {
            waits.record(Duration::from_micros(micros), 1);
        }
        let earlier = waits.clone();
        let p99 = waits.quantile(0.99).as_nanos() as f64;
        assert!((990_000.0..990_000.0 * 1.125).contains(&p99), "{p99}");
        assert_eq!(waits.mean(), Duration::from_nanos(500_500));
        waits.record(Duration::from_secs(10_000), 1);
        assert_eq!(waits.since(&earlier).count(), 1);
        assert_eq!(waits.longest(), Duration::from_secs(10_000));
        assert_eq!(waits.quantile(1.0), waits.longest());
    }
}
