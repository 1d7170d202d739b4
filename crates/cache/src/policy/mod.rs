//! Exact models of eviction policies, for simulation.
//!
//! A model keeps keys and weights, no values. It is what decides whether a policy would serve a
//! cache better: measured on the engine itself, small capacities are distorted by write buffers.
//!
//! ```
//! use plimsoll_cache::policy::simulate;
//! use plimsoll_core_types::CachePolicy;
//!
//! // Four keys in turn, and room for three: LRU always gives up the one that comes next.
//! let accesses: Vec<(u64, u32)> = (0..4000).map(|access| (access % 4, 1)).collect();
//! let lru = simulate(CachePolicy::Lru, 3, &accesses);
//! let lfu = simulate(CachePolicy::TinyLfu, 3, &accesses);
//! assert_eq!(lru.hits, 0);
//! assert!(lfu.hit_ratio().get() > 0.7);
//! ```

use std::fmt;

use plimsoll_core_types::{CachePolicy, Ratio};

mod arc;
mod belady;
pub(crate) mod core;
mod lirs;
mod lru;
mod prefix;
mod s3_fifo;
mod sieve;
pub(crate) mod sketch;
pub(crate) mod table;
mod tiny_lfu;
mod window_tiny_lfu;

pub use belady::belady;
pub use prefix::PrefixBlocks;

/// An exact model of one policy.
///
/// Weights of zero take no room; a weight above the capacity is never let in.
pub trait Policy: Send + fmt::Debug {
    /// Looks `key` up, and on a miss offers it. True when it was there.
    fn access(&mut self, key: u64, weight: u32) -> bool;

    /// Forgets the entry of `key`. True when there was one.
    fn remove(&mut self, key: u64) -> bool;

    /// Changes the capacity, giving up what no longer fits.
    fn set_capacity(&mut self, capacity: u64);

    /// Changes the policy and keeps the entries, those used last the longest. False, and nothing
    /// is changed, where there is no model of `policy`.
    fn set_policy(&mut self, policy: CachePolicy) -> bool;

    /// How full it is.
    fn state(&self) -> PolicyState;

    /// True when `key` has an entry. Not an access.
    fn contains(&self, key: u64) -> bool;

    /// The keys it holds with their weights, roughly the most valuable first.
    fn resident(&self) -> Vec<(u64, u32)>;
}

/// How full a [`Policy`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyState {
    /// How many entries it holds.
    pub entries: usize,
    /// What they weigh.
    pub weight: u64,
    /// What they may weigh.
    pub capacity: u64,
}

/// What came of a series of accesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Accesses that found their key.
    pub hits: u64,
    /// Accesses that did not.
    pub misses: u64,
    /// The weight of those that found their key.
    pub hit_weight: u64,
    /// The weight of those that did not.
    pub miss_weight: u64,
}

impl Outcome {
    /// Counts one access.
    pub fn count(&mut self, hit: bool, weight: u32) {
        if hit {
            self.hits += 1;
            self.hit_weight += u64::from(weight);
        } else {
            self.misses += 1;
            self.miss_weight += u64::from(weight);
        }
    }

    /// Hits ÷ accesses; zero before the first.
    pub fn hit_ratio(&self) -> Ratio {
        share(self.hits, self.misses)
    }

    /// Weight hit ÷ weight asked for; zero before the first.
    pub fn weight_hit_ratio(&self) -> Ratio {
        share(self.hit_weight, self.miss_weight)
    }
}

fn share(part: u64, rest: u64) -> Ratio {
    Ratio::saturating(part as f64 / part.saturating_add(rest).max(1) as f64)
}

/// The model of `policy` with `capacity`, or none where there is no such model.
pub fn model(policy: CachePolicy, capacity: u64) -> Option<Box<dyn Policy>> {
    Some(Box::new(model_core(policy, capacity)?))
}

pub(crate) fn model_core(policy: CachePolicy, capacity: u64) -> Option<core::Core<()>> {
    core::Core::new(policy, capacity)
}

/// Every policy that has a [`model`].
pub const MODELLED: [CachePolicy; 8] = [
    CachePolicy::Lru,
    CachePolicy::TinyLfu,
    CachePolicy::WindowTinyLfu,
    CachePolicy::WideTinyLfu,
    CachePolicy::S3Fifo,
    CachePolicy::Sieve,
    CachePolicy::Arc,
    CachePolicy::Lirs,
];

/// What `policy` with `capacity` makes of `accesses` (keys and weights), from empty.
///
/// A policy without a model has no hits.
pub fn simulate(policy: CachePolicy, capacity: u64, accesses: &[(u64, u32)]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut model = model(policy, capacity);
    for (key, weight) in accesses {
        let hit = model.as_mut().is_some_and(|model| model.access(*key, *weight));
        outcome.count(hit, *weight);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;
    use proptest::prelude::*;

    /// Popular keys far more often than others, in an order without a pattern.
    fn skewed(accesses: u64, keys: u64) -> Vec<(u64, u32)> {
        let draw = |at: u64| {
            let uniform = (mix(at) >> 11) as f64 / (1_u64 << 53) as f64;
            (uniform.powi(4) * keys as f64) as u64
        };
        (0..accesses).map(|at| (draw(at), 1)).collect()
    }

    #[test]
    fn each_policy_has_its_own_strength() {
        let check = |accesses: &[(u64, u32)], capacity, best, worst| {
            let ratio = |policy| simulate(policy, capacity, accesses).hit_ratio().get();
            assert!(ratio(best) > ratio(worst) + 0.02, "{best} against {worst}");
            let most = belady(accesses, capacity).hit_ratio().get();
            for policy in MODELLED {
                assert!(ratio(policy) <= most, "{policy}");
            }
        };
        let rounds: Vec<_> = (0..20_000).map(|access| (access % 150, 1)).collect();
        check(&rounds, 100, CachePolicy::TinyLfu, CachePolicy::Lru);
        // Every key twice in close succession, and never again.
        let bursts: Vec<_> =
            (0..20_000).map(|access| (access / 6 + 10 * (access % 3), 1)).collect();
        check(&bursts, 50, CachePolicy::Lru, CachePolicy::TinyLfu);
        check(&skewed(40_000, 5000), 100, CachePolicy::S3Fifo, CachePolicy::Lru);
        check(&skewed(40_000, 5000), 100, CachePolicy::Sieve, CachePolicy::Lru);
        check(&skewed(40_000, 5000), 100, CachePolicy::WindowTinyLfu, CachePolicy::Lru);
    }

    #[test]
    fn a_model_that_forgets_a_key_misses_it_next() {
        for policy in MODELLED {
            let mut model = model(policy, 8).unwrap();
            model.access(1, 1);
            assert!(model.access(1, 1), "{policy}");
            assert!(model.remove(1) && !model.remove(1), "{policy}");
            assert!(!model.contains(1) && !model.access(1, 1), "{policy}");
        }
    }

    proptest! {
        #[test]
        fn capacity_holds_and_what_is_listed_is_there(
            steps in prop::collection::vec((0..40_u64, 0..5_u32, 0..20_u8), 1..400),
            capacity in 0..40_u64,
        ) {
            for policy in MODELLED {
                let mut model = model(policy, capacity).unwrap();
                for (key, weight, what) in &steps {
                    match what {
                        0 => { model.remove(*key); }
                        1 => model.set_capacity(capacity / 2 + u64::from(*weight)),
                        _ => {
                            let held = model.contains(*key);
                            prop_assert_eq!(model.access(*key, *weight), held);
                        }
                    }
                    let state = model.state();
                    prop_assert!(state.weight <= state.capacity, "{} {:?}", policy, state);
                    let resident = model.resident();
                    prop_assert_eq!(resident.len(), state.entries);
                    let weight: u64 = resident.iter().map(|(_, weight)| u64::from(*weight)).sum();
                    prop_assert_eq!(weight, state.weight);
                    prop_assert!(resident.iter().all(|(key, _)| model.contains(*key)));
                }
            }
        }
    }
}
