//! What the optimizer costs: on the hot path, and in the background.

use std::hint::black_box;
use std::sync::Arc;

use plimsoll_bench::{Better, Contender, Row, contest, emit, goal, size, wanted};
use plimsoll_bench_cache::{Zipf, median, nanos_per_access};
use plimsoll_cache::budget::{Share, divide};
use plimsoll_cache::{CacheConfig, EngineKind, ManagedCache, Tap};
use plimsoll_core_types::{CacheId, CacheOptimizer, CachePolicy, ManualClock, Ratio};

/// The share of keys that a tap samples when the cache is large.
const RATE: f64 = 0.01;

/// Look-ups a second to which the background's cost is related.
const LOOKUPS: f64 = 1e6;

/// How often the optimizer looks at what was sampled, in seconds.
const PERIOD: f64 = 60.0;

fn tap(lanes: &[&[u64]], rounds: usize) {
    let tap = Tap::new(1 << 16);
    tap.set_rate(Ratio::new(RATE).expect("a ratio"));
    let with = || nanos_per_access(lanes, &|key| tap.record(black_box(&key)));
    let without = || {
        nanos_per_access(lanes, &|key| {
            black_box(&key);
        })
    };
    let mut contenders: Vec<Contender<'_>> =
        vec![("with", Box::new(with)), ("without", Box::new(without))];
    let figures = contest(rounds, &mut contenders);
    let differences: Vec<f64> =
        figures[0].iter().zip(&figures[1]).map(|(with, without)| with - without).collect();
    let threads = lanes.len().to_string();
    goal(&format!("cache.tap{{threads={threads}}}"), if lanes.len() == 1 { 2.0 } else { 3.0 });
    let row = Row::new("cache.tap", median(&differences), "ns", Better::Lower);
    emit(&row.label("threads", &threads).peer("empty-loop", median(&figures[1])));
}

/// Everything that is done for the optimizer in a period, but for the tap's hash and comparison:
/// sampled accesses are put by, sorted and remembered, and a grid of miniatures is run over them.
fn background(keys: usize) {
    let clock = Arc::new(ManualClock::new());
    for (engine, policy) in
        [(EngineKind::Moka, CachePolicy::TinyLfu), (EngineKind::Exact, CachePolicy::S3Fifo)]
    {
        let capacity = keys as u64 / 10;
        let id = CacheId::new("background").expect("a name");
        let config = CacheConfig {
            engine,
            policy,
            min_capacity: capacity / 4,
            max_capacity: capacity * 2,
            ..CacheConfig::new(capacity)
        };
        let cache: ManagedCache<u64, u64> =
            ManagedCache::new(id, config, clock.clone()).expect("a valid configuration");
        let sampled = (LOOKUPS * RATE * PERIOD) as usize;
        let sampled = Zipf::new(keys, size(sampled, sampled / 100), 3);
        let put_by = Tap::new(1 << 16);
        let nanos = nanos_per_access(&[sampled.keys()], &|key| put_by.record(&key));
        // The history that is analysed is full.
        let zipf = Zipf::new(keys, size(8_000_000, 80_000), 5);
        for key in zipf.keys() {
            cache.get_with(key, || *key);
        }
        let analysed = nanos_per_access(&[&[0]], &|_| {
            black_box(cache.analyze(&cache.usage_pattern()));
        });
        let seconds = (nanos * LOOKUPS * RATE * PERIOD + analysed) / 1e9;
        goal(&format!("cache.background_cpu{{engine={engine:?}}}"), 1.0);
        let row = Row::new("cache.background_cpu", seconds / PERIOD * 100.0, "%", Better::Lower);
        emit(&row.label("engine", &format!("{engine:?}")));
    }
}

/// Eight caches on one budget, with cliffs that keep the hulls from being enough.
fn budget(rounds: usize) {
    let share = |cache: u64| {
        let cliff = 10 + cache * 11 % 83;
        let cost = |at: u64| {
            let fallen = if at >= cliff { 0.4 } else { 1.0 };
            (at << 20, fallen * (cache + 1) as f64 * (-(at as f64) / 40.0).exp())
        };
        Share { costs: (0..=100).map(cost).collect(), current: 0 }
    };
    let shares: Vec<Share> = (0..8).map(share).collect();
    let figures: Vec<f64> = (0..rounds)
        .map(|_| {
            nanos_per_access(&[&[0]], &|_| {
                black_box(divide(black_box(&shares), 300 << 20, 0.0)).expect("a division");
            }) / 1e3
        })
        .collect();
    goal("cache.budget_solve", 1000.0);
    emit(&Row::new("cache.budget_solve", median(&figures), "us", Better::Lower));
}

fn main() {
    let (rounds, keys, accesses) = size((31, 1_000_000, 400_000), (2, 10_000, 4_000));
    if wanted("cache.tap") {
        let all: Vec<Zipf> = (0..2).map(|lane| Zipf::new(keys, accesses, 7 + lane)).collect();
        for threads in [1, 2] {
            let lanes: Vec<&[u64]> = all[..threads].iter().map(Zipf::keys).collect();
            tap(&lanes, rounds);
        }
    }
    if wanted("cache.budget_solve") {
        budget(rounds);
    }
    if wanted("cache.background_cpu") {
        background(keys);
    }
}
