//! Admission, balancing and alerts through the crate's face.

#[path = "integration/alerts.rs"]
mod alerts;
#[cfg(feature = "tower")]
#[path = "integration/tower.rs"]
mod tower;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    Clock, ConsumerId, LoadManager as _, LoadMetrics, LoadTrend, ManualClock, Metric, Priority,
    Reason, ReplicaId, Sample, SeriesKey, TenantId, Timestamp, UsageHistory,
};
use plimsoll_load::{
    Admission, AdmissionConfig, BackendConfig, Balancer, BalancerConfig, Demand, LoadConfig,
    LoadService,
};

fn admission(config: AdmissionConfig) -> (Arc<Admission>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    (Arc::new(Admission::new(config, Arc::clone(&clock) as Arc<dyn Clock>)), clock)
}

fn one(max_waiting: usize) -> AdmissionConfig {
    AdmissionConfig { limit: 1, max_waiting, ..AdmissionConfig::default() }
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_comes_back_goes_to_the_highest_class_first() {
    let (admission, _) = admission(one(16));
    let held = admission.admit(Priority::Normal, None).await.unwrap();
    let order = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for priority in [Priority::Low, Priority::BestEffort, Priority::High, Priority::Normal] {
        let (admission, order) = (Arc::clone(&admission), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let permit = admission.admit(priority, None).await.unwrap();
            order.lock().push(priority);
            drop(permit);
        }));
        settle().await;
    }
    assert_eq!(admission.status().waiting, 4);
    assert!(admission.try_admit().is_none(), "nobody passes by the line");
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    let expected = [Priority::High, Priority::Normal, Priority::Low, Priority::BestEffort];
    assert_eq!(*order.lock(), expected);
    assert_eq!((admission.in_progress(), admission.status().waiting), (0, 0));
    assert!(admission.try_admit().is_some());
}

#[tokio::test(start_paused = true)]
async fn tenants_of_a_class_take_turns() {
    let (admission, _) = admission(one(64));
    let held = admission.admit(Priority::Normal, None).await.unwrap();
    let order = Arc::new(parking_lot::Mutex::new(String::new()));
    let mut tasks = Vec::new();
    for name in ["a", "a", "a", "a", "a", "a", "b", "b"] {
        let (admission, order) = (Arc::clone(&admission), Arc::clone(&order));
        let tenant = TenantId::new(name).unwrap();
        tasks.push(tokio::spawn(async move {
            let demand = Demand { tenant, ..Demand::default() };
            let permit = admission.admit_for(demand).await.unwrap();
            order.lock().push_str(name);
            drop(permit);
        }));
        settle().await;
    }
    drop(held);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock(), "ababaaaa");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_refuses_with_the_time_that_was_waited() {
    let (admission, clock) = admission(one(4));
    let _held = admission.admit(Priority::Normal, None).await.unwrap();
    let deadline = clock.now() + Duration::from_millis(50);
    let waiting = tokio::spawn({
        let admission = Arc::clone(&admission);
        async move { admission.admit(Priority::Normal, Some(deadline)).await.map(drop) }
    });
    settle().await;
    clock.advance(Duration::from_millis(60));
    let refused = waiting.await.unwrap().unwrap_err();
    let waited = Duration::from_millis(60);
    assert_eq!(refused.reason, Reason::DeadlinePassed { waited });
    let late = admission.admit(Priority::Normal, Some(deadline)).await.unwrap_err();
    assert_eq!(late.reason, Reason::DeadlinePassed { waited: Duration::ZERO });
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_loses_nothing() {
    let (admission, _) = admission(one(4));
    let held = admission.admit(Priority::Normal, None).await.unwrap();
    let waiting = tokio::spawn({
        let admission = Arc::clone(&admission);
        async move { admission.admit(Priority::Normal, None).await.map(drop) }
    });
    settle().await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(admission.status().waiting, 0);
    drop(held);
    assert!(admission.try_admit().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_full_line_gives_way_to_higher_classes_only() {
    let (admission, _) = admission(one(1));
    let held = admission.admit(Priority::Normal, None).await.unwrap();
    let low = tokio::spawn({
        let admission = Arc::clone(&admission);
        async move { admission.admit(Priority::Low, None).await.map(drop) }
    });
    settle().await;
    let equal = admission.admit(Priority::Low, None).await.unwrap_err();
    assert!(matches!(equal.reason, Reason::Overload { limit: 2, .. }), "{equal}");
    assert!(!equal.retry_after.is_zero());
    let high = tokio::spawn({
        let admission = Arc::clone(&admission);
        async move { admission.admit(Priority::High, None).await.map(drop) }
    });
    settle().await;
    assert!(matches!(low.await.unwrap().unwrap_err().reason, Reason::Overload { .. }));
    drop(held);
    high.await.unwrap().unwrap();
}

fn service(limit: usize) -> (LoadService, Arc<Admission>, Arc<Balancer>) {
    let config = AdmissionConfig { limit, ..AdmissionConfig::default() };
    serving(config, Arc::new(ManualClock::new()))
}

fn serving(
    config: AdmissionConfig,
    clock: Arc<ManualClock>,
) -> (LoadService, Arc<Admission>, Arc<Balancer>) {
    let clock: Arc<dyn Clock> = clock;
    let admission = Arc::new(Admission::new(config, Arc::clone(&clock)));
    let balancer = Arc::new(Balancer::new(BalancerConfig::default()));
    let (a, b) = (Arc::clone(&admission), Arc::clone(&balancer));
    (LoadService::new(b, a, None, clock, LoadConfig::default()), admission, balancer)
}

fn cold(second: u64) -> LoadMetrics {
    LoadMetrics {
        at: Timestamp::from_secs_f64(second as f64),
        window: Duration::from_secs(1),
        arrivals: 2,
        completed: 2,
        failed: 0,
        shed: 0,
        in_progress: 40,
        queued: 0,
        latency_p50: Duration::from_secs(12),
        latency_p99: Duration::from_secs(19),
    }
}

#[test]
fn cold_loads_do_not_lower_the_limit() {
    let (service, admission, _) = service(64);
    for second in 1..600 {
        let change = service.optimize(&cold(second));
        assert_eq!((change.limit_from, change.limit_to), (64, 64));
    }
    assert_eq!(admission.limit(), 64);
}

/// How many are let in after many windows of a server that slows down with the square of what is in
/// it beyond 16, and of which somebody is refused in each window.
fn let_in_by_a_server_that_thrashes(gradient: bool) -> (usize, usize) {
    let clock = Arc::new(ManualClock::new());
    let config = AdmissionConfig { limit: 64, gradient, ..AdmissionConfig::default() };
    let (service, admission, balancer) = serving(config, Arc::clone(&clock));
    for number in 0..8 {
        balancer.add(ReplicaId::new(number), BackendConfig { slots: 8, ..Default::default() });
    }
    for second in 1..300 {
        let permits: Vec<_> = std::iter::from_fn(|| admission.try_admit()).collect();
        let times = (permits.len() as f64 / 16.0).max(1.0).powi(2);
        for number in 0..100 {
            // Of very different sizes, which say nothing of the server.
            let work = Duration::from_millis(1 + number % 50);
            clock.advance(work.mul_f64(times));
            admission.observe(work, work.mul_f64(times));
        }
        service.optimize(&LoadMetrics { shed: 5, ..cold(second) });
    }
    (admission.limit(), admission.ceiling())
}

#[test]
fn a_gradient_lowers_the_limit_of_a_server_that_thrashes() {
    assert_eq!(let_in_by_a_server_that_thrashes(false), (64, 64));
    let (limit, ceiling) = let_in_by_a_server_that_thrashes(true);
    assert_eq!(ceiling, 64);
    assert!((8..=24).contains(&limit), "{limit}");
}

#[test]
fn the_limit_follows_the_slots_of_open_backends() {
    let (service, admission, balancer) = service(64);
    for number in 0..3 {
        balancer.add(ReplicaId::new(number), BackendConfig { slots: 4, ..Default::default() });
    }
    assert_eq!(service.optimize(&cold(1)).limit_to, 12);
    balancer.drain(ReplicaId::new(0));
    assert_eq!(service.optimize(&cold(2)).limit_to, 8);
    assert_eq!(admission.limit(), 8);
}

#[test]
fn a_rising_series_is_forecast_to_reach_capacity() {
    let (service, ..) = service(64);
    let subject = ConsumerId::new("api").unwrap();
    let key = SeriesKey { subject, metric: Metric::RequestRate };
    let mut history = UsageHistory::new(key, Duration::from_secs(1), 64);
    for second in 0..40 {
        let at = Timestamp::from_secs_f64(f64::from(second));
        history.push(Sample { at, value: Some(f64::from(second)) });
    }
    let forecast = service.forecast(&LoadTrend { history, capacity: 60.0 });
    assert!((forecast.slope - 1.0).abs() < 1e-9);
    let saturated = forecast.saturated_in.unwrap().as_secs_f64();
    assert!((saturated - 21.0).abs() < 0.1, "{saturated}");
    assert_eq!(forecast.alerts[0].name, "load_saturation");
}
