//! Counts that do not depend on the machine: allocations, sizes.

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use plimsoll_pool::{Hooks, Manager, Pool, PoolConfig, SLOT_OVERHEAD};
use plimsoll_testkit::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Numbers;

impl Manager for Numbers {
    type Object = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(7)
    }
}

struct Mark;

impl Hooks<u64> for Mark {
    fn on_checkout(&self, object: &mut u64) {
        *object += 1;
    }
}

#[tokio::test]
async fn a_loan_of_an_idle_object_allocates_nothing() {
    let plain = Pool::new(Numbers, PoolConfig::new(2)).unwrap();
    let config = PoolConfig {
        lifetime: Some(Duration::from_hours(1)),
        idle_for: Some(Duration::from_mins(1)),
        wait_within: Some(Duration::from_secs(1)),
        recycle_within: Some(Duration::from_secs(1)),
        ..PoolConfig::new(2)
    };
    let full = Pool::builder(Numbers, config).hooks(Mark).build().unwrap();
    for pool in [plain, full] {
        drop(pool.get().await.unwrap());
        let mut context = Context::from_waker(Waker::noop());
        let count = allocations(|| {
            for _ in 0..100 {
                let Poll::Ready(Ok(lent)) = pin!(pool.get()).poll(&mut context) else {
                    panic!("one is idle");
                };
                drop(lent);
            }
        });
        assert_eq!(count, 0);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_wait_and_its_hand_over_allocate_nothing() {
    let pool = Pool::new(Numbers, PoolConfig::new(1)).unwrap();
    let mut held = Some(pool.get().await.unwrap());
    let mut context = Context::from_waker(Waker::noop());
    let count = allocations(|| {
        for _ in 0..50 {
            let mut waits = pin!(pool.get());
            assert!(waits.as_mut().poll(&mut context).is_pending());
            held = None;
            let Poll::Ready(Ok(lent)) = waits.as_mut().poll(&mut context) else {
                panic!("it was handed over");
            };
            held = Some(lent);
        }
    });
    assert_eq!(count, 0);
    drop(held);
}

#[test]
fn sizes_are_within_their_goals() {
    const { assert!(SLOT_OVERHEAD <= 16) };
    assert_eq!(size_of::<plimsoll_pool::Lent<Numbers>>(), 16);
    let pool = Pool::new(Numbers, PoolConfig::new(1)).unwrap();
    assert!(size_of_val(&pool.get()) <= 128, "{}", size_of_val(&pool.get()));
}
