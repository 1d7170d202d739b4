//! Models that come and go together, and those of which one is loaded at a time.

use plimsoll_cache::residency::{Group, GroupKind, Groups};

use super::*;

fn grouped(all: &[(GroupKind, &[&str])]) -> Planner {
    let group = |(kind, members): &(GroupKind, &[&str])| Group {
        kind: *kind,
        members: members.iter().map(|name| ModelId::new(name).unwrap()).collect(),
    };
    let groups = Groups::new(all.iter().map(group).collect()).unwrap();
    Planner::new(PlanConfig { groups, ..PlanConfig::new(mib(512)) }).unwrap()
}

/// A model that is asked for and has asked for no lease yet.
fn kept_out(name: &str, size: u64) -> EngineSnapshot {
    EngineSnapshot { state: EngineState::Waiting, waiting: 1, ..stopped(name, size) }
}

#[test]
fn what_keeps_a_model_out_goes_though_there_is_room() {
    let at = second(10.0);
    let engines = || vec![resident("q4", 100), resident("other", 100), kept_out("q8", 200)];
    let check = |groups: &[(GroupKind, &[&str])], expected: &[&str]| {
        assert_eq!(evicted(&grouped(groups).plan(&snapshot(at, engines()))), expected);
    };
    check(&[(GroupKind::OneOf, &["q4", "q8"])], &["q4"]);
    check(&[(GroupKind::OneOf, &["q4", "q2"])], &[]);
    check(&[], &[]);
    // The companion of the one that must go is of no use without it.
    check(
        &[(GroupKind::OneOf, &["q4", "q8"]), (GroupKind::Together, &["q4", "other"])],
        &["q4", "other"],
    );
}

#[test]
fn one_at_work_keeps_the_other_out_until_patience_ends() {
    let mut planner = grouped(&[(GroupKind::OneOf, &["q4", "q8"])]);
    let busy = EngineSnapshot { in_progress: 1, ..resident("q4", 100) };
    let engines = || vec![busy.clone(), kept_out("q8", 100)];
    let at = second(10.0);
    assert_eq!(evicted(&planner.plan(&snapshot(at, engines()))), [""; 0]);
    let soon = at + Duration::from_millis(1990);
    assert_eq!(evicted(&planner.plan(&snapshot(soon, engines()))), [""; 0]);
    let later = at + Duration::from_secs(2);
    assert_eq!(evicted(&planner.plan(&snapshot(later, engines()))), ["q4"]);
}

#[test]
fn a_group_goes_whole_or_stays_whole() {
    let at = second(10.0);
    let check = |draft: EngineSnapshot, expected: &[&str]| {
        let mut planner = grouped(&[(GroupKind::Together, &["target", "draft"])]);
        let engines = vec![resident("target", 250), draft, stopped("new", 350)];
        assert_eq!(evicted(&planner.plan(&waits(snapshot(at, engines), "new", 350, at))), expected);
    };
    check(resident("draft", 50), &["target", "draft"]);
    check(EngineSnapshot { in_progress: 1, ..resident("draft", 50) }, &[]);
    check(EngineSnapshot { pinned: true, ..resident("draft", 50) }, &[]);
}

#[test]
fn a_companion_that_loads_pushes_nobody_of_its_own_group_out() {
    let at = second(10.0);
    let mut planner = grouped(&[(GroupKind::Together, &["target", "draft"])]);
    let engines = vec![resident("target", 300), resident("other", 200), stopped("draft", 50)];
    let plan = planner.plan(&waits(snapshot(at, engines), "draft", 50, at));
    assert_eq!(evicted(&plan), ["other"]);
}

#[test]
fn a_load_ahead_asks_for_room_for_the_whole_group_and_minds_who_excludes_it() {
    let check = |groups: &[(GroupKind, &[&str])], expected: &[&str]| {
        let mut planner = grouped(groups);
        let at = second(20.0);
        let engines = vec![resident("old", 250), stopped("target", 200), stopped("draft", 100)];
        let mut sees = snapshot(at, engines);
        sees.forecasts.push(forecast("target", 50.0, at));
        let plan = planner.plan(&sees);
        assert!(prewarmed(&plan), "{plan:?}");
        assert_eq!(evicted(&plan), expected);
    };
    check(&[], &[]);
    check(&[(GroupKind::Together, &["target", "draft"])], &["old"]);
    check(&[(GroupKind::OneOf, &["target", "old"])], &["old"]);
}

#[test]
fn models_can_be_grouped_anew() {
    let at = second(10.0);
    let sees = || snapshot(at, vec![resident("q4", 100), kept_out("q8", 100)]);
    let mut planner = planner();
    assert_eq!(evicted(&planner.plan(&sees())), [""; 0]);
    let members = ["q4", "q8"].map(|name| ModelId::new(name).unwrap()).to_vec();
    let groups = Groups::new(vec![Group { kind: GroupKind::OneOf, members }]).unwrap();
    planner.set_groups(groups);
    assert_eq!(evicted(&planner.plan(&sees())), ["q4"]);
}
