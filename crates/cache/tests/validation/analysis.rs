//! Curves from samples, the division of a budget, and what a change of policy costs.

use std::sync::Arc;

use plimsoll_cache::adapt::CANDIDATES;
use plimsoll_cache::budget::{Share, divide};
use plimsoll_cache::mrc::{Curve, CurveBuilder};
use plimsoll_cache::policy::MODELLED;
use plimsoll_cache::replay::Trace;
use plimsoll_cache::{CacheConfig, EngineKind, ExactCache, ManagedCache};
use plimsoll_core_types::{
    Better, CacheId, CacheOptimizer, CachePolicy, CacheStrategy, ManualClock, Ratio, Reason, Row,
};
use plimsoll_testkit::{report, scale};

use super::load;

/// Of these a hundredth of the keys is at least 700.
const LARGE: [&str; 3] = ["corda_vaultservice", "mooncake_conversation", "arc_OLTP"];
const LARGER: [&str; 6] =
    ["cache2k_orm-busy", "scarab_recs", "cloudphysics_w106", "arc_P2", "arc_P3", "arc_P12"];

fn curve(trace: &Trace, most_keys: usize) -> Curve {
    let mut builder = CurveBuilder::new(most_keys);
    for (key, _) in trace.accesses() {
        builder.access(*key);
    }
    builder.curve()
}

/// The mean absolute error at 25 capacities from a thousandth of the keys to all of them, evenly
/// spaced in their logarithm.
fn error(trace: &Trace) -> f64 {
    let keys = trace.unique_keys();
    let (exact, sampled) = (curve(trace, keys + 1), curve(trace, keys / 100));
    let errors = (0..25).map(|step| {
        let capacity = (keys as f64 * 0.001 * 1000_f64.powf(f64::from(step) / 24.0)) as u64;
        (exact.miss_ratio(capacity).get() - sampled.miss_ratio(capacity).get()).abs()
    });
    errors.sum::<f64>() / 25.0
}

#[test]
fn curves_from_a_hundredth_of_the_keys_are_right_to_half_a_point() {
    let more: &[&str] = if scale(1) >= 10 { &LARGER } else { &[] };
    let mut errors = Vec::new();
    for name in LARGE.iter().chain(more) {
        let Some(trace) = load("curve_error", name) else { return };
        assert!(trace.unique_keys() / 100 >= 700, "{name}");
        errors.push(error(&trace));
    }
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let most = errors.iter().copied().fold(0.0, f64::max);
    let row = |name, value, goal| Row::new(name, value, "ratio", Better::Lower).goal(goal);
    report(&row("cache.mrc_error_mean", mean, 0.005));
    report(&row("cache.mrc_error_max", most, 0.01));
    assert!(mean < 0.005, "{mean:.4}");
    assert!(most < 0.01, "{most:.4}");
}

/// The optimum by dynamic programming over every unit of the budget.
fn optimum(shares: &[Share], budget: usize) -> f64 {
    let mut best = vec![0.0; budget + 1];
    for share in shares {
        let with = |room: usize| {
            let fits = share.costs.iter().filter(|(capacity, _)| *capacity as usize <= room);
            fits.map(|(capacity, cost)| best[room - *capacity as usize] + cost)
                .fold(f64::INFINITY, f64::min)
        };
        best = (0..=budget).map(with).collect();
    }
    best[budget]
}

#[test]
fn eight_caches_on_one_budget_come_within_a_hundredth_of_the_optimum() {
    let names = [
        "lirs_gli",
        "lirs_multi1",
        "lirs_multi2",
        "lirs_2_pools",
        "lirs_sprite",
        "cache2k_web07",
        "cache2k_web12",
        "lirs_loop",
    ];
    let mut shares = Vec::new();
    for name in names {
        let Some(trace) = load("one_budget", name) else { return };
        let curve = curve(&trace, 4096);
        // A thousand look-ups a second each, a millisecond for each miss.
        let point = |step: u64| {
            let capacity = trace.unique_keys() as u64 * step / 64;
            (capacity, curve.miss_ratio(capacity).get())
        };
        let mut costs: Vec<_> = (0..=64).map(point).collect();
        costs.dedup_by_key(|(capacity, _)| *capacity);
        shares.push(Share { costs, current: 0 });
    }
    let mut worst = 0.0_f64;
    for budget in [500, 2000, 5000, 10_000, 20_000] {
        let division = divide(&shares, budget, 0.0).unwrap();
        assert!(division.capacities.iter().sum::<u64>() <= budget);
        let optimum = optimum(&shares, budget as usize);
        worst = worst.max(division.cost / optimum - 1.0);
    }
    report(&Row::new("cache.budget_gap", worst, "ratio", Better::Lower).goal(0.01));
    assert!(worst <= 0.01, "{worst:.4}");
}

/// By how much the hit ratio over the next tenth of a trace falls short of the worse of two caches
/// that had the one and the other policy from the start, when the policy is changed halfway; in
/// points. `run` gives the hits of that tenth, of an engine with the one policy before and the
/// other after.
fn dip(trace: &Trace, run: &Run<'_>, from: CachePolicy, to: CachePolicy) -> f64 {
    let worse = run(from, from).min(run(to, to));
    (worse - run(from, to)) / (trace.accesses().len() / 10) as f64 * 100.0
}

type Run<'a> = dyn Fn(CachePolicy, CachePolicy) -> f64 + 'a;

/// Looks up, puts in what is missing, and calls `change` halfway; hits of the tenth after that.
fn hits(trace: &Trace, mut access: impl FnMut(u64) -> bool, change: impl FnOnce()) -> f64 {
    let accesses = trace.accesses();
    let (half, tenth) = (accesses.len() / 2, accesses.len() / 10);
    for (key, _) in &accesses[..half] {
        access(*key);
    }
    change();
    accesses[half..half + tenth].iter().filter(|(key, _)| access(*key)).count() as f64
}

fn on_exact(trace: &Trace, capacity: u64, from: CachePolicy, to: CachePolicy) -> f64 {
    let cache = ExactCache::new(from, capacity).unwrap();
    let access = |key| {
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, ());
        }
        hit
    };
    let change = || {
        let seen = &trace.accesses()[..trace.accesses().len() / 2];
        let held = || seen.iter().map(|(key, _)| cache.contains(key)).collect::<Vec<_>>();
        let before = held();
        cache.set_policy(to).unwrap();
        assert!(held() == before, "{from} to {to}: other entries than before the change");
    };
    hits(trace, access, change)
}

fn on_moka(trace: &Trace, capacity: u64, from: CachePolicy, to: CachePolicy) -> f64 {
    let id = CacheId::new("dip").unwrap();
    let config =
        CacheConfig { engine: EngineKind::Moka, policy: from, ..CacheConfig::new(capacity) };
    let clock = Arc::new(ManualClock::new());
    let cache: ManagedCache<u64, ()> = ManagedCache::new(id.clone(), config, clock).unwrap();
    let mut count = 0_u32;
    let access = |key| {
        count += 1;
        if count.is_multiple_of(32) {
            // Moka does its work when it is asked to, or by the clock on the wall.
            let _ = cache.len();
        }
        let hit = cache.get(&key).is_some();
        if !hit {
            cache.insert(key, ());
        }
        hit
    };
    let change = || {
        if from == to {
            return;
        }
        let strategy = CacheStrategy {
            cache: id,
            policy: to,
            capacity,
            time_to_live: None,
            expected: Ratio::ZERO,
            current: Ratio::ZERO,
            reason: Reason::Requested,
        };
        cache.implement(strategy).unwrap();
    };
    hits(trace, access, change)
}

/// Reports the worst of `dips`, and says what it is.
fn report_worst<'a>(
    engine: &str,
    of: &str,
    dips: impl Iterator<Item = &'a (f64, &'a str, CachePolicy, CachePolicy)>,
) {
    let Some((dip, name, from, to)) = dips.max_by(|a, b| a.0.total_cmp(&b.0)) else { return };
    let row = Row::new("cache.migration_dip", *dip, "points", Better::Lower).goal(0.3);
    let row = row.label("engine", engine).label("of", of).label("trace", name);
    report(&row.label("change", &format!("{from}-to-{to}")));
}

#[test]
fn a_change_of_policy_costs_little() {
    let (mut exact, mut moka) = (Vec::new(), Vec::new());
    let more: &[&str] =
        if scale(1) >= 10 { &["lirs_sprite", "cache2k_web07", "lirs_2_pools"] } else { &[] };
    for name in ["cache2k_web12"].iter().chain(more) {
        let Some(trace) = load("migration_dip", name) else { return };
        let capacity = trace.unique_keys() as u64 / 10;
        let on_exact = |from, to| on_exact(&trace, capacity, from, to);
        let on_moka = |from, to| on_moka(&trace, capacity, from, to);
        for from in MODELLED {
            for to in MODELLED {
                exact.push((dip(&trace, &on_exact, from, to), *name, from, to));
            }
        }
        for (from, to) in
            [(CachePolicy::Lru, CachePolicy::TinyLfu), (CachePolicy::TinyLfu, CachePolicy::Lru)]
        {
            moka.push((dip(&trace, &on_moka, from, to), *name, from, to));
        }
    }
    let mean = exact.iter().map(|(dip, ..)| dip).sum::<f64>() / exact.len() as f64;
    let row = Row::new("cache.migration_dip", mean, "points", Better::Lower).goal(0.3);
    report(&row.label("engine", "exact").label("of", "mean"));
    let chosen = |policy: &CachePolicy| CANDIDATES.contains(policy);
    report_worst("exact", "most", exact.iter());
    let candidates = exact.iter().filter(|(_, _, from, to)| chosen(from) && chosen(to));
    report_worst("exact", "most-of-candidates", candidates);
    report_worst("moka", "most", moka.iter());
    assert!(mean <= 0.3, "{mean:.2} points");
}
