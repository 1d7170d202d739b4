//! Who gives way to whoever waits.

use super::*;

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
    let after =
        |millis| waits(snapshot(at + Duration::from_millis(millis), engines()), "c", 250, at);
    // Four times as long as its own load.
    assert!(evicted(&planner.plan(&after(1990))).is_empty());
    assert_eq!(evicted(&planner.plan(&after(2000))).len(), 1);
}

#[test]
fn an_idle_model_stays_for_a_quarter_of_what_its_return_costs_unless_patience_has_ended() {
    let used = EngineSnapshot {
        last_used: Some(second(10.0)),
        load_time: Duration::from_secs(2),
        ..resident("used", 450)
    };
    let at = |now, since| {
        let engines = vec![used.clone(), stopped("c", 250)];
        waits(snapshot(second(now), engines), "c", 250, second(since))
    };
    assert_eq!(evicted(&planner().plan(&at(10.4, 10.3))), [""; 0]);
    assert_eq!(evicted(&planner().plan(&at(10.6, 10.3))), ["used"]);
    assert_eq!(evicted(&planner().plan(&at(10.1, 8.0))), ["used"]);
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
