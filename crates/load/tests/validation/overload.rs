//! Overload, beside limits that follow latency.

use plimsoll_core_types::{Better, Row};
use plimsoll_load::scenario::{Limiter, OverloadOutcome, OverloadScenario, Retry, Slowdown};
use plimsoll_testkit::report;

/// Means over three seeds.
fn overload(scenario: &OverloadScenario, limiter: Limiter) -> OverloadOutcome {
    let mut mean = OverloadOutcome::default();
    for seed in 1..=3 {
        let seconds = plimsoll_testkit::scale(300) as f64;
        let outcome = OverloadScenario { seed, seconds, ..*scenario }.run(limiter);
        mean.goodput += outcome.goodput / 3.0;
        mean.wait_p50 += outcome.wait_p50 / 3.0;
        mean.bound = outcome.bound;
    }
    mean
}

const FACTORS: [f64; 6] = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0];
const LIMITERS: [Limiter; 4] =
    [Limiter::Gradient2, Limiter::Vegas, Limiter::Aimd, Limiter::HandTuned];

/// Ours, in the report beside the others and beside what is possible.
fn reported(name: &str, scenario: &OverloadScenario, goal: f64) -> OverloadOutcome {
    let ours = overload(scenario, Limiter::Plimsoll);
    let mut row = Row::new(name, ours.goodput, "share of capacity", Better::Higher)
        .label("factor", &scenario.factor.to_string())
        .goal(goal)
        .peer("bound", ours.bound);
    if scenario.retry == Retry::Always {
        row = row.label("clients", "insist");
    }
    for other in LIMITERS {
        row = row.peer(other.name(), overload(scenario, other).goodput);
    }
    report(&row);
    ours
}

#[test]
fn overload_is_served_at_capacity_without_tuning() {
    for factor in FACTORS {
        let scenario = OverloadScenario { factor, ..OverloadScenario::default() };
        let ours = reported("load.overload_goodput", &scenario, 0.97);
        assert!(ours.goodput >= 0.97, "{factor}: {ours:?}");
        assert!(ours.wait_p50 <= 0.1, "{factor}: {ours:?}");
        for other in [Limiter::Gradient2, Limiter::Vegas, Limiter::Aimd] {
            let other = overload(&scenario, other);
            assert!(other.goodput < ours.goodput, "{factor}: {other:?}");
        }
    }
}

#[test]
fn refusals_that_cost_and_clients_that_come_back_do_not_break_it() {
    let costly = OverloadScenario { reject_cost: 0.005, ..OverloadScenario::default() };
    for factor in FACTORS {
        let scenario = OverloadScenario { factor, retry: Retry::WithinPatience, ..costly };
        let ours = reported("load.overload_goodput_with_retries", &scenario, 0.95);
        assert!(ours.goodput >= 0.95 && ours.wait_p50 <= 0.1, "{factor}: {ours:?}");
    }
}

/// Clients that come back three times whatever they are told cost more than 5% of the server from
/// 3.4 times its capacity on, whoever refuses them: where the bound is below 95%, it is the goal.
#[test]
fn clients_that_insist_leave_what_refusing_them_leaves() {
    let costly = OverloadScenario { reject_cost: 0.005, ..OverloadScenario::default() };
    for factor in FACTORS {
        let scenario = OverloadScenario { factor, retry: Retry::Always, ..costly };
        let bound = scenario.bound();
        // Who is refused can't be chosen so well that nothing is lost beside the bound.
        let goal = if bound < 0.95 { bound * 0.99 } else { 0.95 };
        let ours = reported("load.overload_goodput_with_retries", &scenario, 0.95);
        assert!(ours.goodput >= goal.max(bound - 0.02), "{factor}: {ours:?}");
    }
}

/// Three times overloaded, for long enough to measure how the server serves.
fn with_slowdown(slots: usize, slowdown: Slowdown, limiter: Limiter) -> OverloadOutcome {
    let seconds = plimsoll_testkit::scale(4000) as f64;
    let base = OverloadScenario { factor: 3.0, slots, slowdown, ..OverloadScenario::default() };
    let mut mean = OverloadOutcome::default();
    for seed in 1..=3 {
        let outcome = OverloadScenario { seed, seconds, ..base }.run(limiter);
        mean.goodput += outcome.goodput / 3.0;
        mean.wait_p50 += outcome.wait_p50 / 3.0;
    }
    mean
}

/// Permits for four times what a memory-bound server works on at full speed. A limit that stays
/// lets it thrash; the gradient finds the knee, and serves more than what follows latency as such.
#[test]
fn a_gradient_on_slowness_serves_more_where_concurrency_slows_the_server() {
    let slowdown = Slowdown { knee: 16, power: 2.0 };
    let run = |limiter| with_slowdown(64, slowdown, limiter);
    let (floor, ours) = (run(Limiter::Plimsoll), run(Limiter::PlimsollGradient));
    let mut row =
        Row::new("load.overload_goodput", ours.goodput, "share of capacity", Better::Higher)
            .label("factor", "3")
            .label("server", "memory-bound")
            .peer("plimsoll-without-gradient", floor.goodput);
    for other in LIMITERS {
        row = row.peer(other.name(), run(other).goodput);
    }
    report(&row);
    println!("{row:?}");
    assert!(ours.goodput >= 0.8 && ours.goodput > 2.0 * floor.goodput, "{floor:?} {ours:?}");
}

/// Where slowness does not grow with concurrency the floor stays: looks at fewer permits cost less
/// than 1%. Nor where it grows so that nothing is gained or lost.
#[test]
fn a_gradient_on_slowness_takes_nothing_from_the_floor() {
    let none = Slowdown::default();
    let shares = Slowdown { knee: 16, power: 1.0 };
    for (slots, slowdown) in [(16, none), (64, none), (64, shares)] {
        let floor = with_slowdown(slots, slowdown, Limiter::Plimsoll);
        let ours = with_slowdown(slots, slowdown, Limiter::PlimsollGradient);
        println!("{slots} {slowdown:?}: {floor:?} {ours:?}");
        assert!(ours.goodput >= floor.goodput - 0.01, "{slots} {slowdown:?}: {floor:?} {ours:?}");
    }
}
