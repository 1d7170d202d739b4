//! The caches that are compared, each as its documentation says to use it: plain capacity in
//! entries, no weigher, its own default hasher.

use foyer_memory::{CacheBuilder, S3FifoConfig};
use plimsoll_cache::ExactCache;
use plimsoll_core_types::CachePolicy;

use crate::Value;

/// A cache that is compared.
pub trait Peer: Send + Sync {
    /// Its name in the report.
    const NAME: &'static str;

    /// An empty one for `capacity` entries.
    fn new(capacity: usize) -> Self;

    /// Looks a key up.
    fn get(&self, key: u64) -> Option<Value>;

    /// Puts a value in.
    fn insert(&self, key: u64, value: Value);

    /// Looks a key up and puts a value in where there is none.
    fn get_or_insert(&self, key: u64) -> Value {
        self.get(key).unwrap_or_else(|| {
            self.insert(key, key);
            key
        })
    }
}

/// Our own engine, under the policy that the optimizer starts with.
#[derive(Debug)]
pub struct Own(ExactCache<u64, Value>);

impl Peer for Own {
    const NAME: &'static str = plimsoll_bench::OWN;

    fn new(capacity: usize) -> Self {
        Self(ExactCache::new(CachePolicy::S3Fifo, capacity as u64).expect("a modelled policy"))
    }

    fn get(&self, key: u64) -> Option<Value> {
        self.0.get(&key)
    }

    fn insert(&self, key: u64, value: Value) {
        self.0.insert(key, value);
    }

    fn get_or_insert(&self, key: u64) -> Value {
        self.0.get_or_insert_with(&key, || key)
    }
}

/// The `quick_cache` crate.
#[derive(Debug)]
pub struct Quick(quick_cache::sync::Cache<u64, Value>);

impl Peer for Quick {
    const NAME: &'static str = "quick_cache";

    fn new(capacity: usize) -> Self {
        Self(quick_cache::sync::Cache::new(capacity))
    }

    fn get(&self, key: u64) -> Option<Value> {
        self.0.get(&key)
    }

    fn insert(&self, key: u64, value: Value) {
        self.0.insert(key, value);
    }
}

/// The foyer-memory crate, S3-FIFO.
#[derive(Debug)]
pub struct Foyer(foyer_memory::Cache<u64, Value>);

impl Peer for Foyer {
    const NAME: &'static str = "foyer";

    fn new(capacity: usize) -> Self {
        let eviction = S3FifoConfig::default();
        Self(CacheBuilder::new(capacity).with_shards(64).with_eviction_config(eviction).build())
    }

    fn get(&self, key: u64) -> Option<Value> {
        self.0.get(&key).map(|entry| *entry.value())
    }

    fn insert(&self, key: u64, value: Value) {
        self.0.insert(key, value);
    }
}

/// The moka crate, `TinyLFU`.
#[derive(Debug)]
pub struct Moka(moka::sync::Cache<u64, Value>);

impl Peer for Moka {
    const NAME: &'static str = "moka";

    fn new(capacity: usize) -> Self {
        Self(moka::sync::Cache::new(capacity as u64))
    }

    fn get(&self, key: u64) -> Option<Value> {
        self.0.get(&key)
    }

    fn insert(&self, key: u64, value: Value) {
        self.0.insert(key, value);
    }
}
