//! This crate's own cache as an engine.

use std::hash::Hash;
use std::sync::Arc;

use plimsoll_core_types::CachePolicy;

use super::{Engine, Entry, Used};
use crate::exact::ExactCache;

impl<K, V> Engine<K, V> for ExactCache<K, Arc<Entry<V>>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn get(&self, key: &K) -> Option<Arc<Entry<V>>> {
        Self::get(self, key)
    }

    fn contains(&self, key: &K) -> bool {
        Self::contains(self, key)
    }

    fn insert(&self, key: K, entry: Arc<Entry<V>>) {
        let weight = entry.weight;
        self.insert_weighing(key, entry, weight);
    }

    fn remove(&self, key: &K) -> Option<Arc<Entry<V>>> {
        Self::remove(self, key)
    }

    fn retune(&self, policy: CachePolicy, capacity: u64) -> bool {
        // A policy is changed while there is most room for its entries.
        if capacity > self.capacity() {
            self.set_capacity(capacity);
        }
        let changed = self.set_policy(policy).is_ok();
        self.set_capacity(capacity);
        changed
    }

    fn keys(&self) -> Vec<(Arc<K>, Used)> {
        let mut keys = Vec::new();
        self.for_each(|key, entry| keys.push((Arc::new(key.clone()), entry.used())));
        keys
    }

    fn settle(&self) -> (u64, u64) {
        (self.len() as u64, self.weight())
    }
}
