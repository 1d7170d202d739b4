use super::*;

fn even(limit: Bytes) -> Budget {
    Budget::root_shared(name("host"), limit, Sharing::Even, BudgetConfig::default()).unwrap()
}

/// `FairSpillPool` of `DataFusion` divides the limit by how many have registered so far: the first
/// may take all, the second half, the third a third, though the others still hold theirs. Reserved
/// in turns as they come, 100 bytes become 150, then 183, and more.
#[test]
fn datafusion_fair_spill_over_commits_and_this_does_not() {
    for latecomers in 1..12_u64 {
        let host = even(Bytes::new(100));
        let mut held = Vec::new();
        for comer in 0..=latecomers {
            let consumer = host.child(name(&format!("c{comer}")), Allowance::default()).unwrap();
            let share = 100 / (comer + 1);
            // What the other pool would grant it now; the largest part of it that fits here.
            let granted = (0..=share)
                .rev()
                .find_map(|bytes| consumer.try_reserve(Bytes::new(bytes)).ok())
                .unwrap();
            held.push(granted);
            let all: Bytes = held.iter().map(Reservation::bytes).sum();
            assert!(all <= Bytes::new(100), "{comer}: {all}");
            assert_eq!(host.status().held, all);
        }
    }
}

#[test]
fn whoever_came_late_gets_an_even_share_as_the_first_gives_back() {
    let host = even(mib(90));
    let [a, b, c] = ["a", "b", "c"].map(|n| host.child(name(n), Allowance::default()).unwrap());
    let mut first = a.try_reserve(mib(90)).unwrap();
    b.try_reserve(mib(1)).unwrap_err();
    first.shrink(mib(50));
    let second = b.try_reserve(mib(45)).unwrap();
    let refused = b.try_reserve(mib(1)).unwrap_err();
    assert_eq!(refused.cause(), Cause::Share, "half is its share");
    first.try_grow(mib(5)).unwrap();
    first.try_grow(mib(1)).unwrap_err();
    c.try_reserve(mib(1)).unwrap_err();
    drop(second);
    let third = c.try_reserve(mib(45)).unwrap();
    drop((first, third));
    assert_whole(&host);
}

#[test]
fn a_lone_active_consumer_borrows_nearly_all() {
    for sharing in [Sharing::FirstCome, Sharing::Even] {
        let host =
            Budget::root_shared(name("host"), mib(1000), sharing, BudgetConfig::default()).unwrap();
        let idle: Vec<_> = (0..8)
            .map(|number| {
                let allowance = Allowance::default().guaranteed(mib(50));
                host.child(name(&format!("idle{number}")), allowance).unwrap()
            })
            .collect();
        // They have worked, and each has leaves with something in stock, which it now forgets.
        let _leaves: Vec<_> = idle
            .iter()
            .flat_map(|budget| std::iter::repeat_with(|| budget.leaf()).take(16))
            .map(|mut leaf| {
                leaf.try_grow(Bytes::from_kib(40)).unwrap();
                leaf.shrink(Bytes::from_kib(40));
                assert!(!leaf.stock().is_zero());
                leaf
            })
            .collect();
        let active = host.child(name("active"), Allowance::default()).unwrap();
        let borrowed = active.try_reserve(mib(950));
        assert!(borrowed.is_ok(), "{sharing:?}: {borrowed:?}");
    }
}

#[test]
fn what_leaves_have_in_stock_is_bounded_however_many_there_are() {
    let host = root(mib(32));
    let leaves: Vec<_> = (0..5000)
        .map(|_| {
            let mut leaf = host.leaf();
            if leaf.try_grow(Bytes::new(1)).is_ok() {
                leaf.shrink(Bytes::new(1));
            }
            leaf
        })
        .collect();
    let stock: Bytes = leaves.iter().map(Leaf::stock).sum();
    assert!(stock <= mib(1), "{stock}");
    drop(leaves);
    assert_whole(&host);
}

#[test]
fn a_guarantee_is_kept_for_whoever_is_active() {
    let host = root(mib(100));
    let sure = host.child(name("sure"), Allowance::default().guaranteed(mib(40))).unwrap();
    let other = host.child(name("other"), Allowance::default()).unwrap();
    // Idle, it may be borrowed.
    drop(other.try_reserve(mib(100)).unwrap());
    let held = sure.try_reserve(mib(1)).unwrap();
    let refused = other.try_reserve(mib(61)).unwrap_err();
    assert_eq!((refused.cause(), refused.available()), (Cause::Share, mib(60)));
    let rest = other.try_reserve(mib(60)).unwrap();
    let filled = sure.try_reserve(mib(39)).unwrap();
    assert_eq!(host.status().held, mib(100));
    drop((held, rest, filled));
    assert_whole(&host);
}
