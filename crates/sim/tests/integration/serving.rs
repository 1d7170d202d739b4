//! Runs whose outcome can be worked out by hand.

use std::time::Duration;

use plimsoll_core_types::{Bytes, ModelId, ResourceVector, Timestamp};
use plimsoll_sim::serving::{
    Command, Happening, LruByCount, ModelSpec, ModelView, Policy, Request, RunError, ServingConfig,
    run,
};

fn mem(mib: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_mib(mib))
}

fn model(name: &str, mib: u64) -> ModelSpec {
    let id = ModelId::new(name).unwrap();
    ModelSpec { id, amount: mem(mib), load_time: Duration::from_secs(1), slots: 1 }
}

fn request(at: f64, model: usize) -> Request {
    let at = Timestamp::from_secs_f64(at);
    Request { at, model, service: Duration::from_millis(100) }
}

fn config() -> ServingConfig {
    let (within, tick) = (Duration::from_secs(10), Duration::from_millis(100));
    ServingConfig { limit: mem(100), within, tick }
}

fn millis(latencies: &[Duration]) -> Vec<u128> {
    latencies.iter().map(Duration::as_millis).collect()
}

#[test]
fn the_first_request_loads_and_the_next_is_warm() {
    let requests = [request(0.0, 0), request(2.0, 0)];
    let outcome =
        run(&[model("a", 60)], &requests, &mut LruByCount { count: 3 }, &config()).unwrap();
    assert_eq!((outcome.cold, outcome.warm, outcome.loads, outcome.evictions), (1, 1, 1, 0));
    assert_eq!(millis(&outcome.latencies), [100, 1100]);
    assert_eq!(outcome.peak_promised, mem(60));
    assert_eq!(outcome.warm_hit_rate(), 0.5);
}

#[test]
fn one_model_at_a_time_thrashes_where_two_would_fit() {
    let models = [model("a", 40), model("b", 40)];
    let requests: Vec<_> =
        (0..6).map(|i| request(f64::from(i) * 2.0, usize::try_from(i % 2).unwrap())).collect();
    let one = run(&models, &requests, &mut LruByCount { count: 1 }, &config()).unwrap();
    let two = run(&models, &requests, &mut LruByCount { count: 2 }, &config()).unwrap();
    assert_eq!((one.loads, one.evictions, one.warm), (6, 5, 0));
    assert_eq!((two.loads, two.evictions, two.warm), (2, 0, 4));
}

#[test]
fn the_least_recently_used_gives_way_and_busy_ones_end_what_they_began() {
    let models = [model("a", 60), model("b", 40), model("c", 50)];
    let requests = [request(0.0, 0), request(2.0, 1), request(4.0, 0), request(4.05, 2)];
    let outcome = run(&models, &requests, &mut LruByCount { count: 3 }, &config()).unwrap();
    // Evicting the idle b leaves 40 of the 50 that c needs, so a has to end, and go too.
    assert_eq!((outcome.loads, outcome.evictions), (3, 2));
    assert_eq!(outcome.latencies.last().unwrap().as_millis(), 1150);
}

#[test]
fn what_can_never_fit_and_what_waits_too_long_is_counted() {
    let models = [model("huge", 101), model("a", 60), model("b", 60)];
    let mut requests = vec![request(0.0, 0), request(0.1, 1)];
    let busy = Request { service: Duration::from_secs(30), ..request(0.2, 1) };
    requests.extend([busy, request(0.5, 2)]);
    let outcome = run(&models, &requests, &mut LruByCount { count: 3 }, &config()).unwrap();
    assert_eq!((outcome.never_fit, outcome.timed_out, outcome.cold), (1, 1, 2));
}

#[test]
fn a_policy_that_passes_the_limit_is_stopped() {
    struct Greedy;
    impl Policy for Greedy {
        fn decide(
            &mut self,
            what: Happening,
            _: &[ModelView],
            _: &ResourceVector,
            _: Timestamp,
        ) -> Vec<Command> {
            match what {
                Happening::Arrived(model) => vec![Command::Load(model)],
                _ => Vec::new(),
            }
        }
    }
    let models = [model("a", 60), model("b", 60)];
    let error = run(&models, &[request(0.0, 0), request(0.1, 1)], &mut Greedy, &config());
    assert!(matches!(error, Err(RunError::PastTheLimit { .. })));
    let error = run(&models, &[request(0.0, 2)], &mut Greedy, &config()).unwrap_err();
    assert_eq!(error.to_string(), "request 0 is for model 2; there are 2");
}
