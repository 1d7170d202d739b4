//! Plans for hand-made snapshots, and properties of plans for random ones.

use std::time::Duration;

use plimsoll_core_types::{
    Action, Bytes, ConsumerId, EngineSnapshot, EngineState, ForecastHealth, HorizonForecast,
    Lacking, LeaseId, LeaseStatus, Metric, Millicores, ModelId, PlannedAction, PressureLevel,
    Priority, Quantiles, Reason, ResourceForecast, ResourceStatus, ResourceVector, SeriesKey,
    SystemSnapshot, TenantId, ThreadAssignment, TicketId, Timestamp, WaiterStatus,
};
use proptest::prelude::*;

mod judged;
mod swing;

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
fn a_small_model_asked_for_all_the_time_outlasts_a_large_one_that_is_not() {
    let mut planner = planner();
    let asked = |seconds: f64, per_second: f64| {
        let busy = EngineSnapshot {
            arrivals: (seconds * per_second) as u64,
            last_used: Some(second(seconds)),
            load_time: Duration::from_millis(500),
            ..resident("busy", 60)
        };
        let rare = EngineSnapshot {
            arrivals: (seconds / 4.0) as u64,
            load_time: Duration::from_secs(2),
            ..resident("rare", 200)
        };
        snapshot(second(seconds), vec![busy, rare, stopped("new", 300)])
    };
    for tick in 1..200 {
        planner.plan(&asked(f64::from(tick) / 10.0, 20.0));
    }
    let plan = planner.plan(&waits(asked(20.0, 20.0), "new", 300, second(19.9)));
    let evicted: Vec<_> = plan.iter().map(|planned| planned.action.to_string()).collect();
    assert_eq!(evicted, ["evict rare"]);
}

#[test]
fn an_engine_that_missed_a_probe_is_no_victim_until_that_is_cleared_up() {
    let suspect = EngineSnapshot { missed_probes: 1, ..resident("suspect", 400) };
    let now = second(20.0);
    let crowded = waits(
        snapshot(now, vec![suspect, resident("well", 100), stopped("new", 100)]),
        "new",
        100,
        second(10.0),
    );
    let plan = planner().plan(&crowded);
    let evicted: Vec<_> = plan.iter().map(|planned| planned.action.to_string()).collect();
    assert_eq!(evicted, ["evict well"]);
}

#[test]
fn nothing_is_done_where_nothing_is_wrong() {
    let calm = snapshot(second(10.0), vec![resident("a", 200), stopped("b", 300)]);
    assert_eq!(planner().plan(&calm), []);
}

#[test]
fn an_idle_model_gives_way_to_one_that_is_waited_for_and_says_why() {
    let at = second(10.0);
    let busy = EngineSnapshot { in_progress: 1, ..resident("busy", 200) };
    let engines = vec![busy, resident("idle", 250), stopped("c", 300)];
    let plan = planner().plan(&waits(snapshot(at, engines), "c", 300, at));
    assert_eq!(evicted(&plan), ["idle"]);
    let Reason::GaveWay { to, freed, idle, .. } = &plan[0].reason else {
        panic!("{:?}", plan[0].reason)
    };
    assert_eq!((to.as_str(), *freed, *idle), ("c", mib(250), Duration::from_secs(10)));
}

#[test]
fn models_at_work_give_way_only_when_patience_ends() {
    let busy = |name| EngineSnapshot { in_progress: 1, ..resident(name, 250) };
    let engines = || vec![busy("a"), busy("b"), stopped("c", 250)];
    let at = second(10.0);
    let mut planner = planner();
    let fresh = waits(snapshot(at, engines()), "c", 250, at);
    assert!(evicted(&planner.plan(&fresh)).is_empty());
    let later = at + Duration::from_millis(600);
    let stale = waits(snapshot(later, engines()), "c", 250, at);
    assert_eq!(evicted(&planner.plan(&stale)).len(), 1);
}

#[test]
fn the_model_that_is_asked_for_more_often_stays() {
    let mut planner = planner();
    let mut engines = vec![resident("often", 250), resident("seldom", 250), stopped("c", 250)];
    for tick in 0..40_u32 {
        let at = second(f64::from(tick) / 4.0);
        engines[0].arrivals += 2;
        engines[0].last_used = Some(at);
        planner.plan(&snapshot(at, engines.clone()));
    }
    let at = second(10.0);
    let plan = planner.plan(&waits(snapshot(at, engines), "c", 250, at));
    assert_eq!(evicted(&plan), ["seldom"]);
}

#[test]
fn pinned_and_fresh_models_stay() {
    let at = second(10.0);
    let pinned = EngineSnapshot { pinned: true, ..resident("pinned", 200) };
    let ready_since = Some(at.saturating_sub(Duration::from_millis(500)));
    let fresh = EngineSnapshot { ready_since, ..resident("fresh", 200) };
    let plan = planner().plan(&waits(snapshot(at, vec![pinned, fresh]), "c", 300, at));
    assert_eq!(evicted(&plan), [""; 0]);
}

#[test]
fn what_drains_already_is_counted_before_anything_else_goes() {
    let at = second(10.0);
    let draining = EngineSnapshot { state: EngineState::Draining, ..resident("leaving", 300) };
    let engines = vec![draining, resident("idle", 200)];
    let plan = planner().plan(&waits(snapshot(at, engines), "c", 300, at));
    assert_eq!(evicted(&plan), [""; 0]);
}

#[test]
fn a_waiter_that_cannot_be_helped_holds_up_nobody_behind_it() {
    let at = second(10.0);
    let pinned = EngineSnapshot { pinned: true, ..resident("pinned", 300) };
    let engines = vec![pinned, resident("idle", 150)];
    let both = waits(waits(snapshot(at, engines), "large", 400, at), "small", 100, at);
    assert_eq!(evicted(&planner().plan(&both)), ["idle"]);
}

#[test]
fn a_forecast_loads_a_model_ahead_where_there_is_room() {
    let at = second(10.0);
    let mut sees = snapshot(at, vec![resident("a", 200), stopped("b", 200)]);
    sees.forecasts.push(forecast("b", 20.0, at));
    let mut planner = planner();
    let plan = planner.plan(&sees);
    assert!(prewarmed(&plan) && evicted(&plan).is_empty(), "{plan:?}");
    assert!(!prewarmed(&planner.plan(&sees)), "it cools down");
}

#[test]
fn a_forecast_pushes_out_only_what_is_needed_less() {
    let at = second(10.0);
    let mut sees = snapshot(at, vec![resident("a", 400), stopped("b", 300)]);
    sees.forecasts.push(forecast("b", 20.0, at));
    let plan = planner().plan(&sees);
    assert!(prewarmed(&plan));
    assert_eq!(evicted(&plan), ["a"]);
    sees.forecasts.push(forecast("a", 30.0, at));
    assert_eq!(planner().plan(&sees), [], "both are needed: nothing is gained");
}

#[test]
fn without_skill_there_is_no_prewarm() {
    let at = second(10.0);
    let mut sees = snapshot(at, vec![stopped("b", 200)]);
    let health = ForecastHealth::FellBack { relative_error: 1.2 };
    sees.forecasts.push(ResourceForecast { health, ..forecast("b", 20.0, at) });
    assert_eq!(planner().plan(&sees), []);
}

#[test]
fn prewarms_for_nothing_raise_the_threshold_and_good_ones_reset_it() {
    let mut planner = planner();
    let model = ModelId::new("b").unwrap();
    let base = planner.config.prewarm_probability;
    let mut engines = vec![stopped("b", 200)];
    let mut now = second(10.0);
    let mut round = |planner: &mut Planner, engines: &[EngineSnapshot]| {
        let mut sees = snapshot(now, engines.to_vec());
        sees.forecasts.push(forecast("b", 50.0, now));
        let plan = planner.plan(&sees);
        now += Duration::from_secs(8);
        prewarmed(&plan)
    };
    assert!(round(&mut planner, &engines));
    round(&mut planner, &engines);
    assert_eq!(planner.verdicts().rolled_back(), 1);
    let raised = planner.verdicts.threshold(&model, base);
    assert!(raised > base, "{raised}");
    engines[0].arrivals += 1;
    round(&mut planner, &engines);
    assert_eq!(planner.verdicts().kept(), 1);
    assert_eq!(planner.verdicts.threshold(&model, base), base);
}

#[test]
fn an_engine_that_misses_probes_is_replaced_once() {
    let silent = Duration::from_secs(2);
    let hung = EngineSnapshot { missed_probes: 3, silent, ..resident("a", 200) };
    let mut planner = planner();
    let sees = snapshot(second(10.0), vec![hung]);
    let plan = planner.plan(&sees);
    assert_eq!(plan[0].action, Action::Replace { model: ModelId::new("a").unwrap() });
    assert_eq!(plan[0].reason, Reason::Unresponsive { silent, missed: 3 });
    assert_eq!(planner.plan(&sees), []);
}

#[test]
fn leases_follow_what_is_measured_both_ways() {
    let smaller = EngineSnapshot { believed: mib(120), peak: mib(100), ..resident("a", 200) };
    let mut planner = planner();
    let plan = planner.plan(&snapshot(second(10.0), vec![smaller.clone()]));
    let model = || ModelId::new("a").unwrap();
    assert_eq!(plan[0].action, Action::ResizeLease { model: model(), to: mib(120) });
    let few = EngineSnapshot { samples: 2, ..smaller };
    assert_eq!(self::planner().plan(&snapshot(second(10.0), vec![few])), []);
    let outgrown =
        EngineSnapshot { used: mib(230), peak: mib(230), samples: 1, ..resident("a", 200) };
    let plan = planner.plan(&snapshot(second(20.0), vec![outgrown]));
    assert_eq!(plan[0].action, Action::ResizeLease { model: model(), to: mib(230) });
}

#[test]
fn the_line_moves_down_for_others_and_back_up() {
    let mut planner = planner();
    let mut sees = snapshot(second(10.0), vec![resident("a", 200)]);
    sees.used = mib(4096 - 64 - 100);
    let plan = planner.plan(&sees);
    // 4096 in all, less 3732 of others (3932 used, 200 of them ours), less 64 in reserve.
    assert_eq!(plan[0].action, Action::SetLimit { limit: mib(300) });
    sees.pool.limit = mib(300);
    sees.at = second(20.0);
    sees.used = mib(200);
    let plan = planner.plan(&sees);
    assert_eq!(plan[0].action, Action::SetLimit { limit: mib(512) });
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
