//! The engines that hold the entries, behind one trait.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use plimsoll_core_types::{CachePolicy, Timestamp};

pub(crate) mod moka;

/// A value with what the optimizer needs to know of it.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    pub(crate) value: V,
    pub(crate) weight: u32,
    pub(crate) written: Timestamp,
    /// In which epoch it was last used: the rough order of use, which migrations keep.
    epoch: AtomicU32,
}

impl<V> Entry<V> {
    pub(crate) const fn new(value: V, weight: u32, written: Timestamp, epoch: u32) -> Self {
        Self { value, weight, written, epoch: AtomicU32::new(epoch) }
    }

    /// Notes a use; writes only where the epoch is another, so that hot entries stay unshared.
    #[inline]
    pub(crate) fn touch(&self, epoch: u32) {
        if self.epoch.load(Ordering::Relaxed) != epoch {
            self.epoch.store(epoch, Ordering::Relaxed);
        }
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Relaxed)
    }
}

/// Holds entries up to a capacity, and gives some up by a policy fixed when it is built.
pub(crate) trait Engine<K, V>: Send + Sync + fmt::Debug {
    /// The entry of `key`; counts as a use.
    fn get(&self, key: &K) -> Option<Arc<Entry<V>>>;

    /// True when there is an entry of `key`; does not count.
    fn contains(&self, key: &K) -> bool;

    /// Puts an entry in the place of any other of the same key.
    fn insert(&self, key: K, entry: Arc<Entry<V>>);

    /// Takes the entry of `key` out.
    fn remove(&self, key: &K) -> Option<Arc<Entry<V>>>;

    /// Every entry's key and when it was last used, in no particular order.
    fn keys(&self) -> Vec<(Arc<K>, u32)>;

    /// How many entries there are and what they weigh, after any deferred work is done.
    fn settle(&self) -> (u64, u64);
}

/// The names of `policies`, separated by commas.
pub(crate) fn names(policies: &[CachePolicy]) -> String {
    let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
    names.join(", ")
}
