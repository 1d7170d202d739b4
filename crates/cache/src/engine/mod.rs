//! The engines that hold the entries, behind one trait.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use plimsoll_core_types::{CachePolicy, Timestamp};
use serde::{Deserialize, Serialize};

use crate::exact::ExactCache;
use crate::hash::Seeded;
use crate::policy::MODELLED;

mod exact;
#[cfg(feature = "foyer")]
mod foyer;
mod moka;
#[cfg(feature = "quick-cache")]
mod quick;

/// What holds the entries of a [`ManagedCache`](crate::ManagedCache).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EngineKind {
    /// The moka crate; the default. It changes its policy by moving the entries to another cache.
    #[default]
    Moka,
    /// This crate's own [`ExactCache`], which can run every modelled policy, keeps small
    /// capacities to the entry, and changes in place.
    Exact,
    /// The `quick_cache` crate (feature `quick-cache`), which has one policy and can be resized.
    #[cfg(feature = "quick-cache")]
    QuickCache,
    /// The foyer-memory crate (feature `foyer`), which can be resized; its policy is fixed when
    /// it is built.
    #[cfg(feature = "foyer")]
    Foyer,
}

impl EngineKind {
    /// The policies that it can be built with.
    pub fn policies(self) -> &'static [CachePolicy] {
        match self {
            Self::Moka => &moka::POLICIES,
            Self::Exact => &MODELLED,
            #[cfg(feature = "quick-cache")]
            Self::QuickCache => &quick::POLICIES,
            #[cfg(feature = "foyer")]
            Self::Foyer => &foyer::POLICIES,
        }
    }

    /// The policies that it can have from `current` on, without losing entries.
    pub(crate) fn choices(self, current: CachePolicy) -> &'static [CachePolicy] {
        let all = self.policies();
        if matches!(self, Self::Moka | Self::Exact) {
            return all;
        }
        let at = all.iter().position(|policy| *policy == current).unwrap_or(0);
        &all[at..=at]
    }

    pub(crate) fn build<K, V>(
        self,
        policy: CachePolicy,
        capacity: u64,
        hasher: &Seeded,
    ) -> Arc<dyn Engine<K, V>>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        match self {
            Self::Moka => Arc::new(moka::Moka::new(policy, capacity, hasher.clone())),
            Self::Exact => Arc::new(ExactCache::hashed(policy, capacity, hasher.clone())),
            #[cfg(feature = "quick-cache")]
            Self::QuickCache => Arc::new(quick::Quick::new(capacity, hasher.clone())),
            #[cfg(feature = "foyer")]
            Self::Foyer => Arc::new(foyer::Foyer::new(policy, capacity, hasher.clone())),
        }
    }
}

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

/// Holds entries up to a capacity, and gives some up by a policy.
pub(crate) trait Engine<K, V>: Send + Sync + fmt::Debug {
    /// The entry of `key`; counts as a use.
    fn get(&self, key: &K) -> Option<Arc<Entry<V>>>;

    /// True when there is an entry of `key`; does not count.
    fn contains(&self, key: &K) -> bool;

    /// Puts an entry in the place of any other of the same key.
    fn insert(&self, key: K, entry: Arc<Entry<V>>);

    /// Takes the entry of `key` out.
    fn remove(&self, key: &K) -> Option<Arc<Entry<V>>>;

    /// Changes policy and capacity in place, with the entries that fit kept. False where it can't:
    /// it is then as it was, and its entries have to move to another engine.
    fn retune(&self, policy: CachePolicy, capacity: u64) -> bool;

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
