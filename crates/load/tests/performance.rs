//! Counts that do not depend on the machine: allocations on the paths of requests.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{ReplicaId, SystemClock, Timestamp};
use plimsoll_load::alert::{AlertConfig, Alerts, Good, Objective};
use plimsoll_load::{
    Admission, AdmissionConfig, BackendConfig, BackendReport, Balancer, BalancerConfig, Sharing,
    Work,
};
use plimsoll_testkit::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn balancer(backends: u64, sharing: Sharing) -> Balancer {
    let balancer = Balancer::new(BalancerConfig { sharing, ..BalancerConfig::default() });
    for number in 0..backends {
        let config = BackendConfig { slots: 4, ..BackendConfig::default() };
        assert!(balancer.add(ReplicaId::new(number), config));
    }
    balancer
}

#[test]
fn a_lease_and_a_pick_and_a_write_allocate_nothing() {
    for (backends, sharing) in
        [(8, Sharing::Sole), (64, Sharing::Sole), (1024, Sharing::Sole), (64, Sharing::Shared)]
    {
        let balancer = balancer(backends, sharing);
        let sized = Work::expecting(Duration::from_millis(3))
            .cached_on(ReplicaId::new(3), Duration::from_millis(1));
        let round = |steps: std::ops::Range<u64>| {
            for step in steps {
                let now = Timestamp::from_nanos(step * 100_000);
                let first = balancer.dispatch(&Work::default(), now).expect("all are open");
                let second = balancer.dispatch(&sized, now).expect("all are open");
                black_box(balancer.best());
                let report = BackendReport { in_progress: Some(3), ..BackendReport::default() };
                balancer.report(ReplicaId::new(step % backends), &report, now);
                first.succeed(now);
                drop(second);
            }
        };
        // Until every backend was looked at once.
        round(0..8_000);
        let count = allocations(|| round(8_000..16_000));
        assert_eq!(count, 0, "at {backends} backends");
    }
}

#[test]
fn a_permit_allocates_nothing() {
    let admission = Admission::new(AdmissionConfig::default(), Arc::new(SystemClock::new()));
    let count = allocations(|| {
        for _ in 0..1000 {
            drop(black_box(admission.try_admit()));
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn an_observed_request_allocates_nothing() {
    let objective = Objective {
        subject: "api".to_owned(),
        good: Good::Answered,
        target: plimsoll_core_types::Ratio::saturating(0.999),
    };
    let config = AlertConfig { objectives: vec![objective], ..AlertConfig::default() };
    let alerts = Alerts::new(&config, Vec::new()).unwrap();
    let count = allocations(|| {
        for _ in 0..1000 {
            alerts.record(Duration::from_millis(1), true);
        }
    });
    assert_eq!(count, 0);
}
