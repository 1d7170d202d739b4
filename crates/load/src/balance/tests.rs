use std::collections::HashMap;
use std::time::Duration;

use plimsoll_core_types::{Ratio, ReplicaId, Timestamp};
use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_nanos(millis * 1_000_000)
}

fn id(number: u64) -> ReplicaId {
    ReplicaId::new(number)
}

fn backend(slots: usize) -> BackendConfig {
    BackendConfig { slots, ..BackendConfig::default() }
}

fn balancer(backends: u64, slots: usize, config: BalancerConfig) -> Balancer {
    let balancer = Balancer::new(config);
    for number in 0..backends {
        assert!(balancer.add(id(number), backend(slots)));
    }
    balancer
}

fn status(balancer: &Balancer, number: u64) -> BackendStatus {
    *balancer.backends().iter().find(|status| status.id == id(number)).unwrap()
}

/// Fails `count` dispatches that come to `number`, and gives back the others.
fn fail(balancer: &Balancer, number: u64, count: usize, now: Timestamp) {
    let mut others = Vec::new();
    let mut failed = 0;
    while failed < count {
        let dispatch = balancer.dispatch(&Work::default(), now).unwrap();
        if dispatch.replica() == id(number) {
            dispatch.fail(now);
            failed += 1;
        } else {
            others.push(dispatch);
        }
        assert!(others.len() < 1000, "{number} gets nothing");
    }
}

#[test]
fn nobody_there_nobody_open_and_no_room_are_told_apart() {
    let config = BalancerConfig { max_backends: 1, ..BalancerConfig::default() };
    let balancer = Balancer::new(config);
    assert_eq!(balancer.dispatch(&Work::default(), at(0)).unwrap_err(), DispatchError::NoBackends);
    assert_eq!(balancer.best(), None);
    assert!(balancer.add(id(1), backend(1)));
    assert!(!balancer.add(id(2), backend(1)), "there is room for one");
    assert_eq!(balancer.best(), Some(id(1)));
    assert!(balancer.drain(id(1)));
    let refused = balancer.dispatch(&Work::default(), at(0)).unwrap_err();
    assert_eq!(refused, DispatchError::Unavailable { backends: 1, retry_after: Duration::ZERO });
    assert!(balancer.add(id(1), backend(2)), "adding again opens it");
    assert!(balancer.dispatch(&Work::default(), at(0)).is_ok());
    assert!(balancer.remove(id(1)) && !balancer.remove(id(1)));
    assert_eq!(balancer.dispatch(&Work::default(), at(0)).unwrap_err(), DispatchError::NoBackends);
}

#[test]
fn what_is_in_progress_on_a_removed_backend_counts_until_it_ends() {
    let balancer = balancer(1, 1, BalancerConfig::default());
    let first = balancer.dispatch(&Work::default(), at(0)).unwrap();
    balancer.remove(id(0));
    balancer.add(id(0), backend(1));
    let second = balancer.dispatch(&Work::default(), at(0)).unwrap();
    assert_eq!(balancer.in_progress(), 2);
    assert_eq!(balancer.backends().len(), 2);
    first.succeed(at(5));
    assert_eq!(balancer.backends().len(), 1);
    drop(second);
    assert_eq!(balancer.in_progress(), 0);
}

#[test]
fn a_fast_failure_never_improves_a_score() {
    let balancer = balancer(2, 1, BalancerConfig::default());
    let mut to_zero = 0;
    for round in 0..200 {
        let dispatch = balancer.dispatch(&Work::default(), at(round * 100)).unwrap();
        if dispatch.replica() == id(0) {
            to_zero += 1;
            dispatch.fail(at(round * 100));
        } else {
            dispatch.succeed(at(round * 100 + 100));
        }
    }
    assert!(to_zero < 15, "{to_zero} of 200 went to the one that fails at once");
}

#[test]
fn work_goes_where_it_is_cached_unless_others_are_done_first() {
    let balancer = balancer(4, 1, BalancerConfig::default());
    let work = Work::expecting(Duration::from_millis(100))
        .cached_on(id(3), Duration::from_millis(90))
        .cached_on(id(9), Duration::from_millis(99));
    let mut there = Vec::new();
    let elsewhere = loop {
        let next = balancer.dispatch(&work, at(0)).unwrap();
        if next.replica() != id(3) {
            break next;
        }
        there.push(next);
        assert!(there.len() <= 10, "affinity overrides: ten of them take as long as one elsewhere");
    };
    // The rest of each takes 10 ms there and 100 ms elsewhere, so some wait for it; how many
    // depends on how far an estimate is trusted.
    assert!(there.len() >= 3, "{} went there", there.len());
    // As long as others are done first it is like any other.
    drop(elsewhere);
    drop(there);
    assert_eq!(balancer.dispatch(&work, at(0)).unwrap().replica(), id(3));
}

#[test]
fn a_slower_backend_gets_less() {
    let balancer = balancer(2, 4, BalancerConfig::default());
    let mut sent = [0_u32; 2];
    let mut in_progress: Vec<(u64, Dispatch<&Balancer>)> = Vec::new();
    for now in 0..20_000 {
        in_progress.sort_by_key(|(end, _)| std::cmp::Reverse(*end));
        while in_progress.last().is_some_and(|(end, _)| *end <= now) {
            in_progress.pop().unwrap().1.succeed(at(now));
        }
        if now % 20 == 0 {
            let dispatch = balancer.dispatch(&Work::default(), at(now)).unwrap();
            let number = dispatch.replica().get() as usize;
            sent[number] += 1;
            in_progress.push((now + [50, 200][number], dispatch));
        }
    }
    assert!(sent[0] > 2 * sent[1], "{sent:?}");
    let (fast, slow) = (status(&balancer, 0).service_time, status(&balancer, 1).service_time);
    assert!(slow > fast.mul_f64(1.5) && slow < fast.mul_f64(6.0), "{fast:?} {slow:?}");
}

#[test]
fn failures_in_a_row_eject_and_a_probe_that_succeeds_brings_back() {
    let balancer = balancer(2, 8, BalancerConfig::default());
    fail(&balancer, 0, 5, at(0));
    assert!(
        matches!(status(&balancer, 0).standing, Standing::Ejected { until } if until == at(1000))
    );
    for _ in 0..50 {
        let dispatch = balancer.dispatch(&Work::default(), at(999)).unwrap();
        assert_eq!(dispatch.replica(), id(1));
        dispatch.succeed(at(999));
    }
    let probe = balancer.dispatch(&Work::default(), at(1000)).unwrap();
    assert_eq!(probe.replica(), id(0));
    let other = balancer.dispatch(&Work::default(), at(1000)).unwrap();
    assert_eq!(other.replica(), id(1), "one probe at a time");
    probe.fail(at(1001));
    let twice = Standing::Ejected { until: at(3001) };
    assert_eq!(status(&balancer, 0).standing, twice);
    let probe = balancer.dispatch(&Work::default(), at(3001)).unwrap();
    assert_eq!(probe.replica(), id(0));
    drop(probe);
    let probe = balancer.dispatch(&Work::default(), at(3002)).unwrap();
    assert_eq!(probe.replica(), id(0), "a probe nobody waited for is sent anew");
    probe.succeed(at(3003));
    assert_eq!(status(&balancer, 0).standing, Standing::Open);
}

#[test]
fn late_binding_sends_nobody_more_than_its_slots() {
    let config = BalancerConfig { binding: Binding::Late, ..BalancerConfig::default() };
    let balancer = balancer(3, 2, config);
    let held: Vec<_> =
        (0..6).map(|_| balancer.dispatch(&Work::default(), at(0)).unwrap()).collect();
    let full = balancer.dispatch(&Work::default(), at(0)).unwrap_err();
    assert!(
        matches!(full, DispatchError::Full { slots: 6, retry_after } if !retry_after.is_zero())
    );
    assert!(balancer.backends().iter().all(|status| status.in_progress == 2));
    drop(held);
    assert!(balancer.dispatch(&Work::default(), at(0)).is_ok());
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64, usize),
    Remove(u64),
    Drain(u64),
    Dispatch,
    Succeed(usize),
    Fail(usize),
    Cancel(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0_u64..12, 1_usize..4).prop_map(|(id, slots)| Step::Add(id, slots)),
        1 => (0_u64..12).prop_map(Step::Remove),
        1 => (0_u64..12).prop_map(Step::Drain),
        8 => Just(Step::Dispatch),
        2 => any::<usize>().prop_map(Step::Succeed),
        6 => any::<usize>().prop_map(Step::Fail),
        2 => any::<usize>().prop_map(Step::Cancel),
        2 => (0_u64..3000).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counts_are_the_dispatches_that_live_and_ejections_stay_under_the_cap(
        steps in prop::collection::vec(step(), 1..400),
        at_most in 0.0_f64..1.2,
        late in any::<bool>(),
    ) {
        let ejection = EjectionConfig { failures: 2, at_most: Ratio::saturating(at_most), ..EjectionConfig::default() };
        let binding = if late { Binding::Late } else { Binding::Early };
        let balancer = Balancer::new(BalancerConfig { binding, ejection, ..BalancerConfig::default() });
        let mut alive: Vec<Dispatch<&Balancer>> = Vec::new();
        let mut now = Timestamp::ZERO;
        for step in steps {
            let take = |alive: &mut Vec<Dispatch<_>>, index: usize| {
                (!alive.is_empty()).then(|| alive.swap_remove(index % alive.len()))
            };
            match step {
                Step::Add(number, slots) => { balancer.add(id(number), backend(slots)); }
                Step::Remove(number) => { balancer.remove(id(number)); }
                Step::Drain(number) => { balancer.drain(id(number)); }
                Step::Dispatch => alive.extend(balancer.dispatch(&Work::default(), now).ok()),
                Step::Succeed(index) => if let Some(dispatch) = take(&mut alive, index) { dispatch.succeed(now); },
                Step::Fail(index) => if let Some(dispatch) = take(&mut alive, index) { dispatch.fail(now); },
                Step::Cancel(index) => drop(take(&mut alive, index)),
                Step::Pass(millis) => now += Duration::from_millis(millis),
            }
            prop_assert_eq!(balancer.in_progress(), alive.len());
            balancer.core.with(|core| core.check_scores());
            let mut by_id: HashMap<ReplicaId, usize> = HashMap::new();
            for dispatch in &alive {
                *by_id.entry(dispatch.replica()).or_default() += 1;
            }
            let statuses = balancer.backends();
            let mut counted: HashMap<ReplicaId, usize> = HashMap::new();
            for status in &statuses {
                *counted.entry(status.id).or_default() += status.in_progress;
            }
            counted.retain(|_, count| *count > 0);
            prop_assert_eq!(counted, by_id);
            let members = statuses.iter().filter(|s| s.standing != Standing::Draining).count();
            let out = statuses.iter().filter(|s| {
                matches!(s.standing, Standing::Ejected { .. } | Standing::Probing)
            }).count();
            prop_assert!(out as f64 <= at_most * members as f64, "{out} of {members} are out");
            prop_assert!(out < members.max(1), "{out} of {members} are out");
        }
        alive.clear();
        prop_assert_eq!(balancer.in_progress(), 0);
    }
}

#[test]
fn answers_without_end_keep_numbers_that_a_processor_works_with() {
    let balancer = balancer(1, 1, BalancerConfig::default());
    fail(&balancer, 0, 1, at(0));
    for step in 0..20_000 {
        balancer.dispatch(&Work::default(), at(step)).unwrap().succeed(at(step));
    }
    // Each takes a sixteenth away: what is left of any of it is nothing, or normal.
    let status = status(&balancer, 0);
    assert_eq!(status.errors, Ratio::ZERO);
    balancer.core.with(|core| core.check_numbers());
}
