//! A cache that can be watched, and changed while it serves.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{Bytes, CacheId, Clock, Reason, ResourceVector, Timestamp, UsagePattern};

use crate::config::{CacheConfig, CapacityUnit, ConfigError};
use crate::engine::Entry;
use crate::stats::{Counters, Statistics};
use crate::store::{Held, Store};
use crate::tap::Tap;
use crate::times::Times;

mod insight;
mod load;
mod optimize;
mod share;
mod watch;

pub use insight::{Elsewhere, Insight};

use watch::Watch;

/// Entries live for ever.
const FOR_EVER: u64 = u64::MAX;

type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u32 + Send + Sync>;

/// A concurrent cache, moka underneath, that samples how it is used and can change its policy,
/// capacity and time to live while it serves, with its entries.
///
/// Cloning is cheap; clones share the entries. It is a [`CacheOptimizer`](plimsoll_core_types::CacheOptimizer) of itself: call
/// `analyze` and `implement` now and then, or give a clone to whoever does.
///
/// ```
/// use std::sync::Arc;
/// use plimsoll_cache::{CacheConfig, ManagedCache};
/// use plimsoll_core_types::{CacheId, CacheOptimizer, SystemClock};
///
/// let clock = Arc::new(SystemClock::new());
/// let cache = ManagedCache::new(CacheId::new("answers")?, CacheConfig::new(1000), clock)?;
/// for access in 0..5000_u64 {
///     let answer = cache.get_with(&(access % 1400), || access % 1400 + 1);
///     assert_eq!(answer, access % 1400 + 1);
/// }
/// let strategy = cache.analyze(&cache.usage_pattern());
/// cache.implement(strategy)?;
/// println!("{}, because {}", cache.monitor().policy, cache.monitor().reason);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ManagedCache<K, V> {
    inner: Arc<Inner<K, V>>,
}

struct Inner<K, V> {
    id: CacheId,
    config: CacheConfig,
    clock: Arc<dyn Clock>,
    weigher: Option<Weigher<K, V>>,
    store: Store<K, V>,
    tap: Tap,
    times: Times,
    counters: Counters,
    /// In nanoseconds.
    time_to_live: AtomicU64,
    reason: Mutex<Reason>,
    changing: Mutex<()>,
    watch: Mutex<Watch>,
}

impl<K, V> Clone for ManagedCache<K, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<K, V> fmt::Debug for ManagedCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedCache").field("id", &self.inner.id).finish_non_exhaustive()
    }
}

impl<K, V> ManagedCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty cache in which every entry weighs one.
    ///
    /// # Errors
    ///
    /// The first field of `config` that is out of range.
    pub fn new(
        id: CacheId,
        config: CacheConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        Self::build(id, config, clock, None)
    }

    /// An empty cache in which an entry weighs what `weigher` says, at least one. The weigher is
    /// called once for each entry that is put in; an entry's weight never changes.
    ///
    /// # Errors
    ///
    /// The first field of `config` that is out of range.
    pub fn with_weigher(
        id: CacheId,
        config: CacheConfig,
        clock: Arc<dyn Clock>,
        weigher: impl Fn(&K, &V) -> u32 + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        Self::build(id, config, clock, Some(Box::new(weigher)))
    }

    fn build(
        id: CacheId,
        config: CacheConfig,
        clock: Arc<dyn Clock>,
        weigher: Option<Weigher<K, V>>,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let inner = Inner {
            store: Store::new(&config),
            tap: Tap::new(config.history as usize),
            times: Times::default(),
            counters: Counters::default(),
            time_to_live: AtomicU64::new(nanos(config.time_to_live)),
            reason: Mutex::new(Reason::Requested),
            changing: Mutex::new(()),
            watch: Mutex::default(),
            id,
            config,
            clock,
            weigher,
        };
        let cache = Self { inner: Arc::new(inner) };
        cache.inner.retune_tap();
        Ok(cache)
    }

    /// Which cache it is.
    pub fn id(&self) -> &CacheId {
        &self.inner.id
    }

    /// The value of `key`, where there is one that has not outlived its time.
    pub fn get(&self, key: &K) -> Option<V> {
        self.inner.look_up(key).map(|entry| entry.value.clone())
    }

    /// Puts `value` in, in the place of any other of the same key. A value that weighs more than
    /// the capacity is not kept, and neither is the one before it.
    pub fn insert(&self, key: K, value: V) {
        let inner = &self.inner;
        let hash = inner.store.hash(&key);
        {
            let mut held = inner.store.hold(hash);
            if let Some(flight) = held.remove(&key) {
                flight.supersede();
            }
            inner.put(&held, hash, key, value);
        }
        inner.store.relieve();
    }

    /// Forgets the value of `key`. After it returns nobody gets a value that was put in, or whose
    /// load was begun, before.
    pub fn invalidate(&self, key: &K) {
        let inner = &self.inner;
        let mut held = inner.store.hold(inner.store.hash(key));
        if let Some(flight) = held.remove(key) {
            flight.supersede();
        }
        if inner.store.remove(&held, key).is_some() {
            inner.counters.invalidate();
        }
    }

    /// Forgets every value, as [`invalidate`](Self::invalidate) does.
    pub fn invalidate_all(&self) {
        self.inner.store.clear();
    }

    /// How many entries there are. Does the engine's deferred work first.
    pub fn len(&self) -> u64 {
        self.inner.store.settle().0
    }

    /// True when there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the entries weigh together. Does the engine's deferred work first.
    pub fn weight(&self) -> u64 {
        self.inner.store.settle().1
    }

    /// What the entries may weigh together.
    pub fn capacity(&self) -> u64 {
        self.inner.store.capacity()
    }

    /// What happened since it was built.
    pub fn statistics(&self) -> Statistics {
        self.inner.counters.sum()
    }

    /// How the cache was used of late: its sampled accesses, and the memory that it takes where
    /// its entries weigh bytes.
    pub fn usage_pattern(&self) -> UsagePattern {
        let inner = &self.inner;
        let bytes = inner.bytes(inner.store.settle().1).unwrap_or(Bytes::ZERO);
        let used = ResourceVector::new().with_memory(bytes);
        UsagePattern {
            subject: (&inner.id).into(),
            window: inner.clock.now().saturating_since(Timestamp::ZERO),
            mean: used,
            peak: used,
            histories: Vec::new(),
            accesses: inner.tap.sample(),
        }
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn look_up(&self, key: &K) -> Option<Arc<Entry<V>>> {
        let mut found = self.store.get(key);
        if found.as_ref().is_some_and(|entry| self.outlived(entry)) {
            self.expire(key);
            found = None;
        }
        match &found {
            Some(entry) => self.counters.hit(entry.weight),
            None => self.counters.miss(),
        }
        let hash = self.store.hash(key);
        if self.tap.samples(hash) {
            let weight = match &found {
                Some(entry) => entry.weight,
                None => u32::from(self.weigher.is_none()),
            };
            self.tap.looked_up(hash, weight, found.is_some());
            let written = found.as_ref().map(|entry| entry.written);
            self.times.looked_up(hash, self.clock.now(), written);
        }
        found
    }

    fn put(&self, held: &Held<'_, K, V>, hash: u64, key: K, value: V) {
        let weight = self.weigher.as_ref().map_or(1, |weigher| weigher(&key, &value).max(1));
        if self.weigher.is_some() && self.tap.samples(hash) {
            self.tap.put_in(hash, weight);
        }
        self.counters.insert(weight);
        let written = self.clock.now();
        let entry = Arc::new(Entry::new(value, weight, written, self.store.epoch()));
        self.store.insert(held, key, entry);
    }

    fn outlived(&self, entry: &Entry<V>) -> bool {
        let time_to_live = self.time_to_live.load(Ordering::Relaxed);
        time_to_live != FOR_EVER
            && self.clock.now() >= entry.written + Duration::from_nanos(time_to_live)
    }

    /// Takes out what has outlived its time, unless it was written anew in the meantime.
    fn expire(&self, key: &K) {
        let held = self.store.hold(self.store.hash(key));
        if self.store.get(key).is_some_and(|entry| self.outlived(&entry)) {
            self.store.remove(&held, key);
            self.counters.expire();
        }
    }

    fn bytes(&self, weight: u64) -> Option<Bytes> {
        (self.config.unit == CapacityUnit::Bytes).then(|| Bytes::new(weight))
    }
}

fn nanos(time_to_live: Option<Duration>) -> u64 {
    time_to_live.map_or(FOR_EVER, |ttl| u64::try_from(ttl.as_nanos()).unwrap_or(FOR_EVER))
}
