//! Every schedule of the pool's state word, its stack and its hand-off, by a model checker.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-pool --release --test loom`
#![cfg(loom)]

use std::pin::pin;
use std::task::Context;

use loom::future::block_on;
use loom::thread;
use plimsoll_pool::model::Model;

/// Tries every schedule of at most three preemptions, as loom's authors advise.
fn check(model: impl Fn() + Sync + Send + 'static) {
    check_within(3, model);
}

fn check_within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn idle(pool: &Model, size: usize) {
    assert_eq!(pool.sizes(), (size, size, 0));
}

#[test]
fn nobody_has_the_same_object_at_once() {
    check(|| {
        let pool = Model::new(2);
        let other = pool.clone();
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                if let Some(lent) = other.try_get() {
                    lent.touch();
                }
            }
        });
        let one = pool.try_get();
        let two = pool.try_get();
        if let (Some(one), Some(two)) = (&one, &two) {
            assert_ne!(one.touch(), two.touch());
        }
        drop((two, one));
        thread.join().unwrap();
        idle(&pool, 2);
    });
}

#[test]
fn a_slot_that_is_popped_and_pushed_meanwhile_fools_nobody() {
    check(|| {
        let pool = Model::new(2);
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let one = other.try_get();
            let two = other.try_get();
            // Back in the other order: the top is again what it was, what is below it is not.
            drop(one);
            drop(two);
        });
        if let Some(lent) = pool.try_get() {
            lent.touch();
        }
        thread.join().unwrap();
        idle(&pool, 2);
    });
}

#[test]
fn what_comes_back_reaches_who_waits() {
    check(|| {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || {
            block_on(other.get()).unwrap().touch();
        });
        drop(held);
        thread.join().unwrap();
        idle(&pool, 1);
    });
}

#[test]
fn two_who_wait_are_both_served() {
    check(|| {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let others = [pool.clone(), pool.clone()];
        let threads = others.map(|other| {
            thread::spawn(move || {
                block_on(other.get()).unwrap().touch();
            })
        });
        drop(held);
        for thread in threads {
            thread.join().unwrap();
        }
        idle(&pool, 1);
    });
}

#[test]
fn a_hand_over_that_crosses_a_cancel_is_not_lost() {
    check(|| {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || {
            let mut waits = pin!(other.get());
            let first = waits.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
            drop(first);
        });
        drop(held);
        thread.join().unwrap();
        idle(&pool, 1);
    });
}

#[test]
fn a_cancel_leaves_the_object_to_the_next() {
    check(|| {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let other = pool.clone();
        let leaves = thread::spawn(move || {
            let mut waits = pin!(other.get());
            let _ = waits.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
        });
        let other = pool.clone();
        let stays = thread::spawn(move || {
            block_on(other.get()).unwrap().touch();
        });
        drop(held);
        leaves.join().unwrap();
        stays.join().unwrap();
        idle(&pool, 1);
    });
}

#[test]
fn a_shrink_that_crosses_a_return_leaves_no_surplus() {
    check(|| {
        let pool = Model::new(2);
        let held = pool.try_get().unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || other.resize(1));
        drop(held);
        thread.join().unwrap();
        idle(&pool, 1);
    });
}

#[test]
fn a_close_that_crosses_a_return_and_a_wait_ends_all() {
    check(|| {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let other = pool.clone();
        let thread = thread::spawn(move || {
            if let Some(lent) = block_on(other.get()) {
                lent.touch();
            }
        });
        let other = pool.clone();
        let closes = thread::spawn(move || other.close());
        drop(held);
        closes.join().unwrap();
        thread.join().unwrap();
        assert_eq!(pool.sizes(), (0, 0, 0));
    });
}

#[test]
fn loans_that_end_together_after_the_last_handle_touch_nothing_that_is_gone() {
    check(|| {
        let pool = Model::new(2);
        let alive = pool.watch();
        let (one, two) = (pool.try_get().unwrap(), pool.try_get().unwrap());
        drop(pool);
        assert!(alive(), "loans keep it alive");
        let thread = thread::spawn(move || drop(one));
        drop(two);
        thread.join().unwrap();
        assert!(!alive(), "nothing is left");
    });
}

#[test]
fn the_last_handle_goes_while_a_loan_comes_back() {
    check(|| {
        let pool = Model::new(1);
        let alive = pool.watch();
        let held = pool.try_get().unwrap();
        let thread = thread::spawn(move || drop(held));
        drop(pool);
        thread.join().unwrap();
        assert!(!alive(), "nothing is left");
    });
}

#[test]
fn objects_are_discarded_while_the_last_handle_goes() {
    check(|| {
        let pool = Model::new(2);
        let alive = pool.watch();
        let (one, two) = (pool.try_get().unwrap(), pool.try_get().unwrap());
        let thread = thread::spawn(move || one.discard());
        drop(pool);
        drop(two);
        thread.join().unwrap();
        assert!(!alive(), "nothing is left");
    });
}

#[test]
fn a_shrink_that_crosses_two_returns_and_the_last_handle_leaves_nothing() {
    check(|| {
        let pool = Model::new(2);
        let alive = pool.watch();
        let (one, two) = (pool.try_get().unwrap(), pool.try_get().unwrap());
        let thread = thread::spawn(move || {
            drop(one);
            drop(two);
        });
        pool.resize(1);
        drop(pool);
        thread.join().unwrap();
        assert!(!alive(), "nothing is left");
    });
}

#[test]
fn a_wait_keeps_its_pool_and_its_end_lets_it_go() {
    check(|| {
        let pool = Model::new(1);
        let alive = pool.watch();
        let held = pool.try_get().unwrap();
        let waits = pool.get();
        let thread = thread::spawn(move || {
            if let Some(lent) = block_on(waits) {
                lent.touch();
            }
        });
        drop(pool);
        drop(held);
        thread.join().unwrap();
        assert!(!alive(), "nothing is left");
    });
}

/// One who waits already, so that the next ones come without the lock.
fn first_in_line(pool: &Model) -> std::pin::Pin<Box<plimsoll_pool::model::Get>> {
    let mut waits = Box::pin(pool.get());
    let context = &mut Context::from_waker(std::task::Waker::noop());
    assert!(waits.as_mut().poll(context).is_pending());
    waits
}

#[test]
fn who_comes_without_the_lock_is_served_in_turn() {
    check_within(2, || {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let first = first_in_line(&pool);
        let others = [pool.clone(), pool.clone()];
        let threads = others.map(|other| {
            thread::spawn(move || {
                block_on(other.get()).unwrap().touch();
            })
        });
        drop(held);
        block_on(first).unwrap().touch();
        for thread in threads {
            thread.join().unwrap();
        }
        idle(&pool, 1);
    });
}

#[test]
fn who_came_without_the_lock_and_leaves_takes_nothing_along() {
    check_within(2, || {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let first = first_in_line(&pool);
        let other = pool.clone();
        let leaves = thread::spawn(move || drop(begun(&other)));
        let other = pool.clone();
        let stays = thread::spawn(move || {
            block_on(other.get()).unwrap().touch();
        });
        drop(held);
        block_on(first).unwrap().touch();
        leaves.join().unwrap();
        stays.join().unwrap();
        idle(&pool, 1);
    });
}

/// A wait that has begun, where it has not ended at once.
fn begun(pool: &Model) -> std::pin::Pin<Box<plimsoll_pool::model::Get>> {
    let mut waits = Box::pin(pool.get());
    let _ = waits.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
    waits
}

#[test]
fn the_first_leaves_while_another_comes_behind_it() {
    check_within(2, || {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let first = first_in_line(&pool);
        let other = pool.clone();
        let comes = thread::spawn(move || {
            block_on(other.get()).unwrap().touch();
        });
        let leaves = thread::spawn(move || drop(first));
        drop(held);
        leaves.join().unwrap();
        comes.join().unwrap();
        idle(&pool, 1);
    });
}

#[test]
fn a_close_ends_the_wait_of_who_comes_without_the_lock() {
    check_within(2, || {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let first = first_in_line(&pool);
        let other = pool.clone();
        let comes = thread::spawn(move || drop(block_on(other.get())));
        let other = pool.clone();
        let closes = thread::spawn(move || other.close());
        drop(held);
        drop(block_on(first));
        closes.join().unwrap();
        comes.join().unwrap();
        assert_eq!(pool.sizes(), (0, 0, 0));
    });
}

#[test]
fn a_resize_reaches_who_comes_without_the_lock() {
    check_within(2, || {
        let pool = Model::new(2);
        let (one, two) = (pool.try_get().unwrap(), pool.try_get().unwrap());
        let first = first_in_line(&pool);
        let other = pool.clone();
        let comes = thread::spawn(move || {
            block_on(other.get()).unwrap().touch();
        });
        let other = pool.clone();
        let shrinks = thread::spawn(move || other.resize(1));
        drop(one);
        drop(two);
        block_on(first).unwrap().touch();
        comes.join().unwrap();
        shrinks.join().unwrap();
        idle(&pool, 1);
    });
}

#[test]
fn more_than_can_come_without_the_lock_are_all_served() {
    check_within(2, || {
        let pool = Model::new(1);
        let held = pool.try_get().unwrap();
        let mut waits = vec![first_in_line(&pool)];
        // Three come unseen, of whom the fourth takes notice.
        waits.extend((0..3).map(|_| first_in_line(&pool)));
        let other = pool.clone();
        let comes = thread::spawn(move || {
            block_on(other.get()).unwrap().touch();
        });
        drop(held);
        for wait in waits {
            block_on(wait).unwrap().touch();
        }
        comes.join().unwrap();
        idle(&pool, 1);
    });
}
