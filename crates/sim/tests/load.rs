//! A million requests, each of which is accounted for.

use std::time::Duration;

use plimsoll_predict::{Predictor, PredictorConfig};
use plimsoll_sim::generate::Recipe;
use plimsoll_sim::serving::{Host, HostOptions, LruByCount, Plimsoll, Policy, Scenario};
use plimsoll_testkit::scale;

/// At ten times the scale a million; a tenth of that by default.
#[test]
fn every_request_of_a_large_trace_is_accounted_for() {
    let wanted = scale(100_000).min(1_000_000);
    let span = Duration::from_secs(wanted as u64 / 50);
    let trace = Recipe { rate: 60.0, ..Recipe::conversation() }.requests(span, 1);
    let host = Host::of(
        &trace,
        &HostOptions { models: 40, budget: 0.8, span, rate: 50.0, ..HostOptions::default() },
    );
    assert!(host.jobs.len() > wanted / 2, "{} requests", host.jobs.len());
    let predictor = Predictor::new(PredictorConfig::default()).unwrap();
    let mut own = Plimsoll::new(host.config.limit, Some(predictor)).unwrap();
    for policy in [&mut own as &mut dyn Policy, &mut LruByCount { count: 3 }] {
        let scenario = Scenario::new(&host.engines, &host.jobs, host.config);
        let out = scenario.run(policy).unwrap();
        let known = out.served() + out.timed_out + out.failed + out.never_fit;
        assert_eq!((out.requests, known), (host.jobs.len(), host.jobs.len()));
        assert_eq!(out.waits.len(), out.served());
    }
}
