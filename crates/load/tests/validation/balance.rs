//! Balancing, beside the reference that knows everything.

use plimsoll_core_types::{Better, Row};
use plimsoll_load::scenario::{BalanceOutcome, BalanceScenario, Contender};
use plimsoll_testkit::report;

/// Means over three seeds.
fn run(scenario: &BalanceScenario, contender: Contender) -> BalanceOutcome {
    let mut mean = BalanceOutcome::default();
    for seed in 1..=3 {
        let requests = plimsoll_testkit::scale(scenario.requests);
        let outcome = BalanceScenario { seed, requests, ..*scenario }.run(contender);
        mean.slowdown_p99 += outcome.slowdown_p99 / 3.0;
        mean.wait_p99 += outcome.wait_p99 / 3.0;
        mean.unstable |= outcome.unstable;
    }
    mean
}

fn at(load: f64, balancers: usize) -> BalanceScenario {
    BalanceScenario { load, balancers, requests: 20_000, ..BalanceScenario::default() }
}

/// Slowdown beside the clairvoyant's, which goes into the report whether it reaches `goal` or not.
fn ratio(load: f64, goal: f64) -> f64 {
    // Fewer requests leave the 99th percentile to chance.
    let scenario = BalanceScenario { requests: 100_000, ..at(load, 1) };
    let ours = run(&scenario, Contender::PredictedCompletion);
    let ratio = ours.slowdown_p99 / run(&scenario, Contender::Clairvoyant).slowdown_p99;
    let row = Row::new("load.slowdown_p99_ratio", ratio, "ratio", Better::Lower)
        .label("load", &load.to_string())
        .label("balancers", "1")
        .label("policy", "predicted-completion");
    report(&row.goal(goal).peer("clairvoyant", 1.0));
    ratio
}

#[test]
fn slowdown_at_85_percent_is_near_that_of_the_clairvoyant() {
    let ratio = ratio(0.85, 1.10);
    assert!(ratio <= 1.10, "{ratio}");
}

#[test]
fn slowdown_at_95_percent_is_near_that_of_the_clairvoyant() {
    let ratio = ratio(0.95, 1.35);
    assert!(ratio <= 1.35, "{ratio}");
}

#[test]
fn predicted_completion_beats_policies_that_do_not_predict() {
    let scenario = at(0.85, 1);
    let ours = run(&scenario, Contender::PredictedCompletion);
    for other in [Contender::LeastRequest, Contender::PeakEwma, Contender::Prequal] {
        let other = run(&scenario, other);
        assert!(ours.slowdown_p99 < other.slowdown_p99, "{ours:?} {other:?}");
    }
    assert!(run(&scenario, Contender::RoundRobin).unstable);
    assert!(!ours.unstable);
}

/// The goal is a wait of 1.0 at the 99th percentile, which is missed: about 1.2 where requests wait at
/// backends, and 1.05 where each balancer holds what exceeds the slots that it believes to be free.
/// The shortest queue waits about as long, and has the worse slowdown, as it does not know who is
/// slow.
#[test]
fn balancers_that_share_backends_with_stale_signals_stay_stable() {
    let scenario = at(0.85, 8);
    let ours = run(&scenario, Contender::PredictedCompletion);
    let late = run(&scenario, Contender::PredictedCompletionLate);
    let shortest = run(&scenario, Contender::ShortestQueue);
    let prequal = run(&scenario, Contender::Prequal);
    let clairvoyant = run(&scenario, Contender::Clairvoyant);
    for (binding, outcome) in [("early", &ours), ("late", &late)] {
        let row = Row::new("load.wait_p99_stale", outcome.wait_p99, "services", Better::Lower)
            .label("binding", binding)
            .goal(1.0)
            .peer("shortest-queue", shortest.wait_p99)
            .peer("prequal", prequal.wait_p99);
        report(&row.peer("clairvoyant", clairvoyant.wait_p99));
    }
    assert!(!ours.unstable && ours.wait_p99 <= 1.35, "{ours:?}");
    assert!(!late.unstable && late.wait_p99 < ours.wait_p99, "{late:?} {ours:?}");
    assert!(ours.wait_p99 < prequal.wait_p99, "{ours:?} {prequal:?}");
    assert!(ours.slowdown_p99 < shortest.slowdown_p99, "{ours:?} {shortest:?}");
}

#[test]
fn a_run_replays_by_its_seed() {
    let scenario = BalanceScenario { requests: 3_000, balancers: 3, ..BalanceScenario::default() };
    let run = |seed| BalanceScenario { seed, ..scenario }.run(Contender::PredictedCompletion);
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
