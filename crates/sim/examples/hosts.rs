//! Every policy on hosts made from a trace: `cargo run --release -p plimsoll-sim --example hosts -- [TRACE]`.
//! Without a trace it makes one up: an hour of conversations.

use std::path::Path;
use std::time::Duration;

use plimsoll_predict::{Predictor, PredictorConfig};
use plimsoll_sim::generate::Recipe;
use plimsoll_sim::serving::{
    Clairvoyant, Host, HostOptions, LruByBytes, LruByCount, Plimsoll, Policy, Scenario,
    ShortestKeepAlive,
};
use plimsoll_sim::trace::Trace;

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().collect();
    let trace = match args.get(1) {
        Some(path) => Trace::open(Path::new(path))?,
        None => Recipe::conversation().requests(Duration::from_hours(1), 1),
    };
    let get = |i: usize, d: f64| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(d);
    let options = HostOptions {
        seed: get(2, 0.0) as u64,
        models: get(3, 12.0) as usize,
        budget: get(4, 0.5),
        span: Duration::from_secs_f64(get(5, 24.0) * 3600.0),
        rate: get(6, 0.5),
        from: Duration::from_secs_f64(get(7, 0.0) * 3600.0),
        ..HostOptions::default()
    };
    let host = Host::of(&trace, &options);
    println!("{} jobs, limit {}", host.jobs.len(), host.config.limit);
    let limit = host.config.limit;
    let predictor = Predictor::new(PredictorConfig::default())?;
    let policies: Vec<(&str, Box<dyn Policy>)> = vec![
        ("plimsoll", Box::new(Plimsoll::new(limit, Some(predictor))?)),
        ("patient", {
            let mut plan = plimsoll_integration::PlanConfig::new(limit);
            plan.min_residence = Duration::from_secs_f64(get(8, 15.0));
            plan.patience = Duration::from_secs_f64(get(9, 5.0));
            plan.lookahead = Duration::from_secs_f64(get(10, 30.0));
            let predictor = Predictor::new(PredictorConfig::default())?;
            Box::new(Plimsoll::with_plan(plan, Some(predictor))?)
        }),
        ("no-predictor", Box::new(Plimsoll::new(limit, None::<Predictor>)?)),
        ("off", Box::new(LruByBytes)),
        ("lru-3", Box::new(LruByCount { count: 3 })),
        ("one", Box::new(LruByCount { count: 1 })),
        ("keep-alive", Box::new(ShortestKeepAlive::default())),
        ("clairvoyant", Box::new(Clairvoyant::new(host.engines.len(), &host.jobs))),
    ];
    for (name, mut policy) in policies {
        let scenario = Scenario::new(&host.engines, &host.jobs, host.config);
        let out = scenario.run(policy.as_mut())?;
        println!(
            "{name:14} warm {:.4} loads {:6} late {:.5} err {:.5} w50 {:.2} w99 {:.2} util {:.3} pressed {:?} ev {} events {}",
            out.warm_hit_rate(),
            out.loads,
            out.late_share(Duration::from_secs(10)),
            out.error_rate(),
            out.wait(0.5).as_secs_f64(),
            out.wait(0.99).as_secs_f64(),
            out.utilization().unwrap_or(0.0),
            out.pressed_utilization(&limit).map(|u| (u * 1000.0).round() / 1000.0),
            out.evictions,
            out.events,
        );
    }
    Ok(())
}
