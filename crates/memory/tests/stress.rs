//! Many threads at one tree: what they truly hold is never past a limit, and all comes back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ConsumerId, Priority};
use plimsoll_memory::budget::{Allowance, Ask, Budget, BudgetConfig, Leaf, Reservation, Sharing};

const LIMIT: u64 = 1 << 20;
const CHILD_LIMIT: u64 = 700 << 10;

fn name(text: &str) -> ConsumerId {
    ConsumerId::new(text).unwrap()
}

/// A generator that needs no crate: xorshift64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// What is held in all and by each child, counted by those who hold it.
#[derive(Default)]
struct Truth {
    all: AtomicU64,
    children: [AtomicU64; 2],
    most: AtomicU64,
}

impl Truth {
    fn take(&self, child: usize, bytes: u64) {
        let all = self.all.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let own = self.children[child].fetch_add(bytes, Ordering::SeqCst) + bytes;
        assert!(all <= LIMIT, "{all} of {LIMIT}");
        assert!(own <= CHILD_LIMIT, "{own} of {CHILD_LIMIT}");
        self.most.fetch_max(all, Ordering::Relaxed);
    }

    fn give(&self, child: usize, bytes: u64) {
        self.all.fetch_sub(bytes, Ordering::SeqCst);
        self.children[child].fetch_sub(bytes, Ordering::SeqCst);
    }
}

fn work(child: usize, node: &Budget, truth: &Truth, dice: &mut Dice, steps: usize) {
    let mut leaf: Leaf = node.leaf();
    let mut held: Vec<Reservation> = Vec::new();
    for _ in 0..steps {
        match dice.roll(8) {
            0..3 => {
                let bytes = dice.roll(4096);
                if leaf.try_grow(Bytes::new(bytes)).is_ok() {
                    truth.take(child, bytes);
                }
            }
            3..6 => {
                let bytes = dice.roll(4096).min(leaf.held().get());
                truth.give(child, bytes);
                leaf.shrink(Bytes::new(bytes));
            }
            6 => {
                let bytes = dice.roll(LIMIT / 4);
                if let Ok(reservation) = node.try_reserve(Bytes::new(bytes)) {
                    truth.take(child, bytes);
                    held.push(reservation);
                }
            }
            _ if held.is_empty() => {}
            _ => {
                let at = dice.roll(held.len() as u64) as usize;
                let gone = held.swap_remove(at);
                truth.give(child, gone.bytes().get());
                drop(gone);
            }
        }
    }
    for gone in held {
        truth.give(child, gone.bytes().get());
    }
    truth.give(child, leaf.held().get());
}

#[test]
fn nothing_passes_a_limit_in_any_schedule_of_threads() {
    let seed = plimsoll_testkit::seed("memory.stress", 7);
    for sharing in [Sharing::FirstCome, Sharing::Even] {
        let config = BudgetConfig { lease: Bytes::from_kib(16), ..BudgetConfig::default() };
        let host = Budget::root_shared(name("host"), Bytes::new(LIMIT), sharing, config).unwrap();
        let nodes = ["a", "b"]
            .map(|n| host.child(name(n), Allowance::bytes(Bytes::new(CHILD_LIMIT))).unwrap());
        let truth = Truth::default();
        let steps = plimsoll_testkit::scale(40_000);
        thread::scope(|scope| {
            for thread in 0..4_usize {
                let (node, truth) = (&nodes[thread % 2], &truth);
                let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + thread as u64 + 1);
                scope.spawn(move || work(thread % 2, node, truth, &mut dice, steps));
            }
        });
        assert_eq!(truth.all.load(Ordering::SeqCst), 0);
        assert!(truth.most.load(Ordering::Relaxed) > LIMIT / 2, "the limit was worked at");
        let status = host.status();
        assert_eq!(status.held, Bytes::ZERO, "{status:?}");
        drop(host.try_reserve(Bytes::new(LIMIT)).expect("all of it came back"));
    }
}

/// Waiters that are granted, cancelled and timed out on several workers at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_and_late_waiters_lose_nothing() {
    let seed = plimsoll_testkit::seed("memory.cancel", 11);
    let host = Budget::root(name("host"), Bytes::new(LIMIT), BudgetConfig::default()).unwrap();
    let rounds = plimsoll_testkit::scale(400);
    let tasks: Vec<_> = (0..16_u64)
        .map(|task| {
            let host = host.clone();
            let mut dice = Dice(seed.wrapping_mul(31) + task + 1);
            tokio::spawn(async move {
                let mut served = 0_u32;
                for _ in 0..rounds {
                    let bytes = Bytes::new(1 + dice.roll(LIMIT / 3));
                    let priority = Priority::ALL[dice.roll(5) as usize];
                    let patience = Duration::from_micros(dice.roll(300));
                    let ask = Ask::new(bytes).priority(priority).within(Duration::from_secs(5));
                    // Half of them are dropped in the middle of waiting.
                    let answer = if dice.roll(2) == 0 {
                        tokio::time::timeout(patience, host.reserve(ask)).await.ok()
                    } else {
                        Some(host.reserve(ask.within(patience)).await)
                    };
                    if let Some(Ok(reservation)) = answer {
                        served += 1;
                        tokio::task::yield_now().await;
                        drop(reservation);
                    }
                }
                served
            })
        })
        .collect();
    let mut served = 0;
    for task in tasks {
        served += task.await.unwrap();
    }
    assert!(served > 0);
    let status = host.status();
    assert_eq!((status.held, status.waiting), (Bytes::ZERO, 0), "{status:?}");
    drop(host.try_reserve(Bytes::new(LIMIT)).expect("all of it came back"));
}
