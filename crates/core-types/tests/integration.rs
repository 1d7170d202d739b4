//! The interfaces are object-safe, and snapshots survive being written and read.

use std::time::Duration;

use plimsoll_core_types::{
    Action, ActionOutcome, Bytes, CacheOptimizer, CapacityProbe, ConsumerId, CpuManager, Decision,
    Dimension, EngineSnapshot, EngineState, Fleet, ForecastHealth, HorizonForecast, Lacking,
    LeaseId, LeaseStatus, LoadManager, MemoryManager, Metric, Millicores, ModelId, PlannedAction,
    PressureLevel, Priority, Quantiles, Ratio, Reason, Reclaimer, ResourceForecast,
    ResourceOptimizer, ResourcePool, ResourcePredictor, ResourceStatus, ResourceVector, SeriesKey,
    Slots, SystemSnapshot, TenantId, TicketId, Timestamp, WaiterStatus,
};

/// Compiles only while every interface can be a trait object that tasks share.
#[test]
fn every_interface_is_object_safe() {
    fn check<T: ?Sized + Send + Sync>() -> usize {
        size_of::<&T>()
    }
    let fat = 2 * size_of::<usize>();
    assert_eq!(check::<dyn ResourcePool>(), fat);
    assert_eq!(check::<dyn MemoryManager>(), fat);
    assert_eq!(check::<dyn CpuManager>(), fat);
    assert_eq!(check::<dyn CacheOptimizer>(), fat);
    assert_eq!(check::<dyn ResourcePredictor>(), fat);
    assert_eq!(check::<dyn LoadManager>(), fat);
    assert_eq!(check::<dyn ResourceOptimizer>(), fat);
    assert_eq!(check::<dyn Fleet>(), fat);
    assert_eq!(check::<dyn CapacityProbe>(), fat);
    assert_eq!(check::<dyn Reclaimer>(), fat);
}

fn amount(mib: u64) -> ResourceVector {
    ResourceVector::new()
        .with_cpu(Millicores::new(500))
        .with_memory(Bytes::from_mib(mib))
        .with_slots(Slots::new(1))
}

fn status(at: Timestamp) -> ResourceStatus {
    let lease = LeaseStatus {
        id: LeaseId::new(1),
        consumer: ConsumerId::new("a").unwrap(),
        tenant: TenantId::DEFAULT,
        priority: Priority::Normal,
        amount: amount(64),
        since: Timestamp::ZERO,
        expires: Some(at),
        reclaiming: true,
    };
    let waiter = WaiterStatus {
        id: TicketId::new(2),
        consumer: ConsumerId::new("b").unwrap(),
        tenant: TenantId::new("team").unwrap(),
        priority: Priority::High,
        amount: amount(512),
        since: Timestamp::ZERO,
        deadline: None,
        position: 1,
        lacking: Some(Lacking { dimension: Dimension::Memory, asked: 512, free: 448 }),
    };
    ResourceStatus {
        at,
        limit: amount(512),
        promised: amount(64),
        reclaiming: amount(64),
        available: amount(448),
        held: 1,
        leases: vec![lease],
        waiters: vec![waiter],
        granted: 1,
        refused: 0,
        timed_out: 0,
        cancelled: 0,
        expired: 0,
    }
}

fn engine(at: Timestamp) -> EngineSnapshot {
    EngineSnapshot {
        model: ModelId::new("a").unwrap(),
        state: EngineState::Ready,
        priority: Priority::Normal,
        pinned: false,
        declared: amount(80),
        believed: amount(64),
        lease: Some(LeaseId::new(1)),
        promised: amount(64),
        used: amount(60),
        peak: amount(61),
        samples: 12,
        slots: 4,
        threads: 1,
        in_progress: 1,
        waiting: 0,
        arrivals: 40,
        last_used: Some(at),
        ready_since: Some(Timestamp::ZERO),
        load_time: Duration::from_millis(300),
        silent: Duration::ZERO,
        missed_probes: 0,
    }
}

fn forecast(at: Timestamp) -> ResourceForecast {
    let key = SeriesKey { subject: ConsumerId::new("a").unwrap(), metric: Metric::RequestRate };
    let quantiles = Quantiles::new(std::array::from_fn(|index| index as f64)).unwrap();
    ResourceForecast {
        key,
        at,
        horizons: vec![HorizonForecast { horizon: Duration::from_secs(1), quantiles }],
        health: ForecastHealth::Skilled { relative_error: 0.8 },
        season: Some(Duration::from_secs(8)),
    }
}

#[test]
fn a_system_snapshot_reads_back_as_it_was_written() {
    let at = Timestamp::from_secs_f64(1.5);
    let snapshot = SystemSnapshot {
        at,
        capacity: amount(4096),
        used: amount(900),
        pool: status(at),
        engines: vec![engine(at)],
        forecasts: vec![forecast(at)],
        pressure: PressureLevel::Elevated,
        threads: None,
        strategies: Vec::new(),
    };
    let json = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<SystemSnapshot>(&json).unwrap(), snapshot);
    insta::assert_json_snapshot!(snapshot);
}

#[test]
fn a_decision_reads_back_as_it_was_written() {
    let model = ModelId::new("a").unwrap();
    let planned = PlannedAction {
        action: Action::Evict { model, beneficiary: Some(ConsumerId::new("b").unwrap()) },
        reason: Reason::GaveWay {
            to: ConsumerId::new("b").unwrap(),
            freed: amount(64),
            idle: Duration::from_secs(3),
            need: Ratio::new(0.25).unwrap(),
            return_cost: Duration::from_millis(300),
        },
    };
    let decision = Decision {
        at: Timestamp::from_nanos(7),
        planned,
        outcome: Ok(ActionOutcome::Done),
        effect: None,
    };
    let json = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<Decision>(&json).unwrap(), decision);
    insta::assert_json_snapshot!(decision);
}
