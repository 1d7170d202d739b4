//! What other settings would have made of the same accesses.
//!
//! Each setting of a grid, policy × capacity, is simulated exactly over the sampled keys, with
//! its capacity scaled by the share of keys that is sampled.
//!
//! Source: Waldspurger, Saemundsson, Ahmad, Park, *Cache Modeling and Optimization using
//! Miniature Simulations* (USENIX ATC 2017).

use plimsoll_core_types::{AccessSample, CachePolicy};

use crate::policy::{Outcome, model};

/// Into how many blocks the accesses are cut; what differs from block to block tells chance from
/// gain.
const BLOCKS: usize = 16;

/// One setting and what it would have made of the accesses, block by block. The first quarter of
/// the accesses only fills it.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) policy: CachePolicy,
    pub(crate) capacity: u64,
    blocks: Vec<Outcome>,
}

impl Trial {
    /// Runs `policy` with `capacity` over the sample.
    pub(crate) fn run(policy: CachePolicy, capacity: u64, sample: &AccessSample) -> Self {
        let scaled = (capacity as f64 * sample.rate.get()).round() as u64;
        let warm = sample.accesses.len() / 4;
        let counted = (sample.accesses.len() - warm).div_ceil(BLOCKS).max(1);
        let mut blocks = vec![Outcome::default(); BLOCKS];
        if let Some(mut model) = model(policy, scaled.max(1)) {
            for (at, access) in sample.accesses.iter().enumerate() {
                let hit = model.access(access.key_hash, access.weight);
                if let Some(counted) = at.checked_sub(warm).map(|at| at / counted) {
                    blocks[counted].count(hit, access.weight);
                }
            }
        }
        Self { policy, capacity, blocks }
    }

    /// The hit ratio of `policy` with `capacity` over the last `counted` accesses of the sample.
    pub(crate) fn last(
        policy: CachePolicy,
        capacity: u64,
        sample: &AccessSample,
        counted: usize,
    ) -> f64 {
        let scaled = (capacity as f64 * sample.rate.get()).round() as u64;
        let warm = sample.accesses.len().saturating_sub(counted);
        let mut outcome = Outcome::default();
        if let Some(mut model) = model(policy, scaled.max(1)) {
            for (at, access) in sample.accesses.iter().enumerate() {
                let hit = model.access(access.key_hash, access.weight);
                if at >= warm {
                    outcome.count(hit, access.weight);
                }
            }
        }
        outcome.hit_ratio().get()
    }

    /// The hit ratio over all blocks.
    pub(crate) fn hit_ratio(&self) -> f64 {
        let hits: u64 = self.blocks.iter().map(|block| block.hits).sum();
        let misses: u64 = self.blocks.iter().map(|block| block.misses).sum();
        hits as f64 / (hits + misses).max(1) as f64
    }

    /// By how much its hit ratio is surely above that of `other` over the same accesses: the
    /// lower end of a paired 95% interval over the blocks.
    pub(crate) fn sure_gain(&self, other: &Self) -> f64 {
        let pairs = self.blocks.iter().zip(&other.blocks);
        let differences: Vec<f64> = pairs
            .filter(|(mine, _)| mine.hits + mine.misses > 0)
            .map(|(mine, theirs)| mine.hit_ratio().get() - theirs.hit_ratio().get())
            .collect();
        lower_bound(&differences)
    }
}

/// The lower end of the 95% interval of the mean of `differences`; none is sure of fewer than two.
fn lower_bound(differences: &[f64]) -> f64 {
    let count = differences.len() as f64;
    if count < 2.0 {
        return f64::NEG_INFINITY;
    }
    let mean = differences.iter().sum::<f64>() / count;
    let squares: f64 = differences.iter().map(|one| (one - mean).powi(2)).sum();
    // Student's t for 15 degrees of freedom, one-sided; a little more than it takes for more.
    mean - 1.753 * (squares / (count - 1.0) / count).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;
    use plimsoll_core_types::{AccessRecord, Ratio};

    fn rounds(keys: u64, accesses: u64) -> AccessSample {
        let record = |at| AccessRecord { key_hash: mix(at % keys), weight: 1 };
        AccessSample { rate: Ratio::ONE, accesses: (0..accesses).map(record).collect() }
    }

    #[test]
    fn a_loop_larger_than_the_cache_is_surely_worse_for_lru() {
        let sample = rounds(150, 6000);
        let lru = Trial::run(CachePolicy::Lru, 100, &sample);
        let lfu = Trial::run(CachePolicy::TinyLfu, 100, &sample);
        assert!(lru.hit_ratio() < 1e-9);
        assert!(lfu.sure_gain(&lru) > 0.5 && lru.sure_gain(&lfu) < -0.5);
        assert_eq!(lru.sure_gain(&lru), 0.0);
    }

    #[test]
    fn capacity_is_scaled_with_the_sample() {
        let half = AccessSample { rate: Ratio::new(0.5).unwrap(), ..rounds(60, 6000) };
        // A half of the keys in view: room for 119 in all is room for 60 of these.
        assert!(Trial::run(CachePolicy::Lru, 119, &half).hit_ratio() > 0.99);
        assert!(Trial::run(CachePolicy::Lru, 117, &half).hit_ratio() < 0.01);
    }

    #[test]
    fn chance_is_not_taken_for_gain() {
        assert!(lower_bound(&[0.02, -0.02, 0.03, -0.01]) < 0.0);
        assert!(lower_bound(&[0.02, 0.021, 0.019]) > 0.01);
        assert_eq!(lower_bound(&[0.5]), f64::NEG_INFINITY);
    }
}
