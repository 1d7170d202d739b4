//! What the hot paths take: allocations, and looks at the clock.

#![cfg(not(loom))]
mod idle;

use std::cell::Cell;
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use plimsoll_core_types::Timestamp;
use plimsoll_integration::resilience::{Breaker, BreakerConfig};
use plimsoll_testkit::{Counting, allocations};

use idle::System;

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

/// What the allocator is asked for in one round over so many models, when it has gone round a few
/// times. On a thread of its own it is not counted: the parts are called on this one.
async fn allocations_of_a_round(models: u64) -> u64 {
    let System { clock, parts, optimizer } = System::of(models, false).await;
    assert_eq!(parts.pool.monitor().leases.len() as u64, models);
    for _ in 0..5 {
        clock.advance(Duration::from_millis(10));
        assert_eq!(optimizer.tick().await, []);
    }
    clock.advance(Duration::from_millis(10));
    let mut context = Context::from_waker(Waker::noop());
    allocations(|| {
        let Poll::Ready(decisions) = pin!(optimizer.tick()).poll(&mut context) else {
            panic!("nothing waits");
        };
        assert_eq!(decisions, []);
    })
}

#[tokio::test]
async fn a_round_asks_the_allocator_no_more_often_for_many_models_than_for_few() {
    let (few, many) = (allocations_of_a_round(4).await, allocations_of_a_round(400).await);
    // A longer number may make a text grow once more.
    assert!(many <= few + 4 && few < 100, "{few} for 4 models, {many} for 400");
}
