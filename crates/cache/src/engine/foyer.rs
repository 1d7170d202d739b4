//! The foyer-memory crate as an engine.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use foyer_memory::{
    Cache, CacheBuilder, EvictionConfig, LfuConfig, LruConfig, S3FifoConfig, SieveConfig,
};
use plimsoll_core_types::CachePolicy;

use super::{Engine, Entry, Used};
use crate::hash::Seeded;

/// The policies that foyer has and that are modelled.
pub(crate) const POLICIES: [CachePolicy; 4] =
    [CachePolicy::S3Fifo, CachePolicy::Lru, CachePolicy::WindowTinyLfu, CachePolicy::Sieve];

/// A shard has at least so many units of capacity.
const LEAST_IN_SHARD: u64 = 1024;
const MOST_SHARDS: u64 = 64;

/// A cache of the foyer-memory crate.
pub(crate) struct Foyer<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    cache: Cache<K, Arc<Entry<V>>, Seeded>,
    policy: CachePolicy,
}

impl<K, V> Foyer<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// A cache of `capacity` under `policy`; any policy that it lacks is S3-FIFO.
    pub(crate) fn new(policy: CachePolicy, capacity: u64, hasher: Seeded) -> Self {
        let eviction: EvictionConfig = match policy {
            CachePolicy::Lru => LruConfig::default().into(),
            CachePolicy::WindowTinyLfu => LfuConfig::default().into(),
            CachePolicy::Sieve => SieveConfig.into(),
            _ => S3FifoConfig::default().into(),
        };
        let shards = (capacity / LEAST_IN_SHARD).clamp(1, MOST_SHARDS) as usize;
        let cache = CacheBuilder::new(entries(capacity))
            .with_shards(shards)
            .with_eviction_config(eviction)
            .with_weighter(|_: &K, entry: &Arc<Entry<V>>| entry.weight as usize)
            .with_hash_builder(hasher)
            .build();
        Self { cache, policy }
    }
}

fn entries(capacity: u64) -> usize {
    usize::try_from(capacity).unwrap_or(usize::MAX)
}

impl<K, V> fmt::Debug for Foyer<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foyer").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl<K, V> Engine<K, V> for Foyer<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn get(&self, key: &K) -> Option<Arc<Entry<V>>> {
        self.cache.get(key).map(|found| Arc::clone(found.value()))
    }

    fn contains(&self, key: &K) -> bool {
        self.cache.contains(key)
    }

    fn insert(&self, key: K, entry: Arc<Entry<V>>) {
        self.cache.insert(key, entry);
    }

    fn remove(&self, key: &K) -> Option<Arc<Entry<V>>> {
        self.cache.remove(key).map(|found| Arc::clone(found.value()))
    }

    fn retune(&self, policy: CachePolicy, capacity: u64) -> bool {
        policy == self.policy && self.cache.resize(entries(capacity)).is_ok()
    }

    /// None: foyer lists no entries. Nothing asks, because its policy is never changed.
    fn keys(&self) -> Vec<(Arc<K>, Used)> {
        Vec::new()
    }

    fn settle(&self) -> (u64, u64) {
        (self.cache.entries() as u64, self.cache.usage() as u64)
    }
}
