//! Backends that fail.

use plimsoll_core_types::{Better, Row};
use plimsoll_load::scenario::{Failure, FailureOutcome, FailureScenario};
use plimsoll_testkit::report;

#[test]
fn no_request_is_lost_and_nobody_who_is_out_is_sent_more_than_its_probes() {
    for failure in Failure::ALL {
        let mut worst = FailureOutcome::default();
        for seed in 1..=3 {
            let seconds = plimsoll_testkit::scale(300) as f64;
            let scenario = FailureScenario { seed, seconds, ..FailureScenario::default() };
            let outcome = scenario.run(failure);
            assert!(outcome.requests > 500, "{failure:?}: {outcome:?}");
            assert_eq!((outcome.leaked, outcome.misdirected), (0, 0), "{failure:?}: {outcome:?}");
            worst.lost = worst.lost.max(outcome.lost);
            worst.attempts = worst.attempts.max(outcome.attempts);
            worst.latency_p99 = worst.latency_p99.max(outcome.latency_p99);
        }
        println!("{failure:?}: {worst:?}");
        let row = Row::new("load.lost_requests", worst.lost as f64, "requests", Better::Lower);
        report(&row.label("scenario", failure.name()).goal(0.0));
        assert_eq!(worst.lost, 0, "{failure:?}: {worst:?}");
        assert!(worst.attempts < 1.5, "{failure:?}: {worst:?}");
    }
}
