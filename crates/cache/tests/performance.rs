//! What a change of policy or capacity takes in memory, in bytes that are allocated at once.

#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use plimsoll_cache::{CacheConfig, EngineKind, ManagedCache};
use plimsoll_core_types::{
    Better, CacheId, CacheOptimizer, CachePolicy, CacheStrategy, ManualClock, Ratio, Reason, Row,
};
use plimsoll_testkit::report;

/// The system's allocator; knows what is allocated, and the most that was.
struct Peak;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came. Growth in place is left to the
// trait's own `realloc`, which holds both copies for a moment, as the system does at worst.
unsafe impl GlobalAlloc for Peak {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(now, Relaxed);
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Peak = Peak;

const ENTRIES: u64 = 16_384;

/// By how much more was allocated at once during a change than before it, in percent of what the
/// cache had allocated.
fn extra(engine: EngineKind, [from, to]: [CachePolicy; 2], value: usize) -> f64 {
    let id = CacheId::new("memory").unwrap();
    let empty = NOW.load(Relaxed);
    let config = CacheConfig { engine, policy: from, history: 1024, ..CacheConfig::new(ENTRIES) };
    let clock = Arc::new(ManualClock::new());
    let cache: ManagedCache<u64, Box<[u8]>> = ManagedCache::new(id.clone(), config, clock).unwrap();
    for key in 0..ENTRIES * 2 {
        cache.insert(key, vec![0; value].into());
    }
    let len = cache.len();
    assert!(len >= ENTRIES / 10 * 9, "{len} entries");
    let strategy = CacheStrategy {
        cache: id,
        policy: to,
        capacity: ENTRIES,
        time_to_live: None,
        expected: Ratio::ZERO,
        current: Ratio::ZERO,
        reason: Reason::Requested,
    };
    let full = NOW.load(Relaxed);
    MOST.store(full, Relaxed);
    let change = cache.implement(strategy).unwrap();
    assert!(change.kept >= len / 10 * 9, "{change:?}");
    (MOST.load(Relaxed) - full) as f64 / (full - empty) as f64 * 100.0
}

/// One test: others at the same time would be counted too.
#[test]
fn a_change_of_policy_takes_little_memory() {
    use CachePolicy::{Lirs, Lru, S3Fifo, TinyLfu};
    for (engine, policies, value, most) in [
        (EngineKind::Exact, [Lru, S3Fifo], 1024, 5.0),
        (EngineKind::Exact, [S3Fifo, Lirs], 1024, 5.0),
        (EngineKind::Moka, [TinyLfu, Lru], 1024, 10.0),
        (EngineKind::Exact, [Lru, S3Fifo], 8, 40.0),
        (EngineKind::Moka, [TinyLfu, Lru], 8, 60.0),
    ] {
        let extra = extra(engine, policies, value);
        let row = Row::new("cache.migration_memory", extra, "%", Better::Lower)
            .label("engine", &format!("{engine:?}").to_lowercase())
            .label("change", &format!("{}-to-{}", policies[0], policies[1]))
            .label("value_bytes", &value.to_string());
        report(&row.goal(5.0));
        assert!(extra <= most, "{engine:?}, {value} bytes: {extra:.1}%");
    }
}
