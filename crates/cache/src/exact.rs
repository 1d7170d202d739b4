//! Our own engine: what it does is exactly what its miniatures foretell.
//!
//! Each shard is a table under one lock, run by the same rules that the models simulate: no write
//! buffer, no deferred maintenance, so that a small capacity is kept to the entry. Policy and
//! capacity change in place, shard by shard, with no second copy of the entries: the extra memory
//! of a change is four bytes for each entry of one shard, and a little more where they are sorted.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll_brief::Brief;
use plimsoll_core_types::CachePolicy;

use crate::config::CapacityUnit;
use crate::hash::{Seeded, spread};
use crate::policy::core::Core;
use crate::policy::table::index;
use crate::prefetch;
use crate::stats::Padded;

/// A shard has room for at least so many entries, so that each holds a fair sample of the keys.
const LEAST_IN_SHARD: u64 = 1024;

/// Where a capacity is in bytes a shard has at least so many, as none holds an entry that is larger.
const LEAST_BYTES_IN_SHARD: u64 = 64 << 20;

/// Shards for each processor: few enough that what each look-up touches of a shard stays in the
/// processor's nearest cache, and so many that two threads seldom meet in one.
const SHARDS_PER_PROCESSOR: u64 = 64;

/// A shard's lock and table, and room behind them. Without it a shard of two words would be eight
/// lines long, and what stands at its beginning fall into one of eight sets of the nearest cache.
#[repr(C)]
struct Spaced<T>(T, [u8; 128]);

type Shard<K, V> = Padded<Spaced<Brief<Core<(K, V)>>>>;

/// Where a shard's index was when somebody looked: by it a line is asked for before the lock is
/// taken. It may be out of date, which costs time and nothing else.
#[derive(Debug, Default)]
struct Hint {
    chunks: AtomicUsize,
    mask: AtomicUsize,
}

impl Hint {
    #[inline]
    fn get(&self) -> (usize, usize) {
        (self.chunks.load(Ordering::Relaxed), self.mask.load(Ordering::Relaxed))
    }

    /// Writes only what is new, as all processors read it.
    #[inline]
    fn set(&self, now: (usize, usize)) {
        if self.get() != now {
            self.chunks.store(now.0, Ordering::Relaxed);
            self.mask.store(now.1, Ordering::Relaxed);
        }
    }
}

/// A concurrent cache whose policy and capacity can be changed while it serves.
///
/// ```
/// use plimsoll_cache::ExactCache;
/// use plimsoll_core_types::CachePolicy;
///
/// let cache = ExactCache::new(CachePolicy::S3Fifo, 1000)?;
/// assert_eq!(cache.get_or_insert_with(&7, || "seven"), "seven");
/// cache.set_policy(CachePolicy::Lirs)?;
/// cache.set_capacity(500);
/// assert_eq!(cache.get(&7), Some("seven"));
/// cache.remove(&7);
/// assert_eq!(cache.get(&7), None);
/// # Ok::<(), plimsoll_cache::NoSuchPolicy>(())
/// ```
pub struct ExactCache<K, V> {
    hasher: Seeded,
    shards: Box<[Shard<K, V>]>,
    /// One for each shard, on lines that are seldom written to.
    hints: Box<[Hint]>,
}

/// The engine has no rules for a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the exact engine has no policy {policy}")]
pub struct NoSuchPolicy {
    /// What was asked for.
    pub policy: CachePolicy,
}

impl<K, V> fmt::Debug for ExactCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExactCache").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq, V: Clone> ExactCache<K, V> {
    /// An empty cache under `policy` for entries that weigh `capacity` together. It has a shard
    /// for each 1024 units of capacity, at most 64 for each processor; where entries weigh much more
    /// than one, say how many [with](Self::with_shards).
    ///
    /// # Errors
    ///
    /// When there are no rules for `policy`.
    pub fn new(policy: CachePolicy, capacity: u64) -> Result<Self, NoSuchPolicy> {
        Self::with_shards(policy, capacity, shards(capacity, LEAST_IN_SHARD))
    }

    /// The same with so many shards, rounded down to a power of two, and no more than the capacity
    /// has units. No entry may weigh more than a
    /// shard's part of the capacity; threads wait for each other where there are few.
    ///
    /// # Errors
    ///
    /// When there are no rules for `policy`.
    pub fn with_shards(
        policy: CachePolicy,
        capacity: u64,
        shards: NonZero<u32>,
    ) -> Result<Self, NoSuchPolicy> {
        Core::<()>::new(policy, 1).ok_or(NoSuchPolicy { policy })?;
        Ok(Self::hashed(policy, capacity, shards, Seeded::random()))
    }

    /// A cache as managed ones want it, under LRU where there are no rules for `policy`.
    pub(crate) fn for_unit(
        policy: CachePolicy,
        capacity: u64,
        unit: CapacityUnit,
        hasher: Seeded,
    ) -> Self {
        let least = match unit {
            CapacityUnit::Entries => LEAST_IN_SHARD,
            CapacityUnit::Bytes => LEAST_BYTES_IN_SHARD,
        };
        Self::hashed(policy, capacity, shards(capacity, least), hasher)
    }

    fn hashed(policy: CachePolicy, capacity: u64, shards: NonZero<u32>, hasher: Seeded) -> Self {
        let count = 1_u64 << u64::from(shards.get()).min(capacity.max(1)).ilog2();
        let shard = |at| {
            let capacity = share(capacity, count, at);
            let core = Core::new(policy, capacity).unwrap_or_else(|| Core::lru(capacity));
            Padded(Spaced(Brief::new(core.remembering()), [0; 128]))
        };
        let shards = (0..count).map(shard).collect();
        let hints = (0..count).map(|_| Hint::default()).collect();
        Self { hasher, shards, hints }
    }

    /// The hash of a key and the shard that it belongs to, by the hash's uppermost bits. What will
    /// be needed of the shard is on its way from here on.
    #[inline]
    fn place(&self, key: &K) -> (u64, usize) {
        let hash = self.hasher.hash_one(key);
        let at = (((hash >> 32) * self.shards.len() as u64) >> 32) as usize;
        prefetch::to_write((&raw const self.shards[at]).addr());
        index::prefetch(self.hints[at].get(), spread(hash));
        (hash, at)
    }

    /// The value of `key`; counts as a use.
    #[inline]
    pub fn get(&self, key: &K) -> Option<V> {
        let (hash, at) = self.place(key);
        Self::get_of(&mut self.shards[at].0.0.lock(), hash, key)
    }

    #[expect(clippy::inline_always, reason = "what a hit costs is a call apart otherwise")]
    #[inline(always)]
    fn get_of(core: &mut Core<(K, V)>, hash: u64, key: &K) -> Option<V> {
        let (place, (_, value)) = core.table.find_resident(hash, |(held, _)| held == key)?;
        let value = value.clone();
        core.used(place);
        Some(value)
    }

    /// True when `key` has a value; does not count as a use.
    pub fn contains(&self, key: &K) -> bool {
        let (hash, at) = self.place(key);
        let core = self.shards[at].0.0.lock();
        let entry = core.peek(hash).and_then(|place| core.table.payload(place));
        entry.is_some_and(|(held, _)| held == key)
    }

    /// Puts in a value that weighs one.
    pub fn insert(&self, key: K, value: V) {
        self.insert_weighing(key, value, 1);
    }

    /// Puts `value` in, in the place of any other of the same key. A value that weighs more than
    /// its shard may hold is not kept, and neither is the one before it. What is given up is
    /// dropped after the lock is.
    pub fn insert_weighing(&self, key: K, value: V, weight: u32) {
        let (hash, at) = self.place(&key);
        self.insert_hashed(at, hash, key, value, weight, false);
    }

    #[inline(never)]
    fn insert_hashed(&self, at: usize, hash: u64, key: K, value: V, weight: u32, missing: bool) {
        let mut core = self.shards[at].0.0.lock();
        let is_it = |(held, _): &(K, V)| *held == key;
        let held = if missing { None } else { core.table.find_resident(hash, is_it) };
        let found = held.map(|(place, _)| place).or_else(|| core.table.find(hash));
        let resident = found.filter(|place| core.table.is_resident(*place));
        let before = if let Some(place) = resident {
            core.replace(place, weight, (key, value))
        } else {
            core.offer_known(hash, found, weight, (key, value));
            self.hints[at].set(core.table.whereabouts());
            core.expect_to_leave();
            None
        };
        let evicted = core.take_evicted();
        drop(core);
        drop((before, evicted));
    }

    /// The value of `key`, or what `init` makes, which is put in with a weight of one. `init` runs
    /// under no lock; of two who miss at once the second one's value stays.
    #[inline]
    pub fn get_or_insert_with(&self, key: &K, init: impl FnOnce() -> V) -> V
    where
        K: Clone,
    {
        let (hash, at) = self.place(key);
        let mut core = self.shards[at].0.0.lock();
        if let Some(value) = Self::get_of(&mut core, hash, key) {
            return value;
        }
        core.table.expect(hash);
        drop(core);
        let value = init();
        self.insert_hashed(at, hash, key.clone(), value.clone(), 1, true);
        value
    }

    /// Takes the value of `key` out.
    pub fn remove(&self, key: &K) -> Option<V> {
        let (hash, at) = self.place(key);
        let mut core = self.shards[at].0.0.lock();
        let place = core.peek(hash)?;
        if core.table.payload(place).is_none_or(|(held, _)| held != key) {
            return None;
        }
        core.take(hash).map(|(_, value)| value)
    }

    /// Forgets every entry, and every key.
    pub fn clear(&self) {
        for Padded(Spaced(shard, _)) in &self.shards {
            let mut core = shard.lock();
            let fresh = Core::new(core.policy(), core.table.capacity());
            let gone = fresh.map(|fresh| std::mem::replace(&mut *core, fresh.remembering()));
            drop(core);
            drop(gone);
        }
    }

    /// The policy in force.
    pub fn policy(&self) -> CachePolicy {
        self.shards[0].0.0.lock().policy()
    }

    /// Changes the policy; every entry stays. A shard is locked while its links are remade, the
    /// others serve.
    ///
    /// # Errors
    ///
    /// When there are no rules for `policy`; nothing is changed then.
    pub fn set_policy(&self, policy: CachePolicy) -> Result<(), NoSuchPolicy> {
        Core::<()>::new(policy, 1).ok_or(NoSuchPolicy { policy })?;
        for Padded(Spaced(shard, _)) in &self.shards {
            let mut core = shard.lock();
            core.change_policy(policy);
            let evicted = core.take_evicted();
            drop(core);
            drop(evicted);
        }
        Ok(())
    }

    /// What all entries may weigh together.
    pub fn capacity(&self) -> u64 {
        self.shards.iter().map(|Padded(Spaced(shard, _))| shard.lock().table.capacity()).sum()
    }

    /// Changes the capacity, giving up what no longer fits. The number of shards stays as it is.
    pub fn set_capacity(&self, capacity: u64) {
        let count = self.shards.len() as u64;
        for (at, Padded(Spaced(shard, _))) in self.shards.iter().enumerate() {
            let mut core = shard.lock();
            core.resize(share(capacity, count, at as u64));
            let evicted = core.take_evicted();
            drop(core);
            drop(evicted);
        }
    }

    /// Shows every entry to `see`, shard by shard, under the shard's lock.
    pub(crate) fn for_each(&self, mut see: impl FnMut(&K, &V)) {
        for Padded(Spaced(shard, _)) in &self.shards {
            shard.lock().table.payloads().for_each(|(key, value)| see(key, value));
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|Padded(Spaced(shard, _))| shard.lock().table.resident_len()).sum()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the entries weigh together; never more than the capacity.
    pub fn weight(&self) -> u64 {
        self.shards
            .iter()
            .map(|Padded(Spaced(shard, _))| shard.lock().table.resident_weight())
            .sum()
    }
}

/// How many shards there are where each has at least `least` of the capacity.
fn shards(capacity: u64, least: u64) -> NonZero<u32> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let most = (processors * SHARDS_PER_PROCESSOR).next_power_of_two();
    NonZero::new((capacity / least).min(most) as u32).unwrap_or(NonZero::<u32>::MIN)
}

/// The capacity of shard `at` of `count`, so that together they have all of it.
fn share(capacity: u64, count: u64, at: u64) -> u64 {
    capacity / count + u64::from(at < capacity % count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::MODELLED;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn shards_have_all_of_the_capacity_together() {
        for capacity in [0, 1, 63, 1024, 5000, 70_001] {
            let cache = ExactCache::<u64, u64>::new(CachePolicy::Lru, capacity).unwrap();
            assert_eq!(cache.capacity(), capacity);
            (0..capacity * 3).for_each(|key| cache.insert(key, key));
            assert!(
                cache.weight() <= capacity && cache.weight() >= capacity / 10 * 9 - capacity / 50
            );
        }
    }

    #[test]
    fn large_entries_are_kept_where_shards_are_few() {
        let one = NonZero::<u32>::MIN;
        let few = ExactCache::with_shards(CachePolicy::Lru, 1 << 20, one).unwrap();
        few.insert_weighing(1, (), 1 << 20);
        assert_eq!((few.len(), few.weight()), (1, 1 << 20));
        let many = NonZero::new(u32::MAX).unwrap();
        let more_than_units = ExactCache::with_shards(CachePolicy::Lru, 3, many).unwrap();
        (0..100).for_each(|key| more_than_units.insert(key, ()));
        assert_eq!(more_than_units.len(), 3);
        let (capacity, hasher) = (256 << 20, Seeded::random());
        let bytes =
            ExactCache::for_unit(CachePolicy::S3Fifo, capacity, CapacityUnit::Bytes, hasher);
        (0..16_u64).for_each(|key| bytes.insert_weighing(key, (), 4 << 20));
        assert_eq!(bytes.len(), 16);
    }

    #[test]
    fn a_change_of_policy_keeps_every_entry() {
        let cache = ExactCache::new(CachePolicy::Lru, 4096).unwrap();
        (0..4096_u64).for_each(|key| cache.insert(key, key));
        let before = cache.len();
        for policy in MODELLED {
            cache.set_policy(policy).unwrap();
            assert_eq!(cache.len(), before, "{policy}");
        }
    }

    #[test]
    fn threads_see_their_own_writes_while_the_policy_changes() {
        let cache = ExactCache::new(CachePolicy::Lru, 100_000).unwrap();
        std::thread::scope(|scope| {
            for lane in 0..2_u64 {
                let cache = &cache;
                scope.spawn(move || {
                    for step in 0..4000_u64 {
                        let key = lane * 1_000_000 + step % 500;
                        cache.insert(key, step);
                        assert_eq!(cache.get(&key), Some(step));
                        if step % 3 == 0 {
                            cache.remove(&key);
                            assert_eq!(cache.get(&key), None);
                        }
                    }
                });
            }
            for policy in MODELLED.iter().cycle().take(24) {
                cache.set_policy(*policy).unwrap();
            }
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_entry_is_never_wrong_and_never_comes_back(
            steps in prop::collection::vec((0..30_u64, 1..4_u32, 0..12_u8), 1..300),
            capacity in 0..40_u64,
        ) {
            let cache = ExactCache::new(CachePolicy::Lirs, capacity).unwrap();
            let mut truth: HashMap<u64, usize> = HashMap::new();
            let mut most = capacity;
            for (at, (key, weight, what)) in steps.iter().enumerate() {
                match what {
                    0 => cache.set_policy(MODELLED[*key as usize % MODELLED.len()]).unwrap(),
                    1 => { most = *key; cache.set_capacity(most); }
                    2 | 3 => { cache.remove(key); truth.remove(key); }
                    4..8 => { cache.insert_weighing(*key, at, *weight); truth.insert(*key, at); }
                    _ => if let Some(value) = cache.get(key) {
                        prop_assert_eq!(Some(&value), truth.get(key));
                    }
                }
                prop_assert!(cache.weight() <= most);
            }
        }
    }
}
