mod model;
mod sharing;
mod waiting;

use super::*;

fn name(text: &str) -> ConsumerId {
    ConsumerId::new(text).unwrap()
}

fn mib(count: u64) -> Bytes {
    Bytes::from_mib(count)
}

fn root(limit: Bytes) -> Budget {
    Budget::root(name("host"), limit, BudgetConfig::default()).unwrap()
}

/// Nothing is held, and everything can be had.
#[track_caller]
fn assert_whole(root: &Budget) {
    let status = root.status();
    assert_eq!(status.held, Bytes::ZERO, "{status:?}");
    let all = root.try_reserve(status.limit).expect("everything can be had");
    drop(all);
}

#[test]
fn the_tightest_of_all_ancestors_binds() {
    let host = root(mib(100));
    let group = host.child(name("group"), Allowance::bytes(mib(60))).unwrap();
    let model = group.child(name("model"), Allowance::bytes(mib(80))).unwrap();
    let held = model.try_reserve(mib(50)).unwrap();
    let refused = model.try_reserve(mib(20)).unwrap_err();
    assert_eq!((refused.limiter(), refused.available()), (group.id(), mib(10)));
    assert_eq!(refused.cause(), Cause::Limit);
    let beside = host.try_reserve(mib(45)).unwrap();
    let refused = model.try_reserve(mib(10)).unwrap_err();
    assert_eq!((refused.limiter(), refused.available()), (host.id(), mib(5)));
    drop((held, beside));
    assert_whole(&host);
    let never = model.try_reserve(mib(70)).unwrap_err();
    assert_eq!((never.limiter(), never.available()), (group.id(), mib(60)));
}

#[test]
fn reservations_grow_shrink_split_merge_and_move() {
    let host = root(mib(100));
    let a = host.child(name("a"), Allowance::bytes(mib(60))).unwrap();
    let b = host.child(name("b"), Allowance::bytes(mib(30))).unwrap();
    let mut one = a.try_reserve(mib(40)).unwrap();
    one.try_grow(mib(10)).unwrap();
    assert_eq!(one.shrink(mib(5)), mib(5));
    assert_eq!(one.bytes(), mib(45));
    one.try_grow(mib(16)).unwrap_err();
    assert_eq!(one.bytes(), mib(45), "a refused growth changes nothing");
    let mut two = one.split(mib(20));
    assert_eq!((one.bytes(), two.bytes()), (mib(25), mib(20)));
    two.transfer(&b).unwrap();
    assert_eq!(a.status().held, mib(25));
    assert_eq!(b.status().held, mib(20));
    let (two, error) = one.merge(two).unwrap_err();
    assert_eq!(error.theirs, b.id());
    let refused = one.transfer(&b).unwrap_err();
    assert_eq!(refused.limiter(), b.id());
    let mut three = two;
    three.transfer(&a).unwrap();
    one.merge(three).unwrap();
    assert_eq!(one.bytes(), mib(45));
    assert_eq!(one.shrink(mib(99)), mib(45), "no more than it holds");
    one.try_resize(mib(7)).unwrap();
    one.try_resize(mib(3)).unwrap();
    assert_eq!(host.status().held, mib(3));
    drop(one);
    assert_whole(&host);
}

#[test]
fn moving_within_a_full_tree_needs_no_room_in_common() {
    let host = root(mib(100));
    let a = host.child(name("a"), Allowance::default()).unwrap();
    let b = host.child(name("b"), Allowance::default()).unwrap();
    let mut all = a.try_reserve(mib(100)).unwrap();
    all.transfer(&b).unwrap();
    assert_eq!((a.status().held, b.status().held), (Bytes::ZERO, mib(100)));
    let other = root(mib(50));
    all.transfer(&other).unwrap_err();
    all.shrink(mib(60));
    all.transfer(&other).unwrap();
    assert_eq!((host.status().held, other.status().held), (Bytes::ZERO, mib(40)));
}

#[test]
fn a_limit_that_falls_below_what_is_held_is_a_debt() {
    let host = root(mib(100));
    let half = host.child(name("half"), Allowance::of("50%".parse().unwrap())).unwrap();
    let mut held = half.try_reserve(mib(50)).unwrap();
    host.set_limit(mib(60)).unwrap();
    assert_eq!(half.status().limit, mib(30), "a share follows");
    half.try_reserve(mib(1)).unwrap_err();
    held.shrink(mib(20));
    half.try_reserve(Bytes::new(1)).unwrap_err();
    held.shrink(mib(1));
    drop(half.try_reserve(mib(1)).unwrap());
    host.set_limit(mib(100)).unwrap();
    drop(half.try_reserve(mib(21)).unwrap());
    assert!(host.set_limit(Bytes::ZERO).is_err());
}

#[test]
fn nodes_that_make_no_sense_are_named() {
    let host = root(mib(100));
    let check = |allowance, expected: &str| {
        let error = host.child(name("x"), allowance).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(Allowance::bytes(Bytes::ZERO), "above 0");
    check(Allowance::bytes(Bytes::MAX), "below 4 EiB");
    check(Allowance::bytes(mib(10)).guaranteed(mib(11)), "more than its limit of 10 MiB");
    let _first = host.child(name("a"), Allowance::default().guaranteed(mib(70))).unwrap();
    check(Allowance::default().guaranteed(mib(31)), "101 MiB would be guaranteed");
    let mut below = host.clone();
    for _ in 1..MOST_LEVELS {
        below = below.child(name("deeper"), Allowance::default()).unwrap();
    }
    let error = below.child(name("deepest"), Allowance::default()).unwrap_err().to_string();
    assert!(error.contains("8 levels"), "{error}");
}

#[test]
fn a_node_lives_as_long_as_anything_of_it() {
    let host = root(mib(100));
    let child = host.child(name("child"), Allowance::bytes(mib(10))).unwrap();
    let below = child.child(name("below"), Allowance::default()).unwrap();
    let held = below.try_reserve(mib(4)).unwrap();
    drop((child, below));
    assert_eq!(host.statuses().len(), 3);
    assert_eq!(host.status().held, mib(4));
    drop(held);
    assert_eq!(host.statuses().len(), 1);
    assert_whole(&host);
}

#[test]
fn a_panic_gives_back() {
    let host = root(mib(10));
    let theirs = host.clone();
    let unwound = std::thread::spawn(move || {
        let host = theirs;
        let mut leaf = host.leaf();
        leaf.try_grow(mib(3)).unwrap();
        let _held = host.try_reserve(mib(4)).unwrap();
        let _hold = host.try_hold(mib(2)).unwrap();
        std::panic::resume_unwind(Box::new(()));
    });
    assert!(unwound.join().is_err());
    assert_whole(&host);
}

#[test]
fn leaves_carve_and_absorb() {
    let host = root(mib(64));
    let mut leaf = host.leaf();
    leaf.try_grow(mib(8)).unwrap();
    let part = leaf.carve(mib(3));
    assert_eq!((leaf.held(), part.bytes()), (mib(5), mib(3)));
    let elsewhere = std::thread::spawn(move || part).join().unwrap();
    leaf.absorb(elsewhere).unwrap();
    assert_eq!(leaf.held(), mib(8));
    let other = root(mib(1)).try_reserve(mib(1)).unwrap();
    assert!(leaf.absorb(other).is_err());
    assert_eq!(leaf.shrink(mib(99)), mib(8));
    assert!(leaf.stock() <= Bytes::from_kib(64));
    leaf.settle();
    assert_eq!(leaf.stock(), Bytes::ZERO);
    drop(leaf);
    assert_whole(&host);
}

#[test]
fn a_lease_is_the_root_and_goes_back_with_the_last_of_the_tree() {
    use plimsoll_core_types::{
        LeaseHolder, LeaseId, ReleaseError, RenewError, ResizeError, ResourceVector, Timestamp,
    };
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug, Default)]
    struct Pool(AtomicBool);
    impl LeaseHolder for Pool {
        fn release(&self, _: LeaseId) -> Result<(), ReleaseError> {
            self.0.store(true, Ordering::Relaxed);
            Ok(())
        }
        fn resize(&self, id: LeaseId, _: &ResourceVector) -> Result<(), ResizeError> {
            Err(ResizeError::Ended { id })
        }
        fn renew(&self, id: LeaseId, _: Duration) -> Result<Timestamp, RenewError> {
            Err(RenewError::Unlimited { id })
        }
    }
    let pool = Arc::new(Pool::default());
    let lease = |memory| {
        let amount = ResourceVector::new().with_memory(memory);
        Resource::new(LeaseId::new(1), amount, Arc::clone(&pool) as Arc<dyn LeaseHolder>)
    };
    let config = BudgetConfig::default();
    let engine =
        Budget::of_lease(name("engine"), lease(mib(10)), Sharing::FirstCome, config).unwrap();
    let held = engine.try_reserve(mib(10)).unwrap();
    engine.try_reserve(Bytes::new(1)).unwrap_err();
    drop(engine);
    assert!(!pool.0.load(Ordering::Relaxed), "something is still held of it");
    drop(held);
    assert!(pool.0.load(Ordering::Relaxed));
    let empty = Budget::of_lease(name("e"), lease(Bytes::ZERO), Sharing::Even, config);
    assert!(matches!(empty, Err(BudgetError::NoMemory { .. })));
}
