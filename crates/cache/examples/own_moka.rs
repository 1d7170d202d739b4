//! A moka cache of your own, watched and changed by Plimsoll.
//!
//! `cargo run -p plimsoll-cache --example own_moka`
//!
//! The cache stays yours: a [`Tap`] beside it sees the keys that it is asked for, and
//! [`advise`] says what another policy or capacity would make of the same keys. Moka fixes its
//! policy when it is built, so a change means another cache and a copy of the entries; a
//! `ManagedCache` does that for you, while it serves, with one entry in one place at all times.

use std::io::Write as _;

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use plimsoll_cache::{Advice, Setting, Tap, advise};
use plimsoll_core_types::CachePolicy;

const POLICIES: [CachePolicy; 2] = [CachePolicy::Lru, CachePolicy::TinyLfu];

fn build(policy: CachePolicy, capacity: u64) -> Cache<u64, String> {
    let eviction = match policy {
        CachePolicy::Lru => EvictionPolicy::lru(),
        _ => EvictionPolicy::tiny_lfu(),
    };
    Cache::builder().max_capacity(capacity).eviction_policy(eviction).build()
}

/// A report that is read from end to end, again and again: more pages than there is room for.
fn serve(cache: &Cache<u64, String>, tap: &Tap) -> f64 {
    let mut hits = 0_u32;
    for page in (0..1500).cycle().take(30_000) {
        tap.record(&page);
        match cache.get(&page) {
            Some(_) => hits += 1,
            None => cache.insert(page, format!("page {page}")),
        }
    }
    f64::from(hits) / 30_000.0
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let tap = Tap::new(1 << 16);
    let (policy, capacity) = (CachePolicy::Lru, 1000);
    let cache = build(policy, capacity);
    writeln!(out, "{policy}: {:.1}% of look-ups hit", serve(&cache, &tap) * 100.0)?;

    let setting = Setting {
        policy,
        capacity,
        least: capacity,
        most: capacity,
        policies: &POLICIES,
        min_gain: 0.005,
    };
    let Advice { policy, reason, .. } = advise(&setting, &tap.sample());
    writeln!(out, "advice: {policy}, because {reason}")?;

    // What is warm goes along: into an empty cache everything is let in.
    let changed = build(policy, capacity);
    for (page, text) in &cache {
        changed.insert(*page, text);
    }
    changed.run_pending_tasks();
    drop(cache);
    writeln!(out, "{policy}: {:.1}% of look-ups hit", serve(&changed, &tap) * 100.0)
}
