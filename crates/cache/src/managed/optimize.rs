//! The cache as an optimizer of itself.

use std::hash::Hash;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plimsoll_core_types::{
    CacheMetrics, CacheOptimizer, CacheStrategy, Ratio, Reason, StrategyChange, StrategyError,
    UsagePattern,
};

use super::watch::{JUDGED, Verdict};
use super::{FOR_EVER, Inner, ManagedCache, nanos};
use crate::advice::{Advice, Setting, advise};
use crate::engine;
use crate::stats::Statistics;

/// The least share of keys that the tap samples.
const LEAST_RATE: f64 = 0.01;

impl<K, V> CacheOptimizer for ManagedCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Where the pattern has no accesses, those that this cache has sampled itself are used.
    fn analyze(&self, pattern: &UsagePattern) -> CacheStrategy {
        let inner = &self.inner;
        let own = pattern.accesses.accesses.is_empty().then(|| inner.tap.sample());
        let sample = own.as_ref().unwrap_or(&pattern.accesses);
        let setting = Setting {
            policy: inner.store.policy(),
            capacity: inner.store.capacity(),
            least: inner.config.min_capacity,
            most: inner.config.max_capacity,
            policies: inner.config.engine.choices(inner.store.policy()),
            min_gain: inner.config.min_gain.get(),
        };
        // Foreign accesses say nothing of a change that was made here.
        let verdict = match own {
            Some(_) => inner.watch.lock().judge(sample, inner.tap.live(), setting.min_gain),
            None => Verdict::Free,
        };
        let stay = |reason| {
            let (policy, capacity) = (setting.policy, setting.capacity);
            let now = inner.counters.sum().hit_ratio();
            Advice { policy, capacity, expected: now, current: now, reason }
        };
        let advice = match verdict {
            Verdict::Free => advise(&setting, sample),
            Verdict::Wait => {
                let (seen, needed) = (inner.tap.live().lookups, JUDGED);
                stay(Reason::TooFewSamples { seen, needed })
            }
            Verdict::Undo { policy, capacity, without, with } => {
                let what = "hit ratio of the sampled keys".to_owned();
                let reason = Reason::Worse { what, without, with };
                Advice { policy, capacity, ..stay(reason) }
            }
        };
        inner.retune_tap();
        CacheStrategy {
            cache: inner.id.clone(),
            policy: advice.policy,
            capacity: advice.capacity,
            time_to_live: time_to_live(inner.time_to_live.load(Ordering::Relaxed)),
            expected: advice.expected,
            current: advice.current,
            reason: advice.reason,
        }
    }

    fn implement(&self, strategy: CacheStrategy) -> Result<StrategyChange, StrategyError> {
        let inner = &self.inner;
        inner.check(&strategy)?;
        let Some(_changing) = inner.changing.try_lock() else { return Err(StrategyError::Busy) };
        let (from, capacity_from) = (inner.store.policy(), inner.store.capacity());
        inner.time_to_live.store(nanos(strategy.time_to_live), Ordering::Relaxed);
        let (kept, dropped) = if (from, capacity_from) == (strategy.policy, strategy.capacity) {
            (inner.store.settle().0, 0)
        } else {
            let moved = inner.store.migrate(strategy.policy, strategy.capacity);
            inner.retune_tap();
            inner.watch.lock().changed((from, capacity_from), &strategy.reason);
            // Until the cache has turned over once, what it lacks is the change's own cost.
            inner.tap.count_live_after(inner.config.miniature as usize);
            (moved.kept, moved.dropped)
        };
        *inner.reason.lock() = strategy.reason;
        let (to, capacity_to) = (strategy.policy, strategy.capacity);
        Ok(StrategyChange { from, to, capacity_from, capacity_to, kept, dropped })
    }

    fn monitor(&self) -> CacheMetrics {
        let inner = &self.inner;
        let (entries, weight) = inner.store.settle();
        let Statistics { hits, misses, .. } = inner.counters.sum();
        CacheMetrics {
            cache: inner.id.clone(),
            at: inner.clock.now(),
            hits,
            misses,
            entries,
            weight,
            capacity: inner.store.capacity(),
            bytes: inner.bytes(weight),
            policy: inner.store.policy(),
            reason: inner.reason.lock().clone(),
        }
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn check(&self, strategy: &CacheStrategy) -> Result<(), StrategyError> {
        if strategy.cache != self.id {
            let (given, own) = (strategy.cache.clone(), self.id.clone());
            return Err(StrategyError::OtherCache { given, own });
        }
        let policies = self.config.engine.choices(self.store.policy());
        if !policies.contains(&strategy.policy) {
            let allowed = engine::names(policies);
            return Err(StrategyError::Policy { policy: strategy.policy, allowed });
        }
        let (least, most) = (self.config.min_capacity, self.config.max_capacity);
        if !(least..=most).contains(&strategy.capacity) {
            return Err(StrategyError::Capacity { given: strategy.capacity, least, most });
        }
        Ok(())
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Samples so many keys that a miniature of the cache has as many entries as it should.
    pub(super) fn retune_tap(&self) {
        let (len, weight) = self.store.settle();
        let mean = if len == 0 { 1.0 } else { weight as f64 / len as f64 };
        if self.weigher.is_some() && len == 0 {
            return;
        }
        let entries = self.store.capacity() as f64 / mean.max(1.0);
        let rate = f64::from(self.config.miniature) / entries.max(1.0);
        let rate = Ratio::saturating(rate.clamp(LEAST_RATE, 1.0));
        // A little more or less is not worth a past that is lost.
        let change = self.tap.rate().get() / rate.get();
        if !(0.5..2.0).contains(&change) {
            self.tap.set_rate(rate);
        }
    }
}

pub(super) fn time_to_live(nanos: u64) -> Option<Duration> {
    (nanos != FOR_EVER).then(|| Duration::from_nanos(nanos))
}
