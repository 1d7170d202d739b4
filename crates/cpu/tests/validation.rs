//! What the crate promises, in virtual time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{Clock, Millicores, Priority, TaskClass, TenantId, Timestamp};
use plimsoll_cpu::account::{AccountConfig, Accountant, CpuClock};
use plimsoll_cpu::throttle::{Throttle, ThrottleConfig};
use plimsoll_testkit::seed;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::{LocalSet, yield_now};

thread_local! {
    static TIME: Cell<u64> = const { Cell::new(0) };
}

/// CPU time that tasks spend by saying so; reading it costs half a microsecond of it.
#[derive(Debug)]
struct Spent;

impl CpuClock for Spent {
    fn thread_time(&self) -> Duration {
        TIME.set(TIME.get() + 500);
        Duration::from_nanos(TIME.get())
    }
}

/// The runtime's own, paused time.
#[derive(Debug)]
struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.0.elapsed()
    }
}

/// Polls of 20 µs to 2 ms, for ever.
async fn busy(mut rng: StdRng, used: Rc<Cell<u64>>) {
    loop {
        let nanos = 20_000 * (1 << rng.random_range(0_u32..7)) + rng.random_range(0..10_000);
        TIME.set(TIME.get() + nanos);
        used.set(used.get() + nanos);
        yield_now().await;
    }
}

/// The bar: shares within 5% over 10 s of CPU time under a greedy neighbour.
#[tokio::test(start_paused = true)]
async fn classes_get_their_shares_under_a_greedy_neighbour() {
    let seed = seed("classes_get_their_shares", 17);
    let config = ThrottleConfig { rate: Millicores::from_cores(1), ..ThrottleConfig::default() };
    let clock = Arc::new(Virtual(tokio::time::Instant::now()));
    let throttle = Throttle::new(&config, clock).unwrap();
    let accountant = Accountant::with_clock(&AccountConfig::default(), Arc::new(Spent));
    // The neighbour has a hundred tasks and the smallest part; the others have few.
    let classes = [("greedy", 1.0, 100), ("chat", 6.0, 4), ("batch", 3.0, 1)];
    let tasks = LocalSet::new();
    let mut used = Vec::new();
    for (name, weight, count) in classes {
        let tenant = TenantId::new(name).unwrap();
        let class = TaskClass { model: None, tenant, priority: Priority::Normal };
        let class = throttle.class(weight, accountant.meter(&class)).unwrap();
        let sum = Rc::new(Cell::new(0));
        for number in 0..count {
            let rng = StdRng::seed_from_u64(seed ^ (number << 8) ^ weight.to_bits());
            tasks.spawn_local(class.throttle(busy(rng, Rc::clone(&sum))));
        }
        used.push(sum);
    }
    tasks.run_until(tokio::time::sleep(Duration::from_secs(10))).await;
    let sum: u64 = used.iter().map(|used| used.get()).sum();
    // The rate was used, and not passed by more than the three full buckets at the start.
    let seconds = sum as f64 / 1e9;
    assert!((9.8..10.2).contains(&seconds), "{seconds}");
    for ((name, weight, _), used) in classes.iter().zip(&used) {
        let share = used.get() as f64 / sum as f64;
        let error = (share / (weight / 10.0) - 1.0).abs();
        assert!(error < 0.05, "{name}: {share}");
    }
}
