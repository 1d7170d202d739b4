//! The cache as one of several that share a budget.

use std::hash::Hash;
use std::sync::atomic::Ordering;

use plimsoll_core_types::{CacheOptimizer, CacheStrategy, Ratio, Reason, Timestamp};

use super::{ManagedCache, optimize};
use crate::budget::Member;
use crate::mini::Trial;

/// At how many capacities the curve is measured.
const POINTS: u32 = 12;

impl<K, V> Member for ManagedCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Misses of the present policy's miniatures × look-ups a second × what a miss costs.
    fn costs(&self) -> Vec<(u64, f64)> {
        let inner = &self.inner;
        let (least, most) = (inner.config.min_capacity, inner.config.max_capacity);
        let sample = inner.tap.sample();
        let statistics = inner.counters.sum();
        let lived = inner.clock.now().saturating_since(Timestamp::ZERO).as_secs_f64();
        let lookups = (statistics.hits + statistics.misses) as f64 / lived.max(1e-9);
        let cost = lookups * inner.config.miss_cost.as_secs_f64();
        let step = (most as f64 / least as f64).powf(1.0 / f64::from(POINTS));
        let mut capacities: Vec<u64> =
            (0..POINTS).map(|n| (least as f64 * step.powi(n.cast_signed())) as u64).collect();
        capacities.push(most);
        capacities.dedup();
        let mut cheapest = f64::INFINITY;
        let policy = inner.store.policy();
        let point = |capacity| {
            let misses = 1.0 - Trial::run(policy, capacity, &sample).hit_ratio();
            // More room is never worse: what chance says to the contrary is chance.
            cheapest = cheapest.min(cost * misses);
            (capacity, cheapest)
        };
        capacities.into_iter().map(point).collect()
    }

    fn capacity(&self) -> u64 {
        ManagedCache::capacity(self)
    }

    fn weight(&self) -> u64 {
        ManagedCache::weight(self)
    }

    fn resize(&self, capacity: u64) -> bool {
        let inner = &self.inner;
        let strategy = CacheStrategy {
            cache: inner.id.clone(),
            policy: inner.store.policy(),
            capacity,
            time_to_live: optimize::time_to_live(inner.time_to_live.load(Ordering::Relaxed)),
            expected: Ratio::ZERO,
            current: Ratio::ZERO,
            reason: Reason::Requested,
        };
        self.implement(strategy).is_ok()
    }
}
