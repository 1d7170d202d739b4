use super::*;
use plimsoll_core_types::{ConsumerId, Priority, TaskClass, TenantId};
use proptest::prelude::*;

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

fn report(id: u64, worker: u64, millis: u64, second: u64) -> Task {
    Task {
        id: TaskId::new(id),
        consumer: ConsumerId::new("x").unwrap(),
        class: TaskClass { model: None, tenant: TenantId::DEFAULT, priority: Priority::Normal },
        worker: Some(WorkerId::new(worker)),
        at: at(second),
        cpu: Duration::from_millis(millis),
        waited: Duration::ZERO,
        work: 0,
        threads: 1,
    }
}

/// Workers that run tasks of these costs (in milliseconds each second).
fn balancer(workers: &[&[u64]]) -> Balancer {
    let mut balancer = Balancer::new(BalanceConfig::default());
    for second in 0..2 {
        let mut id = 0;
        for (worker, tasks) in workers.iter().enumerate() {
            balancer.add_worker(WorkerId::new(worker as u64));
            for millis in *tasks {
                balancer.track(&report(id, worker as u64, *millis, second));
                id += 1;
            }
        }
    }
    balancer
}

#[track_caller]
fn check(workers: &[&[u64]], moves: usize, most_after: f64) {
    let answer = balancer(workers).balance(at(1));
    assert_eq!(answer.moves.len(), moves, "{answer:?}");
    assert!(answer.imbalance_after.get() <= most_after, "{answer:?}");
}

#[test]
fn the_fewest_moves() {
    check(&[&[100, 100, 100, 100], &[]], 2, 1.01);
    check(&[&[100, 300, 200], &[]], 1, 1.01);
    check(&[&[100, 100], &[100, 100]], 0, 1.01);
    // Within the hysteresis: uneven, but not enough.
    check(&[&[110, 100], &[90, 100]], 0, 1.11);
    // One giant can't be split, and moving it helps nobody.
    check(&[&[500], &[]], 0, 2.0);
    check(&[&[500, 30], &[]], 1, 1.89);
    check(&[&[500, 10], &[]], 0, 2.0);
    check(&[], 0, 1.0);
    check(&[&[], &[]], 0, 1.0);
    check(&[&[50, 50, 50, 50, 50, 50], &[], &[]], 4, 1.01);
}

#[test]
fn what_was_moved_stays_for_a_while() {
    let mut balancer = balancer(&[&[100, 100], &[]]);
    let moved = balancer.balance(at(1)).moves[0].clone();
    for second in 2..20 {
        // Now both run on the other worker, because somebody moved the rest too.
        balancer.track(&report(0, 1, 100, second));
        balancer.track(&report(1, 1, 100, second));
        let moves = balancer.balance(at(second)).moves;
        assert_eq!(moves.is_empty(), second < 12, "{second}: {moves:?} after {moved:?}");
    }
}

#[test]
fn the_silent_are_forgotten_and_the_known_are_bounded() {
    let loaded = balancer(&[&[100, 100], &[]]);
    assert!(loaded.balance(at(60)).moves.is_empty());
    let config = BalanceConfig { most_tasks: 10, ..BalanceConfig::default() };
    let mut balancer = Balancer::new(config);
    (0..100).for_each(|id| balancer.track(&report(id, 0, 1, id)));
    assert_eq!(balancer.tasks.len(), 10);
    balancer.remove_worker(WorkerId::new(0));
    assert!(balancer.tasks.is_empty());
}

/// The fewest moves after which no worker has more than `limit`, by trying all.
fn fewest(loads: &[(u64, usize)], workers: usize, limit: u64) -> Option<usize> {
    let choices = workers.pow(loads.len() as u32);
    (0..choices)
        .filter_map(|mut choice| {
            let mut sums = vec![0; workers];
            let mut moves = 0;
            for (load, home) in loads {
                let to = choice % workers;
                choice /= workers;
                sums[to] += load;
                moves += usize::from(to != *home);
            }
            sums.iter().all(|sum| *sum <= limit).then_some(moves)
        })
        .min()
}

proptest! {
    #[test]
    fn never_worse_and_near_the_fewest(
        loads in prop::collection::vec((10_u64..500, 0_usize..3), 1..8),
    ) {
        let mut workers = [Vec::new(), Vec::new(), Vec::new()];
        for (load, home) in &loads {
            workers[*home].push(*load);
        }
        let lists: Vec<&[u64]> = workers.iter().map(Vec::as_slice).collect();
        let answer = balancer(&lists).balance(at(1));
        prop_assert!(answer.imbalance_after <= answer.imbalance_before);
        prop_assert!(answer.moves.is_empty() || answer.imbalance_before.get() > 1.2);
        // Whatever evenness it reaches, no schedule reaches it in much fewer moves.
        let sum: u64 = loads.iter().map(|(load, _)| load).sum();
        let reached = answer.imbalance_after.get() * sum as f64 / 3.0;
        let best = fewest(&loads, 3, (reached + 1e-6).ceil() as u64).unwrap();
        prop_assert!(answer.moves.len() <= best + 1, "{} moves, {best} would do", answer.moves.len());
    }
}
