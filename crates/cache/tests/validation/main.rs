//! What the optimizer is held to on recorded traces.
//!
//! By default the small traces, so that a debug run takes seconds; `PLIMSOLL_SCALE=10` adds more.
//! The table of all is made by the example `regret`.

mod analysis;
mod prefixes;
mod residency;

use plimsoll_cache::adapt::Switch;
use plimsoll_cache::policy::{MODELLED, simulate};
use plimsoll_cache::replay::{Engine, Trace, adapt};
use plimsoll_core_types::{Better, Reason, Row};
use plimsoll_testkit::{report, scale, skip, trace};

const SMALL: [&str; 4] = ["lirs_gli", "lirs_multi1", "lirs_multi2", "lirs_2_pools"];
const MORE: [&str; 6] = [
    "lirs_sprite",
    "cache2k_web07",
    "cache2k_web12",
    "adaptsize_request",
    "corda_vaultservice",
    "lirs_loop",
];

fn load(test: &str, name: &str) -> Option<Trace> {
    let path = trace(test, &format!("cache/{name}.u32.zst"))?;
    let bytes = zstd::decode_all(std::fs::File::open(path).ok()?).ok()?;
    let keys = bytes.as_chunks::<4>().0.iter().map(|key| u64::from(u32::from_le_bytes(*key)));
    Trace::new(keys, None).ok()
}

struct Cell {
    capacity: u64,
    best: f64,
    adaptive: f64,
    switches: Vec<Switch>,
}

fn cell(trace: &Trace, capacity: u64) -> Cell {
    let fixed = MODELLED.iter().map(|policy| simulate(*policy, capacity, trace.accesses()));
    let best = fixed.map(|outcome| outcome.hit_ratio().get()).fold(0.0, f64::max) * 100.0;
    let (outcome, cache) = adapt(trace, capacity, Engine::Exact);
    let adaptive = outcome.hit_ratio().get() * 100.0;
    Cell { capacity, best, adaptive, switches: cache.switches().to_vec() }
}

fn cells(trace: &Trace) -> Vec<Cell> {
    let capacity = |share: &f64| (trace.unique_keys() as f64 * share).round() as u64;
    let shares = [0.001, 0.01, 0.05, 0.1, 0.3];
    let large = shares.iter().map(capacity).filter(|capacity| *capacity >= 64);
    large.map(|capacity| cell(trace, capacity)).collect()
}

#[test]
fn online_regret_stays_below_half_a_point_on_average() {
    let more: &[&str] = if scale(1) >= 10 { &MORE } else { &[] };
    let mut regrets = Vec::new();
    for name in SMALL.iter().chain(more) {
        let Some(trace) = load("online_regret", name) else { continue };
        for cell in cells(&trace) {
            let regret = cell.best - cell.adaptive;
            assert!(regret < 2.0, "{name}: {:.2} of {:.2}", cell.adaptive, cell.best);
            let capacity = cell.capacity.to_string();
            let row = |policy: &str, hits: f64| {
                Row::new("cache.hit_ratio", hits / 100.0, "ratio", Better::Higher)
                    .label("trace", name)
                    .label("capacity", &capacity)
                    .label("policy", policy)
            };
            report(&row("adaptive", cell.adaptive).peer("best-fixed", cell.best / 100.0));
            regrets.push(regret);
        }
    }
    if regrets.is_empty() {
        return;
    }
    let mean = regrets.iter().sum::<f64>() / regrets.len() as f64;
    let most = regrets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let row = |name, value, goal| Row::new(name, value, "points", Better::Lower).goal(goal);
    report(&row("cache.regret_mean", mean, 0.5));
    report(&row("cache.regret_max", most, 1.0));
    assert!(mean <= 0.5, "{mean:.3} points over {} cells", regrets.len());
}

#[test]
fn recency_then_a_loop_then_recency_is_served_better_than_by_any_fixed_policy() {
    let test = "recency_loop_recency";
    let (Some(corda), Some(round)) = (load(test, "corda_vaultservice"), load(test, "lirs_loop"))
    else {
        return;
    };
    if scale(1) < 10 && cfg!(debug_assertions) {
        skip(test, "740,000 accesses to eight policies; set PLIMSOLL_SCALE=10");
        return;
    }
    let trace = corda.clone().then(&round.with_other_keys()).then(&corda);
    let cell = cell(&trace, (trace.unique_keys() as f64 * 0.01).round() as u64);
    assert!(cell.adaptive > cell.best, "{:.2} against {:.2}", cell.adaptive, cell.best);
}

#[test]
fn a_change_that_did_harm_is_undone_and_says_so() {
    for name in SMALL {
        let Some(trace) = load("harm_is_undone", name) else { continue };
        for cell in cells(&trace) {
            for pair in cell.switches.windows(2) {
                if matches!(pair[1].reason, Reason::Worse { with, without, .. } if with < without) {
                    assert_eq!(pair[1].to, pair[0].from, "back to where it came from");
                }
            }
        }
    }
}
