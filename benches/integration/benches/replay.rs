//! How fast requests are replayed in virtual time: a million of them for forty models on one host.
//!
//! `plimsoll` is the policy of production, which forecasts every model four times a second of
//! virtual time; `no-forecast` leaves that out, and `lru-count` is the policy that keeps three
//! models. Making the requests up is not in it.

use std::time::{Duration, Instant};

use plimsoll_bench::{OWN, emit, size, wanted};
use plimsoll_core_types::{Better, Row};
use plimsoll_predict::{Predictor, PredictorConfig};
use plimsoll_sim::generate::Recipe;
use plimsoll_sim::serving::{Host, HostOptions, LruByCount, Plimsoll, Policy, Scenario};

const ROW: &str = "integration.replay";

/// Requests replayed per second.
#[expect(clippy::disallowed_methods, reason = "what is measured is the wall clock")]
fn speed(host: &Host, policy: &mut dyn Policy) -> f64 {
    let start = Instant::now();
    let scenario = Scenario::new(&host.engines, &host.jobs, host.config);
    let outcome = scenario.run(policy).expect("a host that fits itself");
    let known = outcome.served() + outcome.timed_out + outcome.failed + outcome.never_fit;
    assert_eq!(known, host.jobs.len(), "every request is accounted for");
    host.jobs.len() as f64 / start.elapsed().as_secs_f64()
}

fn main() {
    if !wanted(ROW) {
        return;
    }
    let requests = size(1_000_000_u32, 20_000);
    let span = Duration::from_secs(u64::from(requests) / 50);
    let trace = Recipe { rate: 60.0, ..Recipe::conversation() }.requests(span, 1);
    let options =
        HostOptions { models: 40, budget: 0.8, span, rate: 50.0, ..HostOptions::default() };
    let host = Host::of(&trace, &options);
    let limit = host.config.limit;
    let predictor = Predictor::new(PredictorConfig::default()).expect("defaults are in bounds");
    let own = Plimsoll::new(limit, Some(predictor)).expect("a limit");
    let blind = Plimsoll::new(limit, None::<Predictor>).expect("a limit");
    let mut policies: [(&str, Box<dyn Policy>); 3] = [
        (OWN, Box::new(own)),
        ("no-forecast", Box::new(blind)),
        ("lru-count", Box::new(LruByCount { count: 3 })),
    ];
    let speeds = policies.each_mut().map(|(name, policy)| (*name, speed(&host, policy.as_mut())));
    let row = Row::new(ROW, speeds[0].1, "requests/s", Better::Higher);
    let row = row.label("requests", &host.jobs.len().to_string()).goal(100_000.0);
    emit(&speeds[1..].iter().fold(row, |row, (name, speed)| row.peer(name, *speed)));
}
