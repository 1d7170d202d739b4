//! Entries in one engine, or in two while they move from one to the other.
//!
//! Every write of a key holds the lock of its stripe, so that a key's move is one step to all
//! writers. Readers take no lock: they look into the old engine first and then into the new one,
//! and a move puts the entry into the new one before it takes it out of the old.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use plimsoll_core_types::CachePolicy;

use crate::config::{CacheConfig, CapacityUnit};
use crate::engine::{Engine, EngineKind, Entry, Used};
use crate::flight::Flight;
use crate::hash::Seeded;
use crate::stats::Padded;

const STRIPES: usize = 64;

/// Into how many epochs of use a cache's life is divided: a turnover of this share of its entries
/// begins the next one.
const EPOCHS_PER_TURNOVER: u64 = 16;

type Stripe<K, V> = Mutex<HashMap<K, Arc<Flight<V>>>>;

/// The lock of a stripe; proof that its keys may be written.
pub(crate) type Held<'a, K, V> = MutexGuard<'a, HashMap<K, Arc<Flight<V>>>>;

/// What is in force: one engine, and the move into it while there is one.
#[derive(Debug)]
struct Engines<K, V> {
    policy: CachePolicy,
    capacity: u64,
    engine: Arc<dyn Engine<K, V>>,
    from: Option<Arc<Move<K, V>>>,
}

/// Entries on their way out of an old engine.
#[derive(Debug)]
struct Move<K, V> {
    old: Arc<dyn Engine<K, V>>,
    /// What has to be moved, the last used at the end; not set before it is known.
    keys: OnceLock<Vec<(Arc<K>, Used)>>,
    /// Which of them is next.
    next: AtomicUsize,
    /// Capacity less what both engines hold. While it is negative entries are dropped, not moved.
    room: AtomicI64,
    kept: AtomicU64,
    dropped: AtomicU64,
}

/// How a move between engines went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) kept: u64,
    pub(crate) dropped: u64,
}

/// The entries of a cache.
#[derive(Debug)]
pub(crate) struct Store<K, V> {
    kind: EngineKind,
    unit: CapacityUnit,
    hasher: Seeded,
    engines: ArcSwap<Engines<K, V>>,
    stripes: Vec<Padded<Stripe<K, V>>>,
    epoch: AtomicU32,
    inserted: AtomicU64,
    epoch_length: AtomicU64,
}

impl<K, V> Store<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// An empty one as `config` has it.
    pub(crate) fn new(config: &CacheConfig) -> Self {
        let CacheConfig { engine: kind, unit, policy, capacity, .. } = *config;
        let hasher = Seeded::random();
        let engine = kind.build(policy, capacity, unit, &hasher);
        let engines = Engines { policy, capacity, engine, from: None };
        Self {
            kind,
            unit,
            hasher,
            engines: ArcSwap::from_pointee(engines),
            stripes: (0..STRIPES).map(|_| Padded::default()).collect(),
            epoch: AtomicU32::new(0),
            inserted: AtomicU64::new(0),
            epoch_length: AtomicU64::new(64),
        }
    }

    #[inline]
    pub(crate) fn hash(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    pub(crate) fn policy(&self) -> CachePolicy {
        self.engines.load().policy
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.engines.load().capacity
    }

    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Relaxed)
    }

    /// The entry of `key`; counts as a use.
    pub(crate) fn get(&self, key: &K) -> Option<Arc<Entry<V>>> {
        let engines = self.engines.load();
        let old = engines.from.as_ref().and_then(|from| from.old.get(key));
        let entry = old.or_else(|| engines.engine.get(key))?;
        entry.touch(self.epoch.load(Relaxed));
        Some(entry)
    }

    /// True when there is an entry of `key`. Not a use, nor a look-up in vain, to policies that
    /// count those.
    pub(crate) fn contains(&self, key: &K) -> bool {
        let engines = self.engines.load();
        let old = engines.from.as_ref().is_some_and(|from| from.old.contains(key));
        old || engines.engine.contains(key)
    }

    /// Takes the lock under which the keys of this hash are written.
    pub(crate) fn hold(&self, hash: u64) -> Held<'_, K, V> {
        self.stripes[(hash >> 32) as usize % STRIPES].0.lock()
    }

    /// Puts an entry in, unless it weighs more than the capacity: then the key has none.
    pub(crate) fn insert(&self, _held: &Held<'_, K, V>, key: K, entry: Arc<Entry<V>>) {
        let engines = self.engines.load();
        if u64::from(entry.weight) > engines.capacity {
            engines.remove(&key);
            return;
        }
        let weight = signed(entry.weight);
        if let Some(from) = &engines.from {
            engines.engine.insert(key.clone(), entry);
            let before = from.old.remove(&key);
            from.room.fetch_add(before.map_or(0, |old| signed(old.weight)) - weight, Relaxed);
        } else {
            engines.engine.insert(key, entry);
        }
        let inserted = self.inserted.fetch_add(1, Relaxed);
        if inserted.is_multiple_of(self.epoch_length.load(Relaxed)) {
            self.epoch.fetch_add(1, Relaxed);
            let (entries, _) = engines.engine.settle();
            let length = (entries / EPOCHS_PER_TURNOVER).max(64);
            self.epoch_length.store(length, Relaxed);
        }
    }

    /// Takes the entry of `key` out.
    pub(crate) fn remove(&self, _held: &Held<'_, K, V>, key: &K) -> Option<Arc<Entry<V>>> {
        self.engines.load().remove(key)
    }

    /// How many entries there are and what they weigh.
    pub(crate) fn settle(&self) -> (u64, u64) {
        let engines = self.engines.load();
        let (len, weight) = engines.engine.settle();
        let old = engines.from.as_ref().map_or((0, 0), |from| from.old.settle());
        (len + old.0, weight + old.1)
    }

    /// Gives up every entry.
    pub(crate) fn clear(&self) {
        let held = self.hold_all();
        let engines = self.engines.load();
        self.engines.store(Arc::new(self.empty(engines.policy, engines.capacity)));
        for mut stripe in held {
            stripe.drain().for_each(|(_, flight)| flight.supersede());
        }
    }

    /// Changes policy and capacity: in place where the engine can do that, and else by moving the
    /// entries to another engine, those used longest ago first, so that it sees them in order.
    /// Those that no longer fit are dropped.
    ///
    /// One move at a time: the caller sees to that.
    pub(crate) fn migrate(&self, policy: CachePolicy, capacity: u64) -> Moved {
        if let Some(moved) = self.retune(policy, capacity) {
            return moved;
        }
        let from = {
            let _all = self.hold_all();
            let old = Arc::clone(&self.engines.load().engine);
            let room = capacity.cast_signed() - old.settle().1.cast_signed();
            let from = Arc::new(Move {
                old,
                keys: OnceLock::new(),
                next: AtomicUsize::new(0),
                room: AtomicI64::new(room),
                kept: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            });
            let next = Engines { from: Some(Arc::clone(&from)), ..self.empty(policy, capacity) };
            self.engines.store(Arc::new(next));
            from
        };
        let keys = from.keys.get_or_init(|| {
            let mut keys = from.old.keys();
            keys.sort_unstable_by_key(|(_, used)| *used);
            keys
        });
        while self.step(&from) {}
        self.finish(&from);
        self.warm(keys);
        Moved { kept: from.kept.load(Relaxed), dropped: from.dropped.load(Relaxed) }
    }

    fn retune(&self, policy: CachePolicy, capacity: u64) -> Option<Moved> {
        loop {
            let engine = Arc::clone(&self.engines.load().engine);
            let before = engine.settle().0;
            if !engine.retune(policy, capacity) {
                return None;
            }
            let _all = self.hold_all();
            // Otherwise a clear came between, and put an engine there that is as it was.
            if Arc::ptr_eq(&self.engines.load().engine, &engine) {
                let kept = engine.settle().0;
                self.engines.store(Arc::new(Engines { policy, capacity, engine, from: None }));
                return Some(Moved { kept, dropped: before.saturating_sub(kept) });
            }
        }
    }

    /// Drops entries that wait to be moved for as long as both engines together hold too much.
    /// Called by writers, after they let go of their stripe.
    pub(crate) fn relieve(&self) {
        let engines = self.engines.load_full();
        let Some(from) = &engines.from else { return };
        while from.room.load(Relaxed) < 0 && self.step(from) {}
    }

    /// Moves or drops the next entry; false when there is none.
    fn step(&self, from: &Arc<Move<K, V>>) -> bool {
        let Some(keys) = from.keys.get() else { return false };
        let Some((key, _)) = keys.get(from.next.fetch_add(1, Relaxed)) else { return false };
        let _held = self.hold(self.hash(key));
        let engines = self.engines.load();
        if !engines.from.as_ref().is_some_and(|current| Arc::ptr_eq(current, from)) {
            // A clear came between.
            return false;
        }
        let Some(entry) = from.old.get(key) else { return true };
        let weight = entry.weight;
        if from.room.load(Relaxed) < 0 || u64::from(weight) > engines.capacity {
            from.room.fetch_add(signed(weight), Relaxed);
            from.dropped.fetch_add(1, Relaxed);
        } else {
            engines.engine.insert(K::clone(key), entry);
            from.kept.fetch_add(1, Relaxed);
        }
        from.old.remove(key);
        true
    }

    /// Counts one use of each moved entry that was used in more than one epoch of late, so that a
    /// policy which counts uses does not take those for worth less than the next newcomer. Were all
    /// of them counted, no newcomer would get past the ones that nobody asks for any more.
    fn warm(&self, keys: &[(Arc<K>, Used)]) {
        let engines = self.engines.load_full();
        engines.engine.settle();
        if engines.policy != CachePolicy::Lru {
            for (key, _) in keys.iter().filter(|(_, used)| used.epochs() > 1) {
                drop(engines.engine.get(key));
            }
        }
    }

    /// Ends a move: from here on there is one engine.
    fn finish(&self, from: &Arc<Move<K, V>>) {
        let _all = self.hold_all();
        let engines = self.engines.load();
        if engines.from.as_ref().is_some_and(|current| Arc::ptr_eq(current, from)) {
            let Engines { policy, capacity, .. } = **engines;
            let engine = Arc::clone(&engines.engine);
            self.engines.store(Arc::new(Engines { policy, capacity, engine, from: None }));
        }
    }

    fn empty(&self, policy: CachePolicy, capacity: u64) -> Engines<K, V> {
        let engine = self.kind.build(policy, capacity, self.unit, &self.hasher);
        Engines { policy, capacity, engine, from: None }
    }

    /// Every stripe, in order, so that no two who do this wait for each other.
    fn hold_all(&self) -> Vec<Held<'_, K, V>> {
        self.stripes.iter().map(|stripe| stripe.0.lock()).collect()
    }
}

impl<K, V> Engines<K, V> {
    fn remove(&self, key: &K) -> Option<Arc<Entry<V>>> {
        let old = self.from.as_ref().and_then(|from| {
            let entry = from.old.remove(key)?;
            from.room.fetch_add(signed(entry.weight), Relaxed);
            Some(entry)
        });
        let new = self.engine.remove(key);
        old.or(new)
    }
}

fn signed(weight: u32) -> i64 {
    i64::from(weight)
}
