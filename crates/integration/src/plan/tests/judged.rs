//! What actions turn out to be worth, and what becomes of those that did harm.

use plimsoll_core_types::{
    CacheId, CacheMetrics, CachePolicy, CacheStrategy, Measure, Ratio, ThreadPlan,
};

use super::*;
use crate::verdicts::Judged;

fn only(mut judged: Vec<Judged>, kind: &str) -> Judged {
    judged.retain(|one| one.kind == kind);
    assert_eq!(judged.len(), 1, "{judged:?}");
    judged.remove(0)
}

#[test]
fn a_lease_that_was_shrunk_too_far_is_given_back_at_once_and_not_shrunk_again_soon() {
    let model = || ModelId::new("a").unwrap();
    let small = EngineSnapshot { believed: mib(120), peak: mib(100), ..resident("a", 200) };
    let mut planner = planner();
    let plan = planner.plan(&snapshot(second(10.0), vec![small.clone()]));
    assert_eq!(plan[0].action, Action::ResizeLease { model: model(), to: mib(120) });
    let effect = planner.expected()[0].clone().unwrap();
    assert_eq!(effect.measure, Measure::PromisedBytes);
    assert_eq!(
        (effect.without, effect.expected),
        (mib(200).memory().as_f64(), mib(120).memory().as_f64())
    );

    let outgrown = EngineSnapshot {
        promised: mib(120),
        used: mib(150),
        peak: mib(150),
        believed: mib(150),
        ..small.clone()
    };
    let plan = planner.plan(&snapshot(second(10.5), vec![outgrown]));
    assert_eq!(plan.len(), 1, "{plan:?}");
    assert_eq!(plan[0].action, Action::ResizeLease { model: model(), to: mib(200) });
    let Reason::Worse { with, without, .. } = plan[0].reason else { panic!("{plan:?}") };
    assert_eq!((with, without), (mib(150).memory().as_f64(), mib(200).memory().as_f64()));
    assert!(!only(planner.take_judged(), "resize_lease").seen.kept);
    assert!(planner.take_judged().is_empty(), "told once");

    // The cool-down of 2 s has doubled.
    let again = |at| snapshot(second(at), vec![small.clone()]);
    assert_eq!(planner.plan(&again(14.4)), []);
    assert_eq!(planner.plan(&again(14.6)).len(), 1);
}

#[test]
fn a_lease_that_suffices_for_five_seconds_is_kept() {
    let small = EngineSnapshot { believed: mib(120), peak: mib(100), ..resident("a", 200) };
    let mut planner = planner();
    planner.plan(&snapshot(second(10.0), vec![small.clone()]));
    let shrunk = EngineSnapshot { promised: mib(120), used: mib(100), ..small };
    planner.plan(&snapshot(second(14.9), vec![shrunk.clone()]));
    assert_eq!(planner.take_judged(), []);
    planner.plan(&snapshot(second(15.0), vec![shrunk]));
    let seen = only(planner.take_judged(), "resize_lease").seen;
    assert!(seen.kept && seen.with < seen.without, "{seen:?}");
}

/// Two models, one of which gets other threads at 30 s: requests of `own` and of `other` take so
/// many seconds before and after.
fn threads_changed(own: (f64, f64), other: (f64, f64)) -> (Planner, Vec<PlannedAction>) {
    let mut planner = planner();
    let mut all = Vec::new();
    let mut engines = vec![
        EngineSnapshot { threads: 2, ..resident("a", 100) },
        EngineSnapshot { threads: 2, ..resident("b", 100) },
    ];
    for tick in 0..200_u32 {
        let at = second(10.0 + f64::from(tick) / 4.0);
        let after = tick > 80;
        // Ten requests a second: by Little, ten times their seconds are in the system.
        for (engine, seconds) in engines.iter_mut().zip([own, other]) {
            engine.arrivals += if tick % 2 == 0 { 5 } else { 0 };
            let seconds = if after { seconds.1 } else { seconds.0 };
            engine.in_progress = (10.0 * seconds).round() as usize;
        }
        let mut seen = snapshot(at, engines.clone());
        if tick == 80 {
            let assignments = vec![assignment(&engines[0], 1)];
            seen.threads = Some(ThreadPlan { cores: Millicores::from_cores(4), assignments });
        }
        let plan = planner.plan(&seen);
        for planned in &plan {
            if let Action::SetThreads { threads, .. } = planned.action {
                engines[0].threads = threads;
            }
        }
        all.extend(plan);
    }
    all.retain(|planned| planned.action.kind() == "set_threads");
    (planner, all)
}

#[test]
fn threads_that_slow_a_model_down_are_given_back() {
    let (mut planner, plan) = threads_changed((0.5, 1.0), (0.5, 0.5));
    assert_eq!(plan.len(), 2, "{plan:?}");
    let Action::SetThreads { threads: 2, .. } = plan[1].action else { panic!("{plan:?}") };
    assert!(matches!(plan[1].reason, Reason::Worse { .. }), "{plan:?}");
    let seen = only(planner.take_judged(), "set_threads").seen;
    assert!((seen.without - 0.5).abs() < 0.05 && seen.with > 0.8, "{seen:?}");
}

#[test]
fn what_slows_everybody_down_is_not_blamed_on_the_change() {
    let (mut planner, plan) = threads_changed((0.5, 1.0), (0.5, 1.0));
    assert_eq!(plan.len(), 1, "{plan:?}");
    let seen = only(planner.take_judged(), "set_threads").seen;
    assert!(seen.kept && (seen.without - seen.with).abs() < 0.1, "{seen:?}");
}

#[test]
fn an_eviction_is_regretted_when_it_costs_more_than_it_gains() {
    // The beneficiary is loaded ahead and never asked for; the victim is asked for at once.
    let mut planner = planner();
    let mut sees = snapshot(second(10.0), vec![resident("a", 400), stopped("b", 300)]);
    sees.forecasts.push(forecast("b", 20.0, second(10.0)));
    assert_eq!(evicted(&planner.plan(&sees)), ["a"]);
    let gone = EngineSnapshot { arrivals: 3, ..stopped("a", 400) };
    planner.plan(&snapshot(second(13.5), vec![gone, resident("b", 300)]));
    let seen = only(planner.take_judged(), "evict").seen;
    assert_eq!((seen.kept, seen.with, seen.without), (false, 0.5, 0.0));
    // It is back, and stays for longer than the one second that it could count on before.
    let at = second(20.0);
    let ready_since = Some(at.saturating_sub(Duration::from_millis(1500)));
    let back = EngineSnapshot { ready_since, ..resident("a", 400) };
    let engines = || vec![back.clone(), stopped("b", 300)];
    assert_eq!(evicted(&planner.plan(&waits(snapshot(at, engines()), "b", 300, at))), [""; 0]);
    let later = second(20.6);
    let plan = planner.plan(&waits(snapshot(later, engines()), "b", 300, later));
    assert_eq!(evicted(&plan), ["a"]);
}

#[test]
fn an_eviction_for_somebody_who_waits_is_kept_where_nobody_misses_it() {
    let mut planner = planner();
    let at = second(10.0);
    let engines = vec![resident("idle", 400), stopped("c", 300)];
    let plan = planner.plan(&waits(snapshot(at, engines), "c", 300, at));
    assert_eq!(evicted(&plan), ["idle"]);
    let after = || vec![stopped("idle", 400), resident("c", 300)];
    planner.plan(&snapshot(second(10.5), after()));
    planner.plan(&snapshot(second(13.0), after()));
    let seen = only(planner.take_judged(), "evict").seen;
    assert_eq!((seen.kept, seen.with, seen.without), (true, 0.0, 2.5));
}

#[test]
fn an_engine_that_a_replacement_did_not_help_is_replaced_less_often() {
    let hung = |at| {
        let silent = Duration::from_secs(2);
        snapshot(
            second(at),
            vec![EngineSnapshot { missed_probes: 3, silent, ..resident("a", 200) }],
        )
    };
    let mut planner = planner();
    let mut times = Vec::new();
    for tick in 0..240_u32 {
        let at = 10.0 + f64::from(tick) / 4.0;
        if !planner.plan(&hung(at)).is_empty() {
            times.push(at);
        }
    }
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.is_sorted() && gaps.last() > gaps.first(), "{gaps:?}");
}

#[test]
fn a_strategy_that_hits_less_than_its_simulation_said_is_taken_back() {
    let metrics = |at, hits, misses, policy| CacheMetrics {
        cache: CacheId::new("answers").unwrap(),
        at: second(at),
        hits,
        misses,
        entries: 10,
        weight: 10,
        capacity: 100,
        bytes: None,
        policy,
        reason: Reason::Requested,
    };
    let mut planner = planner();
    planner.observe_cache(&metrics(10.0, 500, 500, CachePolicy::Lru));
    let mut sees = snapshot(second(10.0), Vec::new());
    sees.strategies = vec![CacheStrategy {
        cache: CacheId::new("answers").unwrap(),
        policy: CachePolicy::Sieve,
        capacity: 100,
        time_to_live: None,
        expected: Ratio::saturating(0.6),
        current: Ratio::saturating(0.5),
        reason: Reason::Requested,
    }];
    assert_eq!(planner.plan(&sees).len(), 1);
    planner.observe_cache(&metrics(15.0, 800, 1200, CachePolicy::Sieve));
    let plan = planner.plan(&snapshot(second(15.0), Vec::new()));
    let Action::Retune { strategy } = &plan[0].action else { panic!("{plan:?}") };
    assert_eq!(strategy.policy, CachePolicy::Lru);
    let seen = only(planner.take_judged(), "retune").seen;
    assert_eq!((seen.kept, seen.with, seen.without), (false, 0.3, 0.5));
}

#[test]
fn what_nobody_can_do_is_not_planned_again() {
    let silent = Duration::from_secs(2);
    let hung = EngineSnapshot { missed_probes: 3, silent, ..resident("a", 200) };
    let mut planner = planner();
    let plan = planner.plan(&snapshot(second(10.0), vec![hung.clone()]));
    assert_eq!(planner.verdicts().open(), 1);
    planner.not_done(&plan[0].action, true);
    assert_eq!(planner.verdicts().open(), 0);
    assert_eq!(planner.plan(&snapshot(second(100.0), vec![hung])), []);
}
