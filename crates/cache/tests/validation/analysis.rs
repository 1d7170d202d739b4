//! Curves from samples, the division of a budget, and what a change of policy costs.

use plimsoll_cache::adapt::CANDIDATES;
use plimsoll_cache::budget::{Share, divide};
use plimsoll_cache::mrc::{Curve, CurveBuilder};
use plimsoll_cache::policy::{MODELLED, model};
use plimsoll_cache::replay::Trace;
use plimsoll_core_types::{Better, CachePolicy, Row};
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
    // Where this is above 0.01 the row says that its goal was missed.
    assert!(most < 0.012, "{most:.4}");
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
/// points.
fn dip(trace: &Trace, capacity: u64, from: CachePolicy, to: CachePolicy) -> f64 {
    let accesses = trace.accesses();
    let (half, tenth) = (accesses.len() / 2, accesses.len() / 10);
    let run = |first, then| {
        let mut cache = model(first, capacity).unwrap();
        for (key, weight) in &accesses[..half] {
            cache.access(*key, *weight);
        }
        let before = cache.state();
        assert!(cache.set_policy(then));
        let after = cache.state();
        assert_eq!(before.entries, after.entries, "an entry was lost");
        let next = accesses[half..half + tenth].iter();
        next.filter(|(key, weight)| cache.access(*key, *weight)).count() as f64
    };
    let worse = run(from, from).min(run(to, to));
    (worse - run(from, to)) / tenth as f64 * 100.0
}

#[test]
fn a_change_of_policy_costs_little_and_no_second_copy() {
    let mut dips = Vec::new();
    let more: &[&str] =
        if scale(1) >= 10 { &["lirs_sprite", "cache2k_web07", "lirs_2_pools"] } else { &[] };
    for name in ["cache2k_web12"].iter().chain(more) {
        let Some(trace) = load("migration_dip", name) else { return };
        let capacity = trace.unique_keys() as u64 / 10;
        for from in MODELLED {
            for to in MODELLED {
                dips.push((dip(&trace, capacity, from, to), name, from, to));
            }
        }
    }
    let mean = dips.iter().map(|(dip, ..)| dip).sum::<f64>() / dips.len() as f64;
    dips.sort_by(|a, b| b.0.total_cmp(&a.0));
    let among = |policies: &[CachePolicy]| {
        let is = |policy: &CachePolicy| policies.contains(policy);
        dips.iter().find(|(_, _, from, to)| is(from) && is(to)).copied()
    };
    let row = |of: &str, value| {
        Row::new("cache.migration_dip", value, "points", Better::Lower).label("of", of).goal(0.3)
    };
    report(&row("mean", mean));
    // The worst are all changes to plain TinyLFU, which the optimizer has only on moka.
    for (of, worst) in [("most", among(&MODELLED)), ("most-of-candidates", among(&CANDIDATES))] {
        let Some((dip, name, from, to)) = worst else { continue };
        report(&row(of, dip).label("trace", name).label("change", &format!("{from}-to-{to}")));
    }
    let most = dips[0].0;
    assert!(mean <= 0.3, "{mean:.2} points, {most:.2} at the most");
}
