//! A histogram that forgets.
//!
//! Source: the Kubernetes vertical pod autoscaler's recommender (`pkg/recommender/util`,
//! `decaying_histogram.go` and `histogram_options.go`): exponential buckets, and weights that
//! halve every half-life. Chosen because it answers any quantile from a few hundred numbers, and
//! because old loads should count for less than new ones without a cut-off date. Decay works by
//! letting *new* samples weigh more, so that adding one touches one bucket only.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{Bytes, Timestamp};

/// Past this exponent the reference moment moves on, so that weights stay finite.
const LARGEST_EXPONENT: f64 = 100.0;
/// What weighs less than this part of a fresh sample is forgotten.
const NEGLIGIBLE: f64 = 1e-4;

/// A histogram of amounts whose samples lose half their weight every half-life.
#[derive(Clone, Debug)]
pub(crate) struct DecayingHistogram {
    first: f64,
    log_ratio: f64,
    half_life: Duration,
    reference: Timestamp,
    /// Weights by bucket; only those that hold something.
    buckets: BTreeMap<u32, f64>,
}

impl DecayingHistogram {
    /// Buckets of which each is `ratio` times as wide as the one before, the first of `first`
    /// bytes. `ratio` must be above one.
    pub(crate) fn new(first: Bytes, ratio: f64, half_life: Duration) -> Self {
        Self {
            first: first.as_f64().max(1.0),
            log_ratio: ratio.ln().max(1e-6),
            half_life: half_life.max(Duration::from_nanos(1)),
            reference: Timestamp::ZERO,
            buckets: BTreeMap::new(),
        }
    }

    /// Adds a sample of `weight`, as of `at`.
    pub(crate) fn add(&mut self, bytes: Bytes, weight: f64, at: Timestamp) {
        let (bucket, scaled) = (self.bucket(bytes), weight * self.factor(at));
        *self.buckets.entry(bucket).or_insert(0.0) += scaled;
    }

    /// Takes out a sample that was added with the same figures.
    pub(crate) fn remove(&mut self, bytes: Bytes, weight: f64, at: Timestamp) {
        let scaled = weight * self.factor(at);
        let bucket = self.bucket(bytes);
        if let Some(held) = self.buckets.get_mut(&bucket) {
            *held -= scaled;
            if *held <= scaled * NEGLIGIBLE {
                self.buckets.remove(&bucket);
            }
        }
    }

    /// The amount that is not exceeded by `share` of the weight: the end of its bucket. None where
    /// there are no samples.
    pub(crate) fn quantile(&self, share: f64) -> Option<Bytes> {
        let total: f64 = self.buckets.values().sum();
        let mut sum = 0.0;
        let found = self.buckets.iter().find(|(_, weight)| {
            sum += **weight;
            sum >= share * total
        });
        let (bucket, _) = found.or(self.buckets.iter().next_back())?;
        Some(Bytes::new(self.end(*bucket).ceil() as u64))
    }

    /// True where there are no samples.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// How much a sample of `at` weighs more than one of the reference moment.
    fn factor(&mut self, at: Timestamp) -> f64 {
        let half_lives = |from: Timestamp| {
            let ahead = at.saturating_since(from).as_secs_f64();
            let behind = from.saturating_since(at).as_secs_f64();
            (ahead - behind) / self.half_life.as_secs_f64()
        };
        let exponent = half_lives(self.reference);
        if exponent <= LARGEST_EXPONENT {
            return exponent.exp2();
        }
        // A sample of long ago keeps nothing: 2^-100 of it.
        let fade = (-exponent).exp2();
        self.buckets.retain(|_, weight| {
            *weight *= fade;
            *weight > NEGLIGIBLE
        });
        self.reference = at;
        1.0
    }

    fn bucket(&self, bytes: Bytes) -> u32 {
        let value = bytes.as_f64();
        if value <= self.first {
            return 0;
        }
        ((value / self.first).ln() / self.log_ratio).ceil() as u32
    }

    fn end(&self, bucket: u32) -> f64 {
        self.first * (f64::from(bucket) * self.log_ratio).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: Duration = Duration::from_hours(24);

    fn histogram() -> DecayingHistogram {
        DecayingHistogram::new(Bytes::from_mib(1), 1.01, DAY)
    }

    fn days(count: f64) -> Timestamp {
        Timestamp::from_secs_f64(count * 86_400.0)
    }

    #[test]
    fn old_samples_count_for_less() {
        let mut histogram = histogram();
        for _ in 0..3 {
            histogram.add(Bytes::from_mib(1000), 1.0, days(0.0));
        }
        histogram.add(Bytes::from_mib(100), 1.0, days(3.0));
        // Three samples of three half-lives ago weigh 3/8 of the new one.
        let median = histogram.quantile(0.5).unwrap();
        assert!(median < Bytes::from_mib(102), "{median}");
        let high = histogram.quantile(0.9).unwrap();
        assert!(high >= Bytes::from_mib(1000), "{high}");
        histogram.add(Bytes::from_mib(100), 1.0, days(30.0));
        assert!(histogram.quantile(0.99).unwrap() < Bytes::from_mib(102));
    }

    #[test]
    fn what_was_added_can_be_taken_out() {
        let mut histogram = histogram();
        histogram.add(Bytes::from_mib(10), 1.0, days(1.0));
        histogram.remove(Bytes::from_mib(10), 1.0, days(1.0));
        assert!(histogram.is_empty());
        assert_eq!(histogram.quantile(0.5), None);
    }

    #[test]
    fn weights_stay_finite_over_centuries() {
        let mut histogram = histogram();
        for year in 0..500 {
            histogram.add(Bytes::from_mib(7), 1.0, days(f64::from(year) * 365.0));
        }
        assert!(histogram.quantile(0.9).unwrap() >= Bytes::from_mib(7));
        assert!(histogram.buckets.values().all(|weight| weight.is_finite()));
        assert_eq!(histogram.buckets.len(), 1);
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_one_bucket_above_its_sample(amounts in prop::collection::vec(1_u64..1 << 44, 1..60), share in 0.01_f64..1.0) {
            let mut histogram = histogram();
            let mut sorted = amounts.clone();
            sorted.sort_unstable();
            for amount in amounts {
                histogram.add(Bytes::new(amount), 1.0, days(0.0));
            }
            let rank = ((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let exact = sorted[rank - 1].max(1 << 20) as f64;
            let told = histogram.quantile(share).unwrap().as_f64();
            // Float sums may put a weight on either side of the share: allow the next sample.
            let next = sorted[rank.min(sorted.len() - 1)].max(1 << 20) as f64;
            prop_assert!(told >= exact * 0.999_999 && told <= next * 1.011 + 1.0, "{exact} {told} {next}");
        }
    }
}
