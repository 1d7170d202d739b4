//! The tap: which accesses are looked at, and where they wait until somebody looks.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use plimsoll_core_types::{AccessRecord, AccessSample, Ratio};

use crate::hash::{Seeded, Spread};
use crate::stats::{LANES, Padded, lane};

/// How many events a lane holds until they are collected.
const LANE_EVENTS: usize = 256;

/// Misses that wait to learn what their entry weighs.
const PENDING: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Event {
    order: u64,
    hash: u64,
    weight: u32,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Hit,
    Miss,
    PutIn,
}

/// Sampled look-ups of the live cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) hits: usize,
    pub(crate) lookups: usize,
}

/// Samples accesses by their key's hash: all accesses to some keys, and none to others, so that
/// each key's own pattern stays whole.
///
/// A [`ManagedCache`](crate::ManagedCache) has one. Put one beside a cache of your own, and give
/// what it sampled to [`advise`](crate::advise).
///
/// Source: Waldspurger et al., *Efficient MRC Construction with SHARDS* (FAST 2015).
///
/// ```
/// use plimsoll_cache::Tap;
/// use plimsoll_core_types::Ratio;
///
/// let tap = Tap::new(1 << 16);
/// tap.set_rate(Ratio::new(0.1)?);
/// (0..50_000_u64).for_each(|at| tap.record(&(at % 5000)));
/// let sample = tap.sample();
/// assert!((4000..6000).contains(&sample.accesses.len()));
/// # Ok::<(), plimsoll_core_types::RatioError>(())
/// ```
#[derive(Debug)]
pub struct Tap {
    hasher: Seeded,
    /// Keys whose hash is below are sampled.
    threshold: AtomicU64,
    order: AtomicU64,
    lanes: [Padded<Mutex<Vec<Event>>>; LANES],
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    most: usize,
    records: VecDeque<AccessRecord>,
    /// How many records were dropped at the old end, ever; numbers the rest.
    forgotten: u64,
    pending: HashMap<u64, u64, Spread>,
    /// Look-ups that are not counted any more, and those that are.
    skipped: usize,
    live: Live,
}

impl Tap {
    /// A tap that samples every key, and remembers the last `most` sampled accesses.
    pub fn new(most: usize) -> Self {
        let kept = Kept {
            most,
            records: VecDeque::new(),
            forgotten: 0,
            pending: HashMap::default(),
            skipped: 0,
            live: Live::default(),
        };
        Self {
            hasher: Seeded::random(),
            threshold: AtomicU64::new(u64::MAX),
            order: AtomicU64::new(0),
            lanes: Default::default(),
            kept: Mutex::new(kept),
        }
    }

    /// Notes a look-up of `key`, whose entry weighs one, if the key is sampled: one hash and one
    /// comparison where it is not.
    #[inline]
    pub fn record<K: Hash + ?Sized>(&self, key: &K) {
        self.record_weighing(key, 1);
    }

    /// As [`record`](Self::record), for an entry of another weight.
    #[inline]
    pub fn record_weighing<K: Hash + ?Sized>(&self, key: &K, weight: u32) {
        let hash = self.hasher.hash_one(key);
        if self.samples(hash) {
            self.looked_up(hash, weight, false);
        }
    }

    /// True where accesses to the key of this hash are sampled.
    #[inline]
    pub(crate) fn samples(&self, hash: u64) -> bool {
        hash <= self.threshold.load(Ordering::Relaxed)
    }

    /// Notes a look-up of a sampled key; a weight of zero is not known yet.
    #[cold]
    pub(crate) fn looked_up(&self, hash: u64, weight: u32, hit: bool) {
        self.push(hash, weight, if hit { What::Hit } else { What::Miss });
    }

    /// Notes what the entry of a sampled key weighs that was missed.
    #[cold]
    pub(crate) fn put_in(&self, hash: u64, weight: u32) {
        self.push(hash, weight, What::PutIn);
    }

    fn push(&self, hash: u64, weight: u32, what: What) {
        let order = self.order.fetch_add(1, Ordering::Relaxed);
        let full = {
            let mut lane = self.lanes[lane()].0.lock();
            lane.push(Event { order, hash, weight, what });
            lane.len() >= LANE_EVENTS
        };
        if full {
            self.collect();
        }
    }

    /// Moves what waits in the lanes to the records, in order.
    fn collect(&self) {
        let mut kept = self.kept.lock();
        let mut events = Vec::new();
        for Padded(lane) in &self.lanes {
            events.append(&mut lane.lock());
        }
        events.sort_unstable_by_key(|event| event.order);
        let threshold = self.threshold.load(Ordering::Relaxed);
        for event in events.into_iter().filter(|event| event.hash <= threshold) {
            kept.take(event);
        }
    }

    /// The share of keys that is sampled.
    pub fn rate(&self) -> Ratio {
        let threshold = self.threshold.load(Ordering::Relaxed);
        Ratio::saturating(threshold as f64 / u64::MAX as f64)
    }

    /// Samples `rate` of the keys from now on. A lower rate keeps the records of the keys that
    /// stay sampled; a higher one starts anew, because their past is missing.
    pub fn set_rate(&self, rate: Ratio) {
        let threshold = (rate.min_one().get() * u64::MAX as f64) as u64;
        let mut kept = self.kept.lock();
        let before = self.threshold.swap(threshold, Ordering::Relaxed);
        kept.pending.clear();
        kept.forgotten += kept.records.len() as u64;
        if threshold < before {
            kept.records.retain(|record| record.key_hash <= threshold);
        } else if threshold > before {
            kept.records.clear();
        }
        kept.forgotten -= kept.records.len() as u64;
    }

    /// Counts what the live cache hits anew, after `skipped` more sampled look-ups.
    pub(crate) fn count_live_after(&self, skipped: usize) {
        self.collect();
        let mut kept = self.kept.lock();
        (kept.skipped, kept.live) = (skipped, Live::default());
    }

    /// What was counted since, up to the last [`sample`](Self::sample).
    pub(crate) fn live(&self) -> Live {
        self.kept.lock().live
    }

    /// The accesses that are remembered, the oldest first.
    pub fn sample(&self) -> AccessSample {
        self.collect();
        let kept = self.kept.lock();
        let mut accesses: Vec<_> = kept.records.iter().copied().collect();
        drop(kept);
        fill_weights(&mut accesses);
        AccessSample { rate: self.rate(), accesses }
    }
}

impl Kept {
    fn take(&mut self, event: Event) {
        let AccessRecord { key_hash, weight } =
            AccessRecord { key_hash: event.hash, weight: event.weight };
        if event.what == What::PutIn {
            let index = self.pending.remove(&key_hash).and_then(|n| n.checked_sub(self.forgotten));
            if let Some(record) = index.and_then(|index| self.records.get_mut(index as usize)) {
                record.weight = weight;
            }
            return;
        }
        if self.skipped > 0 {
            self.skipped -= 1;
        } else {
            self.live.lookups += 1;
            self.live.hits += usize::from(event.what == What::Hit);
        }
        if self.records.len() == self.most {
            self.records.pop_front();
            self.forgotten += 1;
        }
        if weight == 0 {
            if self.pending.len() >= PENDING {
                self.pending.clear();
            }
            self.pending.insert(key_hash, self.forgotten + self.records.len() as u64);
        }
        self.records.push_back(AccessRecord { key_hash, weight });
    }
}

/// Gives those whose weight never became known that of the same key at another time, or else the
/// mean.
fn fill_weights(accesses: &mut [AccessRecord]) {
    let known: HashMap<u64, u32, Spread> = accesses
        .iter()
        .filter(|access| access.weight > 0)
        .map(|access| (access.key_hash, access.weight))
        .collect();
    if known.len() == accesses.len() {
        return;
    }
    let sum: u64 = known.values().map(|weight| u64::from(*weight)).sum();
    let mean = sum.checked_div(known.len() as u64).unwrap_or(1).max(1);
    for access in accesses.iter_mut().filter(|access| access.weight == 0) {
        access.weight = known.get(&access.key_hash).copied().unwrap_or(mean as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    #[test]
    fn samples_by_key_and_in_order() {
        let tap = Tap::new(1 << 12);
        tap.set_rate(Ratio::new(0.25).unwrap());
        let mut taken = Vec::new();
        for access in 0..8000_u64 {
            let hash = mix(access % 1000);
            if tap.samples(hash) {
                tap.looked_up(hash, 1, false);
                taken.push(hash);
            }
        }
        let sample = tap.sample();
        let hashes: Vec<u64> = sample.accesses.iter().map(|access| access.key_hash).collect();
        assert_eq!(hashes, taken);
        assert!((1600..2400).contains(&taken.len()), "{}", taken.len());
        assert!((sample.rate.get() - 0.25).abs() < 1e-6);
    }

    #[test]
    fn remembers_no_more_than_told_and_only_what_stays_sampled() {
        let tap = Tap::new(1024);
        for access in 0..5000 {
            tap.looked_up(mix(access), 1, false);
        }
        assert_eq!(tap.sample().accesses.len(), 1024);
        tap.set_rate(Ratio::new(0.5).unwrap());
        let half = tap.sample().accesses.len();
        assert!((400..624).contains(&half), "{half}");
        tap.set_rate(Ratio::ONE);
        assert!(tap.sample().accesses.is_empty());
    }

    #[test]
    fn a_miss_learns_its_weight_from_what_is_put_in() {
        let tap = Tap::new(1024);
        let check = |expected: &[u32]| {
            let sample = tap.sample();
            let weights: Vec<u32> = sample.accesses.iter().map(|access| access.weight).collect();
            assert_eq!(weights, expected);
        };
        tap.looked_up(1, 0, false);
        tap.put_in(1, 30);
        tap.looked_up(2, 10, false);
        tap.looked_up(3, 0, false);
        check(&[30, 10, 20]);
        tap.looked_up(3, 7, false);
        check(&[30, 10, 7, 7]);
    }
}
