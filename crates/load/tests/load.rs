//! Many requests at once, through admission and balancer together, on real threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plimsoll_core_types::{Clock as _, Priority, ReplicaId, SystemClock, TenantId};
use plimsoll_load::{
    Admission, AdmissionConfig, BackendConfig, Balancer, BalancerConfig, Binding, Demand, Work,
};

const BACKENDS: u64 = 6;
const SLOTS: usize = 3;

/// What became of requests.
#[derive(Default)]
struct Tally {
    served: AtomicUsize,
    refused: AtomicUsize,
    /// At each backend now.
    inside: [AtomicUsize; BACKENDS as usize],
}

async fn request(
    number: usize,
    admission: &Admission,
    balancer: &Balancer,
    clock: &SystemClock,
    tally: &Tally,
) {
    let priority = [Priority::Low, Priority::Normal, Priority::High][number % 3];
    let tenant = TenantId::new(&format!("t{}", number % 5)).unwrap();
    let deadline = number.is_multiple_of(4).then(|| clock.now() + Duration::from_secs(20));
    let Ok(_permit) = admission.admit_for(Demand { priority, tenant, deadline }).await else {
        tally.refused.fetch_add(1, Ordering::Relaxed);
        return;
    };
    // A permit for each slot: whoever has one finds one.
    let dispatch = balancer.dispatch(&Work::default(), clock.now()).expect("a slot is free");
    let inside = &tally.inside[dispatch.replica().get() as usize];
    assert!(inside.fetch_add(1, Ordering::SeqCst) < SLOTS, "a backend has more than its slots");
    for _ in 0..number % 3 {
        tokio::task::yield_now().await;
    }
    inside.fetch_sub(1, Ordering::SeqCst);
    match number % 50 {
        0 => drop(dispatch),
        _ => dispatch.succeed(clock.now()),
    }
    tally.served.fetch_add(1, Ordering::Relaxed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_served_or_refused_and_no_slot_is_taken_twice() {
    let config = BalancerConfig { binding: Binding::Late, ..BalancerConfig::default() };
    let balancer = Arc::new(Balancer::new(config));
    for number in 0..BACKENDS {
        let backend = BackendConfig { slots: SLOTS, ..BackendConfig::default() };
        balancer.add(ReplicaId::new(number), backend);
    }
    let config = AdmissionConfig {
        limit: BACKENDS as usize * SLOTS,
        max_waiting: 150,
        ..AdmissionConfig::default()
    };
    let clock = Arc::new(SystemClock::new());
    let admission = Arc::new(Admission::new(config, Arc::clone(&clock) as _));
    let tally = Arc::new(Tally::default());
    let (tasks, each) = (200, plimsoll_testkit::scale(100));
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let (admission, balancer) = (Arc::clone(&admission), Arc::clone(&balancer));
            let (clock, tally) = (Arc::clone(&clock), Arc::clone(&tally));
            tokio::spawn(async move {
                for number in 0..each {
                    request(task + number * 7, &admission, &balancer, &clock, &tally).await;
                }
            })
        })
        .collect();
    for task in running {
        task.await.unwrap();
    }
    let (served, refused) =
        (tally.served.load(Ordering::Relaxed), tally.refused.load(Ordering::Relaxed));
    assert_eq!(served + refused, tasks * each);
    // There is no room for all tasks at once, so both happen.
    assert!(served > tasks && refused > 0, "{served} served, {refused} refused");
    assert_eq!((admission.in_progress(), admission.status().waiting), (0, 0));
    assert_eq!(balancer.in_progress(), 0);
    assert!(balancer.backends().iter().all(|backend| backend.in_progress == 0));
}
