//! Every policy on a pool for a trace: `cargo run --release -p plimsoll-sim --example pools -- [TRACE]`.
//! Without a trace it makes one up: an hour of conversations.

use std::path::Path;
use std::time::Duration;

use plimsoll_predict::{Predictor, PredictorConfig};
use plimsoll_sim::capacity::{
    Demand, Forecasting, ForecastingConfig, Oracle, PoolOutcome, PoolSpec, Reactive, StaticPeak,
    Vpa, Work, fixed_with_wait,
};
use plimsoll_sim::generate::Recipe;
use plimsoll_sim::trace::{Content, Trace};

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn show(name: &str, out: &PoolOutcome) {
    println!(
        "{name:14} util {:.4} late {:.5} err {:.5} loads {:5} dec {:5} w50 {:.2} w99 {:.2} waste {:.3e} {:?}",
        out.utilization(),
        out.late_share(),
        out.error_rate(),
        out.loads,
        out.decisions,
        out.wait(0.5).as_secs_f64(),
        out.wait(0.99).as_secs_f64(),
        out.waste(),
        out.notes,
    );
}

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let trace = match args.get(1) {
        Some(path) => Trace::open(Path::new(path))?,
        None => Recipe::conversation().requests(Duration::from_hours(1), 1),
    };
    let get = |i: usize, d: f64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(d);
    let work = if get(2, 0.0) > 0.0 { Work::Tokens } else { Work::Requests };
    let demand = Demand::of(&trace, work);
    let (from, part) = (get(3, 0.0), get(4, 1.0));
    let demand = demand.part(demand.span.mul_f64(from), demand.span.mul_f64(part));
    let mut spec = PoolSpec::of(&demand);
    if matches!(trace.content, Content::Rates { .. }) {
        spec.lead = Duration::from_mins(10);
        spec.control = Duration::from_mins(1);
    }
    println!("mean {:.3} unit {:.4} start {}", demand.mean(), spec.unit, spec.start);
    if get(6, 0.0) > 0.0 {
        spec.control = Duration::from_secs_f64(get(6, 0.0));
    }
    let steps = 86_400.0 / spec.control.as_secs_f64();
    let max_season = get(5, steps.min(1440.0)) as usize;
    if get(7, 0.0) > 0.0 {
        spec.wait = Duration::from_secs_f64(get(7, 0.0));
    }
    for line in args.get(8).into_iter().flat_map(|list| list.split('/')) {
        let numbers: Vec<f64> = line.split(',').filter_map(|n| n.parse().ok()).collect();
        let [level, margin, late, gain, wide] = numbers[..] else { continue };
        let config = PredictorConfig { max_season, ..PredictorConfig::default() };
        let how = ForecastingConfig { level, margin, late, gain, wide };
        let mut forecasting = Forecasting::with_config(&spec, Predictor::new(config)?, how)?;
        show(
            &format!("{level} {margin} {late} {gain} {wide}"),
            &spec.run(&demand, &mut forecasting)?,
        );
    }
    show("static-peak", &spec.run(&demand, &mut StaticPeak::new(spec.start))?);
    show("static-wait", &fixed_with_wait(&spec, &demand, 0.001)?);
    show("vpa", &spec.run(&demand, &mut Vpa::default())?);
    show("reactive", &spec.run(&demand, &mut Reactive::default())?);
    show("clairvoyant", &Oracle::best(&spec, &demand, 0.0)?);
    Ok(())
}
