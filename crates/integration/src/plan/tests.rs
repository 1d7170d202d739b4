//! Plans for hand-made snapshots, and properties of plans for random ones.

use std::time::Duration;

use plimsoll_core_types::{
    Action, Bytes, ConsumerId, EngineSnapshot, EngineState, ForecastHealth, HorizonForecast,
    Lacking, LeaseId, LeaseStatus, Metric, Millicores, ModelId, PlannedAction, PressureLevel,
    Priority, Quantiles, Reason, ResourceForecast, ResourceStatus, ResourceVector, SeriesKey,
    SystemSnapshot, TenantId, ThreadAssignment, TicketId, Timestamp, WaiterStatus,
};
use proptest::prelude::*;

mod ahead;
mod giving_way;
mod groups;
mod judged;
mod swing;
mod upkeep;

use super::Planner;
use crate::config::PlanConfig;

const BUDGET: Bytes = Bytes::from_mib(512);

fn mib(count: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_mib(count))
}

fn second(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
}

fn planner() -> Planner {
    Planner::new(PlanConfig::new(mib(512))).unwrap()
}

/// An engine that has been ready, and idle, since the start.
fn resident(name: &str, size: u64) -> EngineSnapshot {
    EngineSnapshot {
        model: ModelId::new(name).unwrap(),
        state: EngineState::Ready,
        priority: Priority::Normal,
        pinned: false,
        declared: mib(size),
        believed: mib(size),
        lease: Some(LeaseId::new(size)),
        promised: mib(size),
        used: mib(size),
        peak: mib(size),
        samples: 100,
        slots: 4,
        threads: 1,
        in_progress: 0,
        waiting: 0,
        arrivals: 0,
        last_used: Some(Timestamp::ZERO),
        ready_since: Some(Timestamp::ZERO),
        load_time: Duration::from_millis(500),
        silent: Duration::ZERO,
        missed_probes: 0,
    }
}

pub(crate) fn stopped(name: &str, size: u64) -> EngineSnapshot {
    EngineSnapshot {
        state: EngineState::Stopped,
        lease: None,
        promised: ResourceVector::ZERO,
        used: ResourceVector::ZERO,
        ready_since: None,
        samples: 0,
        ..resident(name, size)
    }
}

fn snapshot(at: Timestamp, engines: Vec<EngineSnapshot>) -> SystemSnapshot {
    let promised =
        engines.iter().fold(ResourceVector::ZERO, |sum, e| sum.saturating_add(&e.promised));
    let lease = |engine: &EngineSnapshot| LeaseStatus {
        id: engine.lease.unwrap_or(LeaseId::new(0)),
        consumer: ConsumerId::from(&engine.model),
        tenant: TenantId::DEFAULT,
        priority: engine.priority,
        amount: engine.promised,
        since: Timestamp::ZERO,
        expires: None,
        reclaiming: false,
    };
    let limit = ResourceVector::new().with_memory(BUDGET);
    let pool = ResourceStatus {
        at,
        limit,
        promised,
        reclaiming: ResourceVector::ZERO,
        available: limit.saturating_sub(&promised),
        held: engines.iter().filter(|e| e.lease.is_some()).count(),
        leases: engines.iter().filter(|e| e.lease.is_some()).map(lease).collect(),
        waiters: Vec::new(),
        granted: 0,
        refused: 0,
        timed_out: 0,
        cancelled: 0,
        expired: 0,
    };
    SystemSnapshot {
        at,
        capacity: mib(4096),
        used: promised,
        pool,
        engines,
        forecasts: Vec::new(),
        pressure: PressureLevel::Calm,
        threads: None,
        strategies: Vec::new(),
    }
}

fn waits(mut snapshot: SystemSnapshot, name: &str, size: u64, since: Timestamp) -> SystemSnapshot {
    let position = snapshot.pool.waiters.len() + 1;
    let free = snapshot.pool.available.memory().get();
    snapshot.pool.waiters.push(WaiterStatus {
        id: TicketId::new(position as u64),
        consumer: ConsumerId::new(name).unwrap(),
        tenant: TenantId::DEFAULT,
        priority: Priority::Normal,
        amount: mib(size),
        since,
        deadline: None,
        position,
        lacking: Some(Lacking {
            dimension: plimsoll_core_types::Dimension::Memory,
            asked: Bytes::from_mib(size).get(),
            free,
        }),
    });
    snapshot
}

/// A forecast with skill: no request now, `per_second` from half a second on.
fn forecast(name: &str, per_second: f64, at: Timestamp) -> ResourceForecast {
    let key = SeriesKey { subject: ConsumerId::new(name).unwrap(), metric: Metric::RequestRate };
    let horizon = |millis, rate| HorizonForecast {
        horizon: Duration::from_millis(millis),
        quantiles: Quantiles::certain(rate).unwrap(),
    };
    ResourceForecast {
        key,
        at,
        horizons: vec![horizon(250, 0.0), horizon(500, per_second), horizon(3000, per_second)],
        health: ForecastHealth::Skilled { relative_error: 0.5 },
        season: None,
    }
}

fn assignment(engine: &EngineSnapshot, threads: u32) -> ThreadAssignment {
    let consumer = ConsumerId::from(&engine.model);
    let share = Millicores::from_cores(1);
    ThreadAssignment { consumer, threads, share, reason: Reason::Requested }
}

fn evicted(plan: &[PlannedAction]) -> Vec<&str> {
    let model = |planned: &'_ PlannedAction| match &planned.action {
        Action::Evict { model, .. } => Some(model.as_str().to_owned()),
        _ => None,
    };
    plan.iter().filter_map(model).map(|name| &*Box::leak(name.into_boxed_str())).collect()
}

fn prewarmed(plan: &[PlannedAction]) -> bool {
    plan.iter().any(|planned| matches!(planned.action, Action::Prewarm { .. }))
}

#[test]
fn nothing_is_done_where_nothing_is_wrong() {
    let calm = snapshot(second(10.0), vec![resident("a", 200), stopped("b", 300)]);
    assert_eq!(planner().plan(&calm), []);
}

proptest! {
    /// Whatever the snapshots: nobody pinned or at work is evicted for somebody who has only just
    /// come, nothing is evicted twice, and the same snapshots give the same plans.
    #[test]
    fn plans_are_safe_and_deterministic(
        sizes in prop::collection::vec((1_u64..200, any::<bool>(), any::<bool>()), 1..6),
        wanted in prop::collection::vec(1_u64..400, 0..4),
        ticks in 1_u32..8,
    ) {
        let (mut one, mut two) = (planner(), planner());
        for tick in 0..ticks {
            let at = second(5.0 + f64::from(tick) / 10.0);
            let mut room = 512;
            let mut engines = Vec::new();
            for (index, (size, pinned, busy)) in sizes.iter().enumerate() {
                if *size > room {
                    continue;
                }
                room -= size;
                let name = format!("m{index}");
                let base = resident(&name, *size);
                engines.push(EngineSnapshot {
                    pinned: *pinned,
                    in_progress: usize::from(*busy),
                    lease: Some(LeaseId::new(index as u64)),
                    ..base
                });
            }
            let mut sees = snapshot(at, engines);
            for (index, size) in wanted.iter().enumerate() {
                sees = waits(sees, &format!("w{index}"), *size, at);
            }
            let plan = one.plan(&sees);
            prop_assert_eq!(&plan, &two.plan(&sees));
            let gone = evicted(&plan);
            for name in &gone {
                let engine = sees.engines.iter().find(|e| e.model.as_str() == *name).unwrap();
                prop_assert!(!engine.pinned && engine.in_progress == 0);
            }
            let mut once = gone.clone();
            once.sort_unstable();
            once.dedup();
            prop_assert_eq!(once.len(), gone.len());
        }
    }
}
