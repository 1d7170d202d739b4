//! What the hot paths take: allocations, and looks at the clock.

#![cfg(not(loom))]
use std::cell::Cell;

use plimsoll_core_types::Timestamp;
use plimsoll_integration::resilience::{Breaker, BreakerConfig};
use plimsoll_testkit::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_breaker_allocates_nothing_in_any_state() {
    let breaker = Breaker::new(BreakerConfig::default()).unwrap();
    let looks = Cell::new(0_u32);
    let now = Cell::new(0);
    let clock = || {
        looks.set(looks.get() + 1);
        Timestamp::from_nanos(now.get())
    };
    let closed = allocations(|| {
        for call in 0..1000 {
            let permit = breaker.admit(clock).unwrap();
            if call % 7 == 0 { permit.failure(clock) } else { permit.success() }
        }
    });
    assert_eq!((closed, looks.get()), (0, 0));
    let trips = allocations(|| {
        while breaker.is_closed() {
            breaker.admit(clock).unwrap().failure(clock);
        }
        for _ in 0..1000 {
            assert!(breaker.admit(clock).is_err());
        }
        now.set(2_000_000_000);
        for _ in 0..3 {
            breaker.admit(clock).unwrap().success();
        }
    });
    assert_eq!(trips, 0);
    assert!(breaker.is_closed());
    assert_eq!(looks.get(), 1 + 1000 + 3, "once to open, once for each call that is not closed");
}
