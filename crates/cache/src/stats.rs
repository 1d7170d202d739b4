//! Counters that many threads may touch at once without sharing a cache line.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use plimsoll_core_types::Ratio;
use serde::{Deserialize, Serialize};

/// How many lanes counters and taps have; a power of two.
pub(crate) const LANES: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// This thread's lane, the same for every cache.
#[inline]
pub(crate) fn lane() -> usize {
    LANE.with(|lane| {
        if lane.get() == usize::MAX {
            lane.set(NEXT.fetch_add(1, Ordering::Relaxed) % LANES);
        }
        lane.get()
    })
}

/// A value on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    hit_weight: AtomicU64,
    inserted: AtomicU64,
    inserted_weight: AtomicU64,
    invalidated: AtomicU64,
    expired: AtomicU64,
}

/// What is counted of a cache.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    lanes: [Padded<Counts>; LANES],
}

impl Counters {
    #[inline]
    pub(crate) fn hit(&self, weight: u32) {
        let counts = &self.lanes[lane()].0;
        counts.hits.fetch_add(1, Ordering::Relaxed);
        counts.hit_weight.fetch_add(u64::from(weight), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn miss(&self) {
        self.lanes[lane()].0.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn insert(&self, weight: u32) {
        let counts = &self.lanes[lane()].0;
        counts.inserted.fetch_add(1, Ordering::Relaxed);
        counts.inserted_weight.fetch_add(u64::from(weight), Ordering::Relaxed);
    }

    pub(crate) fn invalidate(&self) {
        self.lanes[lane()].0.invalidated.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn expire(&self) {
        self.lanes[lane()].0.expired.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn sum(&self) -> Statistics {
        let mut sum = Statistics::default();
        for Padded(counts) in &self.lanes {
            let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
            sum.hits += read(&counts.hits);
            sum.misses += read(&counts.misses);
            sum.hit_weight += read(&counts.hit_weight);
            sum.inserted += read(&counts.inserted);
            sum.inserted_weight += read(&counts.inserted_weight);
            sum.invalidated += read(&counts.invalidated);
            sum.expired += read(&counts.expired);
        }
        sum
    }
}

/// What happened to a cache since it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Look-ups that found their entry.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// What the entries found weighed, each time.
    pub hit_weight: u64,
    /// Entries that were put in.
    pub inserted: u64,
    /// What they weighed.
    pub inserted_weight: u64,
    /// Entries that were invalidated.
    pub invalidated: u64,
    /// Entries that were found past their time to live.
    pub expired: u64,
}

impl Statistics {
    /// Hits ÷ look-ups; zero before the first.
    pub fn hit_ratio(&self) -> Ratio {
        ratio(self.hits, self.misses)
    }

    /// Weight found ÷ (weight found + weight put in after a miss); zero before the first. In a
    /// cache whose entries weigh bytes, the hit ratio by bytes.
    pub fn weight_hit_ratio(&self) -> Ratio {
        ratio(self.hit_weight, self.inserted_weight)
    }
}

fn ratio(part: u64, rest: u64) -> Ratio {
    Ratio::saturating(part as f64 / part.saturating_add(rest).max(1) as f64)
}
