//! The cache as its users see it: what it returns, what it forgets, and what a change of policy or
//! capacity does to it while others use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use plimsoll_cache::{CacheConfig, CapacityUnit, EngineKind, ManagedCache};
use plimsoll_core_types::{
    Bytes, CacheId, CacheOptimizer, CachePolicy, CacheStrategy, ManualClock, Ratio, Reason,
    StrategyError,
};
use plimsoll_testkit::scale;

/// Every engine of this build, with a policy to begin with and another that it can change to.
fn engines() -> Vec<(EngineKind, CachePolicy, CachePolicy)> {
    vec![
        (EngineKind::Moka, CachePolicy::TinyLfu, CachePolicy::Lru),
        (EngineKind::Exact, CachePolicy::Lirs, CachePolicy::Lru),
        (EngineKind::Exact, CachePolicy::WindowTinyLfu, CachePolicy::Arc),
        #[cfg(feature = "quick-cache")]
        (EngineKind::QuickCache, CachePolicy::S3Fifo, CachePolicy::S3Fifo),
        #[cfg(feature = "foyer")]
        (EngineKind::Foyer, CachePolicy::Lru, CachePolicy::Lru),
    ]
}

fn id() -> CacheId {
    CacheId::new("test").unwrap()
}

fn cache(config: CacheConfig) -> (ManagedCache<u64, u64>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    (ManagedCache::new(id(), config, Arc::clone(&clock) as _).unwrap(), clock)
}

fn strategy(policy: CachePolicy, capacity: u64) -> CacheStrategy {
    CacheStrategy {
        cache: id(),
        policy,
        capacity,
        time_to_live: None,
        expected: Ratio::ZERO,
        current: Ratio::ZERO,
        reason: Reason::Requested,
    }
}

#[test]
fn a_loop_is_noticed_and_another_policy_serves_it_better() {
    let (cache, _) = cache(CacheConfig { policy: CachePolicy::Lru, ..CacheConfig::new(2000) });
    let round = || {
        for key in 0..3000 {
            cache.get_with(&key, || key);
        }
    };
    (0..10).for_each(|_| round());
    let before = cache.statistics();
    assert!(before.hit_ratio().get() < 0.1, "{before:?}");

    let as_optimizer: Arc<dyn CacheOptimizer> = Arc::new(cache.clone());
    let strategy = as_optimizer.analyze(&cache.usage_pattern());
    assert_eq!(strategy.policy, CachePolicy::TinyLfu);
    assert!(strategy.expected.get() > strategy.current.get() + 0.3);
    let change = as_optimizer.implement(strategy).unwrap();
    assert!(change.kept > 1800 && change.dropped < 200, "{change:?}");

    (0..10).for_each(|_| round());
    let hits = cache.statistics().hits - before.hits;
    assert!(hits > 10 * 3000 / 3, "{hits} of 30000 look-ups");
    assert!(matches!(as_optimizer.monitor().reason, Reason::Better { .. }));
}

#[test]
fn analysis_of_an_empty_pattern_uses_what_was_sampled() {
    let (cache, _) = cache(CacheConfig { policy: CachePolicy::Lru, ..CacheConfig::new(200) });
    for access in 0..9000 {
        cache.get_with(&(access % 300), || 0);
    }
    let pattern = cache.usage_pattern();
    let mut bare = pattern.clone();
    bare.accesses.accesses.clear();
    assert_eq!(cache.analyze(&bare).policy, cache.analyze(&pattern).policy);
    assert_eq!(cache.analyze(&bare).policy, CachePolicy::TinyLfu);
}

#[test]
fn a_strategy_that_can_not_be_is_refused_and_changes_nothing() {
    let (cache, _) = cache(CacheConfig { min_capacity: 50, ..CacheConfig::new(100) });
    cache.insert(1, 1);
    let mut other = strategy(CachePolicy::Lru, 100);
    other.cache = CacheId::new("other").unwrap();
    assert!(matches!(cache.implement(other), Err(StrategyError::OtherCache { .. })));
    let error = cache.implement(strategy(CachePolicy::Sieve, 100)).unwrap_err();
    assert_eq!(error.to_string(), "policy sieve is not of this engine; it has lru, tiny-lfu");
    let error = cache.implement(strategy(CachePolicy::Lru, 49)).unwrap_err();
    assert_eq!(error, StrategyError::Capacity { given: 49, least: 50, most: 100 });
    assert_eq!(cache.monitor().policy, CachePolicy::TinyLfu);
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn shrinking_keeps_what_was_used_last() {
    let config =
        CacheConfig { min_capacity: 100, policy: CachePolicy::Lru, ..CacheConfig::new(4000) };
    let (cache, _) = cache(config);
    (0..4000).for_each(|key| cache.insert(key, key));
    // Used since in the order of their keys, with enough turnover for the epochs to tell.
    for key in 3000..4000 {
        cache.get(&key);
        cache.insert(key, key);
    }
    let change = cache.implement(strategy(CachePolicy::Lru, 1000)).unwrap();
    assert_eq!(change.kept + change.dropped, 4000);
    assert!(cache.weight() <= 1000);
    let kept = (3000..4000).filter(|key| cache.get(key).is_some()).count();
    assert!(kept > 700, "{kept} of 1000");
}

#[test]
fn entries_outlive_a_change_of_policy_but_not_their_time() {
    for (engine, policy, other) in engines() {
        let ttl = Some(Duration::from_secs(10));
        let config = CacheConfig { engine, policy, time_to_live: ttl, ..CacheConfig::new(100) };
        let (cache, clock) = cache(config);
        cache.insert(1, 1);
        clock.advance(Duration::from_secs(6));
        let mut change = strategy(other, 100);
        change.time_to_live = ttl;
        cache.implement(change.clone()).unwrap();
        assert_eq!(cache.get(&1), Some(1), "{engine:?}");
        clock.advance(Duration::from_secs(4));
        assert_eq!(cache.get(&1), None, "{engine:?}");
        assert_eq!(cache.statistics().expired, 1);
        cache.insert(2, 2);
        change.time_to_live = None;
        cache.implement(change).unwrap();
        clock.advance(Duration::from_secs(1000));
        assert_eq!(cache.get(&2), Some(2), "{engine:?}");
    }
}

#[test]
fn weights_count_and_what_is_too_heavy_is_not_kept() {
    for (engine, policy, _) in engines() {
        let unit = CapacityUnit::Bytes;
        let config = CacheConfig { unit, engine, policy, ..CacheConfig::new(100_000) };
        let clock = Arc::new(ManualClock::new());
        let weigh = |_: &u64, value: &String| value.len() as u32;
        let cache = ManagedCache::with_weigher(id(), config, clock, weigh).unwrap();
        cache.insert(1, "x".repeat(400));
        cache.insert(2, "y".repeat(500));
        assert_eq!(cache.weight(), 900, "{engine:?}");
        assert_eq!(cache.monitor().bytes, Some(Bytes::new(900)));
        cache.insert(1, "z".repeat(100_001));
        assert_eq!(cache.get(&1), None, "{engine:?}");
        assert_eq!(cache.weight(), 500, "{engine:?}");
        assert_eq!(cache.usage_pattern().mean.memory(), Bytes::new(500));
    }
}

#[test]
fn of_many_who_miss_one_loads() {
    let (cache, _) = cache(CacheConfig::new(100));
    let loads = AtomicUsize::new(0);
    let started = std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                started.wait();
                let value = cache.get_with(&7, || {
                    loads.fetch_add(1, Ordering::Relaxed);
                    std::thread::yield_now();
                    70
                });
                assert_eq!(value, 70);
            });
        }
    });
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[test]
fn an_invalidation_during_a_load_is_not_undone() {
    let (cache, _) = cache(CacheConfig::new(100));
    let value = cache.get_with(&1, || {
        cache.invalidate(&1);
        10
    });
    assert_eq!((value, cache.get(&1)), (10, None));
    let value = cache.get_with(&1, || {
        cache.insert(1, 20);
        10
    });
    assert_eq!((value, cache.get(&1)), (10, Some(20)));
}

#[test]
fn a_load_that_panics_or_is_dropped_leaves_the_key_free() {
    let (cache, _) = cache(CacheConfig::new(100));
    let load = || cache.get_with(&1, || panic!("the backend is away"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(load)).is_err());
    assert_eq!(cache.get_with(&1, || 5), 5);

    let context = &mut Context::from_waker(Waker::noop());
    let mut first = Box::pin(cache.get_with_async(&2, std::future::pending()));
    let mut second = Box::pin(cache.get_with_async(&2, std::future::ready(6)));
    assert!(first.as_mut().poll(context).is_pending());
    assert!(second.as_mut().poll(context).is_pending());
    drop(first);
    assert_eq!(second.as_mut().poll(context), Poll::Ready(6));
    assert_eq!(cache.get(&2), Some(6));
}

/// One thread writes and invalidates a key, others read it, while the cache moves between
/// policies and capacities. Nobody may see a value older than the last write or invalidation that
/// was over before the look-up began.
#[test]
fn no_value_is_stale_or_comes_back_while_entries_move() {
    for (engine, policy, other) in engines() {
        never_stale(engine, [policy, other]);
    }
}

fn never_stale(engine: EngineKind, policies: [CachePolicy; 2]) {
    const KEYS: u64 = 64;
    let policy = policies[0];
    let config = CacheConfig { min_capacity: 40, engine, policy, ..CacheConfig::new(80) };
    let (cache, _) = cache(config);
    let oldest: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let over = AtomicBool::new(false);
    let write = |lane: u64| {
        for step in 1..=scale(4000) as u64 {
            let key = (step * 7 + lane) % (KEYS / 2) * 2 + lane;
            if step % 3 == 0 {
                cache.invalidate(&key);
                oldest[key as usize].store(step + 1, Ordering::SeqCst);
            } else {
                cache.insert(key, step);
                oldest[key as usize].store(step, Ordering::SeqCst);
            }
        }
    };
    let read = || {
        let mut key = 0;
        while !over.load(Ordering::Relaxed) {
            key = (key + 1) % KEYS;
            let least = oldest[key as usize].load(Ordering::SeqCst);
            if let Some(value) = cache.get(&key) {
                assert!(value >= least, "key {key}: {value} is older than {least}");
            }
        }
    };
    let change = || {
        let mut moves = 0_u64;
        while !over.load(Ordering::Relaxed) || moves < 4 {
            let policy = policies[moves as usize % 2];
            let capacity = [80, 40, 60][moves as usize % 3];
            cache.implement(strategy(policy, capacity)).unwrap();
            moves += 1;
        }
    };
    std::thread::scope(|scope| {
        let writers = [0, 1].map(|lane| scope.spawn(move || write(lane)));
        scope.spawn(read);
        scope.spawn(change);
        for writer in writers {
            writer.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(cache.weight() <= cache.capacity(), "{engine:?}");
}
