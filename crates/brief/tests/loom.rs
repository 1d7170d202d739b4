//! Every schedule of the lock, by a model checker.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-brief --release --test loom`
#![cfg(loom)]

use loom::sync::Arc;
use loom::thread;
use plimsoll_brief::Brief;

/// Adds one to both where the lock is free; how many were added.
fn try_to_add(lock: &Brief<(usize, usize)>) -> usize {
    lock.try_lock().map_or(0, |mut both| {
        assert_eq!(both.0, both.1, "seen half done");
        both.0 += 1;
        both.1 += 1;
        1
    })
}

#[test]
fn one_at_a_time_sees_all_that_was_done_before() {
    loom::model(|| {
        let lock = Arc::new(Brief::new((0, 0)));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let lock = Arc::clone(&lock);
                thread::spawn(move || try_to_add(&lock) + try_to_add(&lock))
            })
            .collect();
        let mut added = try_to_add(&lock);
        for other in others {
            added += other.join().unwrap();
        }
        assert_eq!(*lock.lock(), (added, added));
        assert!(added > 0, "somebody comes first");
    });
}

#[test]
fn who_finds_it_taken_gets_it_when_it_is_given_back() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let lock = Arc::new(Brief::new(0));
        let other = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || *lock.lock() += 1)
        };
        *lock.lock() += 1;
        other.join().unwrap();
        assert_eq!(*lock.lock(), 2);
    });
}
