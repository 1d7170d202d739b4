//! The ledger behind its lock, as its users see it.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    AllocateError, Bytes, Clock, ConsumerId, ManualClock, PoolMetrics, PressureLevel, Priority,
    Ratio, Reason, ReleaseError, Resource, ResourcePool, ResourceRequest, ResourceVector,
    Timestamp,
};
use plimsoll_pool::sizing::UtilizationTarget;
use plimsoll_pool::{LedgerConfig, LedgerPool, PoolEventKind};

fn mem(mib: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_mib(mib))
}

fn name(name: &str) -> ConsumerId {
    ConsumerId::new(name).unwrap()
}

fn ask(consumer: &str, mib: u64) -> ResourceRequest {
    ResourceRequest::new(name(consumer), mem(mib)).unwrap()
}

fn pool(mib: u64) -> (Arc<LedgerPool>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let own = Arc::clone(&clock) as Arc<dyn Clock>;
    (Arc::new(LedgerPool::new(mem(mib), LedgerConfig::default(), own).unwrap()), clock)
}

/// Starts to wait for a lease, and comes back when it stands in line.
async fn queue(
    pool: &Arc<LedgerPool>,
    request: ResourceRequest,
) -> tokio::task::JoinHandle<Result<Resource, AllocateError>> {
    let before = pool.monitor().waiters.len();
    let asking = Arc::clone(pool);
    let task = tokio::spawn(async move { asking.allocate(request).await });
    while pool.monitor().waiters.len() == before {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test]
async fn a_lease_comes_back_by_drop_by_release_and_by_panic() {
    let (pool, _) = pool(100);
    let as_trait: Arc<dyn ResourcePool> = Arc::clone(&pool) as _;
    drop(as_trait.allocate(ask("a", 60)).await.unwrap());
    let lease = as_trait.allocate(ask("a", 60)).await.unwrap();
    as_trait.release(lease).await.unwrap();
    let held = as_trait.allocate(ask("a", 60)).await.unwrap();
    let task = tokio::spawn(async move {
        let _held = held;
        std::panic::resume_unwind(Box::new(()));
    });
    assert!(task.await.is_err());
    assert_eq!(pool.monitor().available, mem(100));
    assert_eq!(pool.monitor().granted, 3);
}

#[tokio::test]
async fn a_lease_of_another_pool_is_refused_and_goes_home() {
    let ((one, _), (other, _)) = (pool(100), pool(100));
    let lease = one.allocate(ask("a", 60)).await.unwrap();
    assert!(matches!(other.release(lease).await, Err(ReleaseError::Foreign { .. })));
    assert_eq!(one.monitor().available, mem(100));
}

#[tokio::test]
async fn waiters_are_served_in_turn_and_one_that_goes_away_is_forgotten() {
    let (pool, _) = pool(100);
    let held = pool.allocate(ask("holder", 100)).await.unwrap();
    let first = queue(&pool, ask("first", 60)).await;
    let gone = queue(&pool, ask("gone", 60).with_priority(Priority::High)).await;
    let second = queue(&pool, ask("second", 40)).await;
    assert_eq!(pool.monitor().waiters[0].consumer, name("gone"));
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    assert_eq!(pool.monitor().cancelled, 1);
    drop(held);
    let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    assert_eq!(pool.monitor().promised, mem(100));
    drop((first, second));
    assert_eq!(pool.monitor().available, mem(100));
}

#[tokio::test(start_paused = true)]
async fn deadlines_pass_without_anybody_looking() {
    #[derive(Debug)]
    struct Tokio(tokio::time::Instant);
    impl Clock for Tokio {
        fn now(&self) -> Timestamp {
            Timestamp::ZERO + self.0.elapsed()
        }
    }
    let clock = Arc::new(Tokio(tokio::time::Instant::now()));
    let config = LedgerConfig::default();
    let pool = Arc::new(LedgerPool::new(mem(100), config, Arc::clone(&clock) as _).unwrap());
    let held = pool.allocate(ask("a", 100).with_ttl(Duration::from_mins(1))).await.unwrap();
    let deadline = Timestamp::ZERO + Duration::from_secs(10);
    let error = pool.allocate(ask("late", 50).with_deadline(deadline)).await.unwrap_err();
    let AllocateError::DeadlinePassed { waited, .. } = error else { panic!("{error}") };
    assert!(waited >= Duration::from_secs(10) && waited < Duration::from_millis(10_010));

    // The lease ends by itself, and whoever waits gets what it held.
    let next = pool.allocate(ask("next", 100)).await.unwrap();
    assert!(clock.now() >= Timestamp::ZERO + Duration::from_mins(1));
    assert!(held.renew(Duration::from_secs(1)).is_err());
    assert!(matches!(pool.release(held).await, Err(ReleaseError::Ended { .. })));
    assert_eq!(next.amount(), &mem(100));
}

#[tokio::test]
async fn try_allocate_leaves_no_trace_in_the_line() {
    let (pool, _) = pool(100);
    let held = pool.try_allocate(ask("a", 80)).unwrap().unwrap();
    assert!(pool.try_allocate(ask("b", 40)).unwrap().is_none());
    assert!(pool.try_allocate(ask("c", 140)).is_err());
    assert_eq!(pool.monitor().waiters.len(), 0);
    drop(held);
    assert_eq!(pool.monitor().available, mem(100));
}

#[tokio::test]
async fn leases_change_in_place_and_renew() {
    let (pool, clock) = pool(100);
    let mut lease = pool.allocate(ask("a", 40).with_ttl(Duration::from_secs(5))).await.unwrap();
    lease.resize(mem(90)).unwrap();
    assert!(lease.resize(mem(101)).is_err());
    assert_eq!(lease.amount(), &mem(90));
    clock.advance(Duration::from_secs(4));
    assert_eq!(lease.renew(Duration::from_secs(5)).unwrap(), Timestamp::from_secs_f64(9.0));
    clock.advance(Duration::from_secs(5));
    assert!(lease.renew(Duration::from_secs(5)).is_err());
    assert_eq!(pool.monitor().expired, 1);
}

#[tokio::test]
async fn closing_refuses_all_and_leases_outlive_it() {
    let (pool, _) = pool(100);
    let held = pool.allocate(ask("a", 80)).await.unwrap();
    let waiting = queue(&pool, ask("b", 80)).await;
    pool.close();
    assert!(matches!(waiting.await.unwrap(), Err(AllocateError::Closed { .. })));
    assert!(matches!(pool.allocate(ask("c", 1)).await, Err(AllocateError::Closed { .. })));
    drop(pool);
    drop(held);
}

#[tokio::test]
async fn subscribers_are_told_with_reasons() {
    let (pool, clock) = pool(100);
    let mut events = pool.subscribe();
    let held = pool.allocate(ask("a", 80)).await.unwrap();
    let waiting = queue(&pool, ask("b", 50)).await;
    clock.advance(Duration::from_secs(2));
    drop(held);
    let lease = waiting.await.unwrap().unwrap();
    pool.allocate(ask("c", 500)).await.unwrap_err();
    pool.set_limit(mem(200));
    let (pressure, told): (Vec<_>, Vec<_>) = std::iter::from_fn(|| events.try_recv().ok())
        .partition(|event| matches!(event.kind, PoolEventKind::Pressure { .. }));
    let levels: Vec<_> = pressure
        .iter()
        .map(|event| match event.kind {
            PoolEventKind::Pressure { level } => level,
            _ => unreachable!("only these were picked"),
        })
        .collect();
    // Eighty of a hundred; then somebody waits; then fifty of a hundred.
    assert_eq!(levels, [PressureLevel::Elevated, PressureLevel::Critical, PressureLevel::Calm]);
    let kinds: Vec<_> = told.iter().map(|event| &event.kind).collect();
    assert!(matches!(kinds[0], PoolEventKind::Granted { .. }));
    assert!(matches!(kinds[1], PoolEventKind::Waits { .. }));
    assert_eq!(told[1].reason.to_string(), "waits at position 1, memory: asks 50 MiB, 20 MiB free");
    assert_eq!(*kinds[2], PoolEventKind::Granted { lease: lease.id(), amount: mem(50) });
    assert_eq!(told[2].reason, Reason::Fits { waited: Duration::from_secs(2) });
    assert!(told[3].reason.to_string().contains("can never fit"));
    assert_eq!(*kinds[4], PoolEventKind::LimitSet { from: mem(100), to: mem(200) });
}

#[tokio::test]
async fn the_limit_follows_its_policy_between_its_bounds() {
    let (_, clock) = pool(100);
    let policy = UtilizationTarget::default();
    let pool = LedgerPool::new(mem(100), LedgerConfig::default(), clock).unwrap().with_sizing(
        policy,
        mem(50),
        mem(150),
    );
    let metrics = |utilization| PoolMetrics {
        at: Timestamp::ZERO,
        window: Duration::from_secs(1),
        size: 10,
        in_use: 0,
        idle: 0,
        waiting: 0,
        arrivals: 0,
        served: 0,
        timed_out: 0,
        mean_hold: Duration::ZERO,
        mean_wait: Duration::ZERO,
        wait_p99: Duration::ZERO,
        mean_create: Duration::ZERO,
        utilization: Ratio::saturating(utilization),
    };
    assert_eq!(pool.optimize(&metrics(0.9)).await.unwrap().to, mem(130));
    assert_eq!(pool.optimize(&metrics(0.99)).await.unwrap().to, mem(150));
    let change = pool.optimize(&metrics(0.01)).await.unwrap();
    assert_eq!((change.from, change.to), (mem(150), mem(50)));
    assert!(pool.optimize(&PoolMetrics { window: Duration::ZERO, ..metrics(0.5) }).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_holder_is_asked_then_its_lease_goes_to_who_waits() {
    let (pool, clock) = pool(100);
    let mut events = pool.subscribe();
    let held = pool.allocate(ask("holder", 80)).await.unwrap();
    let waiting = queue(&pool, ask("wanted", 90)).await;
    let ticket = pool.monitor().waiters[0].id;
    assert_eq!(pool.eta(ticket), None);
    pool.preempt(held.id(), Some(name("wanted")), Duration::from_secs(5)).unwrap();
    assert_eq!(pool.eta(ticket), Some(Timestamp::from_secs_f64(5.0)));
    clock.advance(Duration::from_secs(5));
    pool.sweep();
    assert_eq!(waiting.await.unwrap().unwrap().amount(), &mem(90));
    assert!(matches!(pool.release(held).await, Err(ReleaseError::Ended { .. })));
    let kinds: Vec<_> =
        std::iter::from_fn(|| events.try_recv().ok()).map(|told| told.kind).collect();
    let is = |wanted: fn(&PoolEventKind) -> bool| kinds.iter().any(wanted);
    assert!(is(|kind| matches!(kind, PoolEventKind::Asked { .. })), "{kinds:?}");
    assert!(is(|kind| matches!(kind, PoolEventKind::Revoked { .. })), "{kinds:?}");
}
