//! The `quick_cache` crate as an engine.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use plimsoll_core_types::CachePolicy;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::{Engine, Entry, Used};
use crate::hash::Seeded;

/// Its one policy is a relative of S3-FIFO and CLOCK-Pro: a queue of newcomers, one of proven
/// entries, and ghosts. The model of S3-FIFO is the nearest there is.
pub(crate) const POLICIES: [CachePolicy; 1] = [CachePolicy::S3Fifo];

/// Where a cache weighs more than this it is not taken for so many entries.
const MOST_EXPECTED: u64 = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct Weigh;

impl<K, V> Weighter<K, Arc<Entry<V>>> for Weigh {
    fn weight(&self, _: &K, entry: &Arc<Entry<V>>) -> u64 {
        u64::from(entry.weight)
    }
}

type Inner<K, V> = Cache<K, Arc<Entry<V>>, Weigh, Seeded, DefaultLifecycle<K, Arc<Entry<V>>>>;

/// A cache of the `quick_cache` crate.
pub(crate) struct Quick<K, V> {
    cache: Inner<K, V>,
}

impl<K, V> Quick<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(crate) fn new(capacity: u64, hasher: Seeded) -> Self {
        let expected = capacity.min(MOST_EXPECTED) as usize;
        let lifecycle = DefaultLifecycle::default();
        let quick = Self { cache: Cache::with(expected, capacity, Weigh, hasher, lifecycle) };
        quick.resize(capacity);
        quick
    }

    /// It rounds each shard's capacity up; asked for so much less, it rounds down.
    fn resize(&self, capacity: u64) {
        let rounding = self.cache.num_shards() as u64 - 1;
        self.cache.set_capacity(capacity.saturating_sub(rounding).max(1));
    }
}

impl<K, V> fmt::Debug for Quick<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quick").finish_non_exhaustive()
    }
}

impl<K, V> Engine<K, V> for Quick<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
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
        self.cache.remove(key).map(|(_, entry)| entry)
    }

    fn retune(&self, policy: CachePolicy, capacity: u64) -> bool {
        let known = POLICIES.contains(&policy);
        if known {
            self.resize(capacity);
        }
        known
    }

    fn keys(&self) -> Vec<(Arc<K>, Used)> {
        self.cache.iter().map(|(key, entry)| (Arc::new(key), entry.used())).collect()
    }

    fn settle(&self) -> (u64, u64) {
        (self.cache.len() as u64, self.cache.weight())
    }
}
