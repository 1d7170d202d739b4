//! What the hot paths allocate: nothing.

use plimsoll_core_types::{Bytes, CapacityProbe as _, ConsumerId, Timestamp};
use plimsoll_memory::budget::{Allowance, Budget, BudgetConfig};
use plimsoll_memory::{HostMemory, process::ProcessMemory};
use plimsoll_testkit::Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many allocations `act` makes, once it has warmed up.
fn allocations(mut act: impl FnMut()) -> u64 {
    act();
    plimsoll_testkit::allocations(|| {
        for _ in 0..100 {
            act();
        }
    })
}

fn name(text: &str) -> ConsumerId {
    ConsumerId::new(text).unwrap()
}

#[test]
fn reserving_and_giving_back_allocate_nothing() {
    let host = Budget::root(name("host"), Bytes::from_mib(64), BudgetConfig::default()).unwrap();
    let group = host.child(name("group"), Allowance::default()).unwrap();
    let model = group.child(name("model"), Allowance::default()).unwrap();
    let kib = Bytes::from_kib(1);
    let mut leaf = model.leaf();
    let leased = allocations(|| {
        leaf.try_grow(kib).unwrap();
        leaf.shrink(kib);
    });
    let held = allocations(|| drop(model.try_hold(kib).unwrap()));
    let reserved = allocations(|| drop(model.try_reserve(kib).unwrap()));
    assert_eq!((leased, held, reserved), (0, 0, 0));
}

#[test]
fn a_refusal_allocates_nothing() {
    let host = Budget::root(name("host"), Bytes::from_mib(64), BudgetConfig::default()).unwrap();
    let model = host.child(name("model"), Allowance::default()).unwrap();
    let full = host.try_reserve(Bytes::from_mib(64)).unwrap();
    let refused = allocations(|| assert!(model.try_reserve(Bytes::from_kib(1)).is_err()));
    let never = allocations(|| assert!(model.try_reserve(Bytes::from_gib(1)).is_err()));
    let mut leaf = model.leaf();
    let leased = allocations(|| assert!(leaf.try_grow(Bytes::from_kib(1)).is_err()));
    assert_eq!((refused, never, leased), (0, 0, 0));
    drop(full);
}

/// A reading's notes are the caller's: without any, a sample allocates nothing.
#[test]
fn sensing_allocates_nothing() {
    let host = HostMemory::system();
    if !host.sample(Timestamp::ZERO).unwrap().notes.is_empty() {
        return plimsoll_testkit::skip("sensing_allocates_nothing", "this host's probe has notes");
    }
    let sampled = allocations(|| drop(host.sample(Timestamp::ZERO).unwrap()));
    let own = ProcessMemory::open(std::process::id()).unwrap();
    let quick = allocations(|| assert!(own.quick().is_ok()));
    let sample = allocations(|| assert!(own.sample().is_ok()));
    let exact = allocations(|| assert!(own.exact().is_ok()));
    assert_eq!((sampled, quick, sample, exact), (0, 0, 0, 0));
}
