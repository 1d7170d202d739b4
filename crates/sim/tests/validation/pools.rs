//! Pools of like replicas over time: how well they are used, what they save against the static peak,
//! and who is late or lost.

use std::time::Duration;

use plimsoll_core_types::{Better, Row};
use plimsoll_sim::capacity::{
    Demand, Forecasting, ForecastingConfig, Oracle, PoolOutcome, PoolSpec, Reactive, StaticPeak,
    Vpa, Work,
};
use plimsoll_sim::generate::Recipe;
use plimsoll_sim::replay::predictor;
use plimsoll_sim::trace::Trace;

use super::{judge, open};

fn own(spec: &PoolSpec, demand: &Demand) -> PoolOutcome {
    let mut sizer = Forecasting::new(spec, predictor(spec.control).unwrap()).unwrap();
    spec.run(demand, &mut sizer).unwrap()
}

/// The pool of production beside the others; reports utilization, waste and errors.
fn pool(name: &str, trace: &Trace, goal: f64) -> (PoolOutcome, f64) {
    let demand = Demand::of(trace, Work::Requests);
    let spec = PoolSpec::for_trace(trace, &demand);
    let own = own(&spec, &demand);
    let peak = spec.run(&demand, &mut StaticPeak::new(spec.start)).unwrap();
    let vpa = spec.run(&demand, &mut Vpa::default()).unwrap();
    let reactive = spec.run(&demand, &mut Reactive::default()).unwrap();
    // Rates are long, and the length of a stretch matters little there; one plan does.
    let oracle = if trace.requests().is_some() {
        Oracle::best(&spec, &demand, 0.0).unwrap()
    } else {
        spec.run(&demand, &mut Oracle::plan(&spec, &demand, spec.control * 6)).unwrap()
    };
    let all =
        [("static-peak", &peak), ("vpa", &vpa), ("reactive", &reactive), ("clairvoyant", &oracle)];
    let saved = |outcome: &PoolOutcome| 1.0 - outcome.waste() / peak.waste();
    let row = |name_: &str, better, figure: &dyn Fn(&PoolOutcome) -> f64, goal| {
        let row = Row::new(name_, figure(&own), "ratio", better).label("trace", name).goal(goal);
        let peers = all.iter().fold(row, |row, (peer, outcome)| row.peer(peer, figure(outcome)));
        judge(&peers);
    };
    row("target.utilization", Better::Higher, &PoolOutcome::utilization, goal);
    row("target.waste_reduction", Better::Higher, &saved, 0.4);
    row("target.error_rate", Better::Lower, &PoolOutcome::error_rate, 0.001);
    row("target.late_share", Better::Lower, &PoolOutcome::late_share, 0.001);
    let reduction = saved(&own);
    (own, reduction)
}

/// In-sample: the policy's defaults were chosen with this trace in view.
#[test]
fn mooncake_is_served_by_a_pool_that_is_well_used() {
    let Some(trace) = open("serving/mooncake_conversation_lengths.csv.gz") else { return };
    let (outcome, reduction) = pool("mooncake", &trace, 0.85);
    assert!(outcome.utilization() >= 0.85, "{}", outcome.utilization());
    assert!(outcome.late_share() <= 0.001, "{}", outcome.late_share());
    assert!(reduction >= 0.4 && outcome.error_rate() < 0.001);
}

/// What the same forecasts are worth in hindsight: the best constant margin of those that are late no
/// more often than allowed. None where no margin is enough.
fn margin_in_hindsight(spec: &PoolSpec, demand: &Demand) -> Option<f64> {
    let (mut low, mut high, mut best) = (0.0, 12.0, None);
    for _ in 0..6 {
        let margin = f64::midpoint(low, high);
        let doubling = Duration::MAX;
        let config =
            ForecastingConfig { margin, doubling, gain: 0.0, ..ForecastingConfig::default() };
        let predictor = predictor(spec.control).unwrap();
        let mut sizer = Forecasting::with_config(spec, predictor, config).unwrap();
        let outcome = spec.run(demand, &mut sizer).unwrap();
        if outcome.late_share() <= 0.001 {
            (high, best) = (margin, Some(outcome.utilization()));
        } else {
            low = margin;
        }
    }
    best
}

/// Each half by itself leaves less to learn from; its figures are written down, met or not.
fn halves(name: &str, trace: &Trace, goal: f64) -> Vec<PoolOutcome> {
    let whole = Demand::of(trace, Work::Requests);
    let half = whole.span / 2;
    let run = |(part, from)| {
        let name = format!("{name}-{part}-half");
        let demand = whole.part(from, half);
        let spec = PoolSpec::for_trace(trace, &demand);
        let outcome = own(&spec, &demand);
        let oracle = Oracle::best(&spec, &demand, 0.0).unwrap().utilization();
        let row = Row::new("target.utilization", outcome.utilization(), "ratio", Better::Higher);
        let row = row.label("trace", &name).goal(goal).peer("clairvoyant", oracle);
        let hindsight = margin_in_hindsight(&spec, &demand);
        judge(&hindsight.into_iter().fold(row, |row, used| row.peer("margin-in-hindsight", used)));
        let row = |name_: &str, value| Row::new(name_, value, "ratio", Better::Lower).goal(0.001);
        judge(&row("target.late_share", outcome.late_share()).label("trace", &name));
        judge(&row("target.error_rate", outcome.error_rate()).label("trace", &name));
        outcome
    };
    [("first", Duration::ZERO), ("second", half)].into_iter().map(run).collect()
}

#[test]
fn halves_of_mooncake_are_written_down_as_they_are() {
    let Some(trace) = open("serving/mooncake_conversation_lengths.csv.gz") else { return };
    for outcome in halves("mooncake", &trace, 0.85) {
        assert!(outcome.error_rate() < 0.001);
    }
}

#[test]
fn halves_of_services_are_written_down_as_they_are() {
    for name in ["m-large", "m-small", "deepseek-r1"] {
        let relative = format!("serving/servegen_{name}_client_rates.csv.gz");
        let Some(trace) = open(&relative) else { return };
        for outcome in halves(&format!("servegen-{name}"), &trace, 0.8) {
            assert!(outcome.utilization() > 0.3);
        }
    }
}

#[test]
fn the_code_trace_is_told_to_be_beyond_forecasting() {
    let Some(trace) = open("serving/azure_llm_2023_code.csv.gz") else { return };
    let (outcome, _) = pool("azure-code", &trace, 0.8);
    assert!(outcome.notes.iter().any(|n| n.starts_with("not forecastable")), "{:?}", outcome.notes);
    assert!(outcome.error_rate() < 0.001);
}

#[test]
fn a_large_service_wastes_far_less_than_its_peak() {
    let Some(trace) = open("serving/servegen_m-large_client_rates.csv.gz") else { return };
    let (outcome, reduction) = pool("servegen-m-large", &trace, 0.8);
    assert!(reduction >= 0.4, "{reduction}");
    assert!(outcome.error_rate() < 0.001, "{}", outcome.error_rate());
}

#[test]
fn the_other_services_waste_far_less_than_their_peaks_too() {
    for name in ["m-small", "deepseek-r1"] {
        let relative = format!("serving/servegen_{name}_client_rates.csv.gz");
        let Some(trace) = open(&relative) else { return };
        let (outcome, reduction) = pool(&format!("servegen-{name}"), &trace, 0.8);
        assert!(outcome.utilization() > 0.3);
        assert!(reduction >= 0.4, "{name}: {reduction}");
        assert!(outcome.error_rate() < 0.001, "{name}: {}", outcome.error_rate());
    }
}

/// Made-up conversations that nothing was tuned on; what is missed there is written down as missed.
#[test]
fn made_up_conversations_are_written_down_as_they_are() {
    let outcome = made_up("generated-conversation", Recipe::conversation());
    assert!(outcome.late < 0.001, "{outcome:?}");
}

/// The same, with more swing than any public trace of their kind: some are late, and nobody is lost.
#[test]
fn restless_conversations_are_written_down_as_they_are() {
    made_up("generated-restless", Recipe::restless_conversation());
}

#[derive(Debug, Default)]
struct Means {
    used: f64,
    late: f64,
    failed: f64,
    oracle: f64,
}

/// Means over eight draws of an hour, reported; nobody may be lost in them.
fn made_up(name: &str, recipe: Recipe) -> Means {
    let mut means = Means::default();
    for seed in 100..108 {
        let trace = recipe.requests(Duration::from_hours(1), seed);
        let demand = Demand::of(&trace, Work::Requests);
        let spec = PoolSpec::for_trace(&trace, &demand);
        let outcome = own(&spec, &demand);
        means.used += outcome.utilization() / 8.0;
        means.late += outcome.late_share() / 8.0;
        means.failed += outcome.error_rate() / 8.0;
        means.oracle += Oracle::best(&spec, &demand, 0.0).unwrap().utilization() / 8.0;
    }
    let label = |row: Row| row.label("trace", name);
    let row = Row::new("target.utilization", means.used, "ratio", Better::Higher).goal(0.85);
    judge(&label(row.peer("clairvoyant", means.oracle)));
    let row = |name: &str, value| Row::new(name, value, "ratio", Better::Lower).goal(0.001);
    judge(&label(row("target.late_share", means.late)));
    judge(&label(row("target.error_rate", means.failed)));
    assert!(means.failed < 0.001, "{means:?}");
    means
}
