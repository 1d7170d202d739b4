//! Chance for pauses and lifetimes: what must not happen to many at the same time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core_types::SplitMix64;

/// A stream of random shares that many threads draw from: one step of its state for each.
#[derive(Debug)]
pub(super) struct Jitter(AtomicU64);

impl Jitter {
    /// The stream of `seed`, or of one that nobody knows.
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self(AtomicU64::new(seed.unwrap_or_else(|| RandomState::new().hash_one(0))))
    }

    /// A number from 0 up to 1.
    pub(super) fn share(&self) -> f64 {
        SplitMix64::new(self.0.fetch_add(SplitMix64::STEP, Ordering::Relaxed)).share()
    }

    /// A duration from nothing up to `most`.
    pub(super) fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(self.share())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_shares_are_spread() {
        let (one, two) = (Jitter::new(Some(7)), Jitter::new(Some(7)));
        let shares: Vec<f64> = (0..10_000).map(|_| one.share()).collect();
        assert_eq!(shares[0], two.share());
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
