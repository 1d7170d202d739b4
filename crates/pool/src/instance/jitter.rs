//! Chance for pauses and lifetimes: what must not happen to many at the same time.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A stream of random shares. S. Vigna's `splitmix64`, one step for each number.
#[derive(Debug)]
pub(super) struct Jitter(AtomicU64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Jitter {
    /// The stream of `seed`, or of one that nobody knows.
    pub(super) fn new(seed: Option<u64>) -> Self {
        Self(AtomicU64::new(seed.unwrap_or_else(|| RandomState::new().hash_one(0))))
    }

    /// A number from 0 up to 1.
    pub(super) fn share(&self) -> f64 {
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
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
