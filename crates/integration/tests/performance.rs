//! What the hot paths take: allocations, and looks at the clock.

#![cfg(not(loom))]
use std::cell::Cell;
use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use plimsoll_core_types::{
    ActionError, ActionOutcome, Bytes, Clock, ConsumerId, EngineSnapshot, EngineState, Fleet,
    LoadMetrics, ManualClock, ModelId, PlannedAction, Priority, Resource, ResourceOptimizer as _,
    ResourceRequest, ResourceVector, SystemComponents, Timestamp,
};
use plimsoll_integration::resilience::{Breaker, BreakerConfig};
use plimsoll_integration::{Optimizer, OptimizerConfig, PlanConfig};
use plimsoll_pool::{LedgerConfig, LedgerPool};
use plimsoll_testkit::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_breaker_allocates_nothing_in_any_state() {
    let breaker = Breaker::new(BreakerConfig::default()).unwrap();
    let looks = Cell::new(0_u32);
    let now = Cell::new(0);
    let clock = || {
        looks.set(looks.get() + 1);
        Timestamp::from_nanos(now.get())
    };
    let closed = allocations(|| {
        for call in 0..1000 {
            let permit = breaker.admit(clock).unwrap();
            if call % 7 == 0 { permit.failure(clock) } else { permit.success() }
        }
    });
    assert_eq!((closed, looks.get()), (0, 0));
    let trips = allocations(|| {
        while breaker.is_closed() {
            breaker.admit(clock).unwrap().failure(clock);
        }
        for _ in 0..1000 {
            assert!(breaker.admit(clock).is_err());
        }
        now.set(2_000_000_000);
        for _ in 0..3 {
            breaker.admit(clock).unwrap().success();
        }
    });
    assert_eq!(trips, 0);
    assert!(breaker.is_closed());
    assert_eq!(looks.get(), 1 + 1000 + 3, "once to open, once for each call that is not closed");
}

/// As many idle engines as somebody wants, each with its lease.
#[derive(Debug)]
struct Idle(Vec<EngineSnapshot>);

#[async_trait]
impl Fleet for Idle {
    fn engines(&self) -> Vec<EngineSnapshot> {
        self.0.clone()
    }

    fn engines_into(&self, engines: &mut Vec<EngineSnapshot>) {
        engines.clone_from(&self.0);
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        None
    }

    async fn apply(&self, _: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        Ok(ActionOutcome::Moot)
    }
}

fn engine(index: u64, lease: &Resource) -> EngineSnapshot {
    let amount = *lease.amount();
    EngineSnapshot {
        model: ModelId::new(&format!("m{index}")).unwrap(),
        state: EngineState::Ready,
        priority: Priority::Normal,
        pinned: false,
        declared: amount,
        believed: amount,
        lease: Some(lease.id()),
        promised: amount,
        used: amount,
        peak: amount,
        samples: 100,
        slots: 4,
        threads: 1,
        in_progress: 1,
        waiting: 0,
        arrivals: 100,
        last_used: None,
        ready_since: Some(Timestamp::ZERO),
        load_time: Duration::from_secs(1),
        silent: Duration::ZERO,
        missed_probes: 0,
    }
}

/// What the allocator is asked for in one round over so many models, when it has gone round a few
/// times.
async fn allocations_of_a_round(models: u64) -> u64 {
    let clock = Arc::new(ManualClock::new());
    let limit = ResourceVector::new().with_memory(Bytes::from_mib(models + 1));
    let own = Arc::clone(&clock) as Arc<dyn Clock>;
    let pool = Arc::new(LedgerPool::new(limit, LedgerConfig::default(), own).unwrap());
    let (mut engines, mut leases) = (Vec::new(), Vec::new());
    for index in 0..models {
        let amount = ResourceVector::new().with_memory(Bytes::from_mib(1));
        let consumer = ConsumerId::new(&format!("m{index}")).unwrap();
        let request = ResourceRequest::new(consumer, amount).unwrap();
        let lease = pool.allocate(request).await.unwrap();
        engines.push(engine(index, &lease));
        leases.push(lease);
    }
    let parts = SystemComponents {
        clock: Arc::clone(&clock) as _,
        pool,
        fleet: Arc::new(Idle(engines)),
        probes: Vec::new(),
        memory: None,
        cpu: None,
        caches: Vec::new(),
        predictor: None,
        load: None,
    };
    // On its own thread it is counted here.
    let config = OptimizerConfig { isolate: false, ..OptimizerConfig::new(PlanConfig::new(limit)) };
    let optimizer = Optimizer::new(config).unwrap();
    optimizer.integrate(parts).await.unwrap();
    for _ in 0..5 {
        clock.advance(Duration::from_millis(10));
        assert_eq!(optimizer.tick().await, []);
    }
    clock.advance(Duration::from_millis(10));
    let mut context = Context::from_waker(Waker::noop());
    allocations(|| {
        let Poll::Ready(decisions) = pin!(optimizer.tick()).poll(&mut context) else {
            panic!("nothing waits");
        };
        assert_eq!(decisions, []);
    })
}

#[tokio::test]
async fn a_round_asks_the_allocator_no_more_often_for_many_models_than_for_few() {
    let (few, many) = (allocations_of_a_round(4).await, allocations_of_a_round(400).await);
    // A longer number may make a text grow once more.
    assert!(many <= few + 4 && few < 100, "{few} for 4 models, {many} for 400");
}
