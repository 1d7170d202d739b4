//! The hand-off in a class's line, and its balance, under every interleaving.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-cpu --release --test loom`
#![cfg(loom)]

#[path = "../src/throttle/line.rs"]
mod line;
#[path = "../src/throttle/shares.rs"]
mod shares;
#[path = "../src/sync.rs"]
mod sync;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use line::{Line, Turn};
use loom::thread;
use plimsoll_core_types::Timestamp;
use shares::Shares;
use sync::{Arc, Mutex, lock};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Asks once, and leaves or goes; gives back whether it still waits behind somebody, unwoken.
fn ask(line: &Line, has_balance: bool, is_dropped: bool) -> bool {
    let woken = std::sync::Arc::new(Count::default());
    let waker = Waker::from(std::sync::Arc::clone(&woken));
    let mut place = None;
    let turn = line.turn(&mut place, &waker, || has_balance);
    if is_dropped && let Some(place) = place.take() {
        line.leave(place);
    }
    turn == Turn::Behind && !is_dropped && woken.0.load(Ordering::SeqCst) == 0
}

#[test]
fn nobody_is_forgotten_in_line() {
    loom::model(|| {
        let line = Arc::new(Line::new());
        let woken = std::sync::Arc::new(Count::default());
        let waker = Waker::from(std::sync::Arc::clone(&woken));
        let mut place = None;
        // One is first, waits, and is dropped while others come.
        assert_eq!(line.turn(&mut place, &waker, || false), Turn::First);
        let others: Vec<_> = [true, false]
            .map(|is_dropped| {
                let line = Arc::clone(&line);
                thread::spawn(move || ask(&line, false, is_dropped))
            })
            .into_iter()
            .collect();
        line.leave(place.unwrap());
        let mut unwoken = 0;
        for other in others {
            unwoken += usize::from(other.join().unwrap());
        }
        // One stays in line. It was told that it is the first, or it was woken to find out: asking
        // again, it is the first, and keeps the timer.
        assert_eq!(line.len(), 1);
        let mut newcomer = None;
        assert_eq!(line.turn(&mut newcomer, &waker, || true), Turn::Behind);
        // `ask` looks at its waker once, maybe before it is woken; it can't be more than that one.
        assert!(unwoken <= 1);
    });
}

#[test]
fn whoever_goes_wakes_the_next() {
    loom::model(|| {
        let line = Arc::new(Line::new());
        let next = std::sync::Arc::new(Count::default());
        let waker = Waker::from(std::sync::Arc::clone(&next));
        let mut first = None;
        assert_eq!(line.turn(&mut first, Waker::noop(), || false), Turn::First);
        let goes = {
            let line = Arc::clone(&line);
            thread::spawn(move || {
                assert_eq!(line.turn(&mut first, Waker::noop(), || true), Turn::Go);
            })
        };
        let mut second = None;
        let turn = line.turn(&mut second, &waker, || false);
        goes.join().unwrap();
        // Either it came after the other had gone, and is the first itself, or it was woken.
        match turn {
            Turn::First => assert_eq!(next.0.load(Ordering::SeqCst), 0),
            Turn::Behind => assert_eq!(next.0.load(Ordering::SeqCst), 1),
            Turn::Go => unreachable!("it has no balance"),
        }
        assert_eq!(line.turn(&mut second, &waker, || true), Turn::Go);
        assert!(line.is_empty());
    });
}

#[test]
fn charges_and_fills_lose_nothing() {
    loom::model(|| {
        let mut shares = Shares::new(1.0, Duration::from_nanos(100), Timestamp::ZERO);
        let balance = shares.add(1.0);
        let shares = Arc::new(Mutex::new(shares));
        balance.charge(Duration::from_nanos(100));
        let charger = {
            let balance = Arc::clone(&balance);
            thread::spawn(move || balance.charge(Duration::from_nanos(30)))
        };
        let filler = {
            let shares = Arc::clone(&shares);
            thread::spawn(move || lock(&shares).fill(Timestamp::from_nanos(40)))
        };
        lock(&shares).fill(Timestamp::from_nanos(50));
        charger.join().unwrap();
        filler.join().unwrap();
        // 100 at the start, 130 used, 50 come in, whoever poured them.
        assert_eq!(balance.get(), 20);
        let shares = lock(&shares);
        assert_eq!((shares.len(), shares.wait(&balance)), (1, Duration::ZERO));
    });
}
