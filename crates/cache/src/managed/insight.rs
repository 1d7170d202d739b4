//! What there is to know of a cache beyond its metrics.

use std::hash::Hash;
use std::time::Duration;

use plimsoll_core_types::{CacheMetrics, CacheOptimizer, CachePolicy, Ratio};
use serde::{Deserialize, Serialize};

use super::ManagedCache;
use crate::mini::Trial;
use crate::mrc::CurveBuilder;
use crate::phase::{PhaseChange, phase_change};
use crate::times::Durations;

/// Sampled keys that the curve is made from, at the most.
const CURVE_KEYS: usize = 1 << 14;

/// A time to live may cost this share of the hits.
const HITS_GIVEN_UP: f64 = 0.01;

/// How well a cache does, why, and what it would do elsewhere. Made on demand, from what was
/// sampled of late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Insight {
    /// What it holds, its policy, and why it has that.
    pub metrics: CacheMetrics,
    /// Hits ÷ look-ups.
    pub hit_ratio: Ratio,
    /// Weight found ÷ weight found and put in: by bytes, where entries weigh bytes.
    pub weight_hit_ratio: Ratio,
    /// Which share of look-ups LRU would miss, by capacity in entries.
    pub curve: Vec<(u64, Ratio)>,
    /// What each policy that the engine can have would hit at the present capacity, at half of it
    /// and at twice that, over the sampled accesses.
    pub elsewhere: Vec<Elsewhere>,
    /// Times between two look-ups of the same key.
    pub reuse: Durations,
    /// How old entries were when they were found.
    pub age: Durations,
    /// The shortest time to live that would cost at most a hundredth of the hits.
    pub time_to_live: Option<Duration>,
    /// Whether what is asked for has changed of late.
    pub phase_change: Option<PhaseChange>,
}

/// What another setting would hit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// Under which policy.
    pub policy: CachePolicy,
    /// With which capacity.
    pub capacity: u64,
    /// Of the sampled accesses.
    pub hit_ratio: Ratio,
}

impl<K, V> ManagedCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Everything that is known of the cache. Simulates a dozen miniatures or more: for people and
    /// dashboards, not for every tick.
    pub fn insight(&self) -> Insight {
        let inner = &self.inner;
        let sample = inner.tap.sample();
        let (statistics, capacity) = (inner.counters.sum(), inner.store.capacity());
        let (reuse, age) = inner.times.read();
        let mut curve = CurveBuilder::new(CURVE_KEYS);
        for access in &sample.accesses {
            curve.access(access.key_hash);
        }
        let rate = sample.rate.get().max(f64::MIN_POSITIVE);
        let policies = inner.config.engine.choices(inner.store.policy());
        let capacities = [(capacity / 2).max(1), capacity, capacity.saturating_mul(2)];
        let each = |policy: &CachePolicy| capacities.map(|capacity| (*policy, capacity));
        let elsewhere = policies.iter().flat_map(each).map(|(policy, capacity)| {
            let hits = Trial::run(policy, capacity, &sample).hit_ratio();
            Elsewhere { policy, capacity, hit_ratio: Ratio::saturating(hits) }
        });
        Insight {
            metrics: self.monitor(),
            hit_ratio: statistics.hit_ratio(),
            weight_hit_ratio: statistics.weight_hit_ratio(),
            curve: curve.curve().scaled(1.0 / rate).points().collect(),
            elsewhere: elsewhere.collect(),
            time_to_live: age.quantile(Ratio::saturating(1.0 - HITS_GIVEN_UP)),
            reuse,
            age,
            phase_change: phase_change(&sample.accesses),
        }
    }
}
