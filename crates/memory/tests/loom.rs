//! Every interleaving of small programs over one budget: no byte past a limit, none lost.
//!
//! Run by `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-memory --release --test loom`.

#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use plimsoll_core_types::{Bytes, ConsumerId};
use plimsoll_memory::budget::{Allowance, Budget, BudgetConfig};

/// What is truly held, as those who hold it count: after they were granted it, until before they
/// give it back.
#[derive(Clone)]
struct Held(Arc<AtomicU64>);

impl Held {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    fn take(&self, bytes: u64, limit: u64) {
        let before = self.0.fetch_add(bytes, Ordering::SeqCst);
        assert!(before + bytes <= limit, "{before} + {bytes} of {limit}");
    }

    fn give(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::SeqCst);
    }
}

fn name(text: &str) -> ConsumerId {
    ConsumerId::new(text).unwrap()
}

/// A root of `limit` that draws `batch` in advance (a 64th of the limit at most).
fn root(limit: u64, batch: u64, lease: u64) -> Budget {
    let config = BudgetConfig {
        batch: Bytes::new(batch),
        lease: Bytes::new(lease),
        ..BudgetConfig::default()
    };
    Budget::root(name("host"), Bytes::new(limit), config).unwrap()
}

fn explore(program: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(program);
}

#[track_caller]
fn assert_whole(host: &Budget) {
    let limit = host.status().limit;
    drop(host.try_reserve(limit).expect("everything can be had"));
}

#[test]
fn two_take_and_give_back_at_one_node() {
    explore(|| {
        let (host, held) = (root(128, 2, 0), Held::new());
        let work = |host: Budget, held: Held| {
            for bytes in [70, 1] {
                if let Ok(reservation) = host.try_reserve(Bytes::new(bytes)) {
                    held.take(bytes, 128);
                    held.give(bytes);
                    drop(reservation);
                }
            }
        };
        let other = thread::spawn({
            let (host, held) = (host.clone(), held.clone());
            move || work(host, held)
        });
        work(host.clone(), held);
        other.join().unwrap();
        assert_whole(&host);
    });
}

#[test]
fn credit_of_one_node_is_swept_for_another() {
    explore(|| {
        let (host, held) = (root(128, 2, 0), Held::new());
        let nodes = ["a", "b"].map(|n| host.child(name(n), Allowance::default()).unwrap());
        let work = |node: Budget, held: Held, bytes: u64| {
            if let Ok(small) = node.try_reserve(Bytes::new(1)) {
                held.take(1, 128);
                held.give(1);
                drop(small);
            }
            if let Ok(large) = node.try_reserve(Bytes::new(bytes)) {
                held.take(bytes, 128);
                held.give(bytes);
                drop(large);
            }
        };
        let [a, b] = nodes;
        let other = thread::spawn({
            let held = held.clone();
            move || work(a, held, 127)
        });
        work(b, held, 3);
        other.join().unwrap();
        assert_whole(&host);
    });
}

#[test]
fn a_leaf_is_recalled_while_it_works() {
    explore(|| {
        let (host, held) = (root(128, 0, 4), Held::new());
        let other = thread::spawn({
            let (host, held) = (host.clone(), held.clone());
            move || {
                let mut leaf = host.leaf();
                for _ in 0..2 {
                    if leaf.try_grow(Bytes::new(2)).is_ok() {
                        held.take(2, 128);
                        held.give(2);
                        leaf.shrink(Bytes::new(2));
                    }
                }
            }
        });
        if let Ok(large) = host.try_reserve(Bytes::new(126)) {
            held.take(126, 128);
            held.give(126);
            drop(large);
        }
        other.join().unwrap();
        assert_whole(&host);
    });
}

#[test]
fn a_refusal_that_is_remembered_does_not_outlast_what_caused_it() {
    explore(|| {
        let host = root(64, 1, 0);
        let all = host.try_reserve(Bytes::new(64)).unwrap();
        host.try_reserve(Bytes::new(8)).unwrap_err();
        let other = thread::spawn({
            let host = host.clone();
            move || {
                drop(all);
                // Whoever gave back can have it.
                drop(host.try_reserve(Bytes::new(8)));
            }
        });
        let _ = host.try_reserve(Bytes::new(8));
        other.join().unwrap();
        assert_whole(&host);
    });
}

#[test]
fn nodes_come_and_go_beside_reservations() {
    explore(|| {
        let host = root(64, 1, 0);
        let other = thread::spawn({
            let host = host.clone();
            move || {
                let child = host.child(name("child"), Allowance::default()).unwrap();
                let held = child.try_reserve(Bytes::new(40));
                drop(child);
                drop(held);
            }
        });
        drop(host.try_reserve(Bytes::new(30)));
        other.join().unwrap();
        assert_whole(&host);
    });
}
