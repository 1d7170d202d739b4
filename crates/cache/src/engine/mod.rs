//! The engines that hold the entries, behind one trait.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use plimsoll_core_types::{CachePolicy, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::CapacityUnit;
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
        unit: CapacityUnit,
        hasher: &Seeded,
    ) -> Arc<dyn Engine<K, V>>
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        match self {
            Self::Moka => Arc::new(moka::Moka::new(policy, capacity, hasher.clone())),
            Self::Exact => Arc::new(ExactCache::for_unit(policy, capacity, unit, hasher.clone())),
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
    used: AtomicU32,
}

/// When an entry was used: the epoch of its last use, above a bit for each of the eight epochs that
/// end with it. The order is roughly that of use, which migrations keep.
///
/// Epochs are counted to 2^24 and then from zero again. Each is a sixteenth of a turnover, of at
/// least 64 entries, so that it is a thousand million entries until the order is once wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Used(u32);

/// So many bits are below the epoch.
const HISTORY: u32 = 8;
const LATE: u32 = (1 << HISTORY) - 1;

impl Used {
    const fn first(epoch: u32) -> Self {
        Self(epoch << HISTORY | 1)
    }

    /// Used in `epoch` too, which is no earlier.
    fn again(self, epoch: u32) -> Self {
        let passed = epoch.wrapping_sub(self.0 >> HISTORY) & (u32::MAX >> HISTORY);
        let before = (self.0 & LATE).checked_shl(passed).unwrap_or(0) & LATE;
        Self(epoch << HISTORY | before | 1)
    }

    fn is_in(self, epoch: u32) -> bool {
        self.0 >> HISTORY == epoch & (u32::MAX >> HISTORY)
    }

    /// In how many of the eight epochs that end with the last use there was one.
    pub(crate) fn epochs(self) -> u32 {
        (self.0 & LATE).count_ones()
    }
}

impl<V> Entry<V> {
    pub(crate) const fn new(value: V, weight: u32, written: Timestamp, epoch: u32) -> Self {
        Self { value, weight, written, used: AtomicU32::new(Used::first(epoch).0) }
    }

    /// Notes a use; writes only where the epoch is another, so that hot entries stay unshared.
    #[inline]
    pub(crate) fn touch(&self, epoch: u32) {
        let used = self.used();
        if !used.is_in(epoch) {
            self.used.store(used.again(epoch).0, Ordering::Relaxed);
        }
    }

    pub(crate) fn used(&self) -> Used {
        Used(self.used.load(Ordering::Relaxed))
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

    /// Every entry's key and when it was used, in no particular order.
    fn keys(&self) -> Vec<(Arc<K>, Used)>;

    /// How many entries there are and what they weigh, after any deferred work is done.
    fn settle(&self) -> (u64, u64);
}

/// The names of `policies`, separated by commas.
pub(crate) fn names(policies: &[CachePolicy]) -> String {
    let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_told_by_epoch() {
        let entry = Entry::new((), 1, Timestamp::ZERO, 5);
        let check = |epoch, epochs| {
            let before = entry.used();
            entry.touch(epoch);
            let used = entry.used();
            assert!(used >= before && used.is_in(epoch) && used.epochs() == epochs, "{used:?}");
        };
        check(5, 1);
        check(6, 2);
        check(6, 2);
        check(9, 3);
        // Of the eight epochs that end with the thirteenth the fifth is none.
        check(13, 3);
        check(40, 1);
        check((1 << 24) - 1, 1);
        entry.touch(1 << 24);
        assert!(entry.used().is_in(0) && entry.used().epochs() == 2);
    }
}
