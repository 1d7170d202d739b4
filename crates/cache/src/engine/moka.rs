//! The moka crate as an engine.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use plimsoll_core_types::CachePolicy;

use super::{Engine, Entry, Used};
use crate::hash::Seeded;

/// The policies that moka has.
pub(crate) const POLICIES: [CachePolicy; 2] = [CachePolicy::Lru, CachePolicy::TinyLfu];

/// A moka cache.
pub(crate) struct Moka<K, V> {
    cache: Cache<K, Arc<Entry<V>>, Seeded>,
}

impl<K, V> Moka<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// A cache of `capacity` under `policy`; any policy but LRU is moka's `TinyLFU`.
    pub(crate) fn new(policy: CachePolicy, capacity: u64, hasher: Seeded) -> Self {
        let policy = match policy {
            CachePolicy::Lru => EvictionPolicy::lru(),
            _ => EvictionPolicy::tiny_lfu(),
        };
        let cache = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, entry: &Arc<Entry<V>>| entry.weight)
            .eviction_policy(policy)
            .build_with_hasher(hasher);
        Self { cache }
    }
}

impl<K, V> fmt::Debug for Moka<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moka").finish_non_exhaustive()
    }
}

impl<K, V> Engine<K, V> for Moka<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn get(&self, key: &K) -> Option<Arc<Entry<V>>> {
        self.cache.get(key)
    }

    fn contains(&self, key: &K) -> bool {
        self.cache.contains_key(key)
    }

    fn insert(&self, key: K, entry: Arc<Entry<V>>) {
        self.cache.insert(key, entry);
    }

    fn remove(&self, key: &K) -> Option<Arc<Entry<V>>> {
        self.cache.remove(key)
    }

    /// Moka changes neither; its entries move to another cache.
    fn retune(&self, _: CachePolicy, _: u64) -> bool {
        false
    }

    fn keys(&self) -> Vec<(Arc<K>, Used)> {
        self.cache.iter().map(|(key, entry)| (key, entry.used())).collect()
    }

    fn settle(&self) -> (u64, u64) {
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }
}
