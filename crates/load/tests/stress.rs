//! Storms: backends that come and go under traffic, and waiters that give up at any moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core_types::{Priority, ReplicaId, SystemClock, Timestamp};
use plimsoll_load::{
    Admission, AdmissionConfig, BackendConfig, BackendReport, Balancer, BalancerConfig, Sharing,
    Work,
};

/// One word of pseudo-random numbers for each thread.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

fn storm(balancer: &Balancer, clock: &AtomicU64, seed: u64, steps: usize) {
    let mut draws = Draws(seed);
    let mut held = Vec::new();
    for _ in 0..steps {
        let now = Timestamp::from_nanos(clock.fetch_add(draws.below(2_000_000), Ordering::Relaxed));
        let id = ReplicaId::new(draws.below(48));
        match draws.below(20) {
            0 => {
                let slots = draws.below(5) as usize;
                balancer.add(id, BackendConfig { slots, ..BackendConfig::default() });
            }
            1 if draws.below(4) == 0 => drop(balancer.remove(id)),
            2 if draws.below(4) == 0 => drop(balancer.drain(id)),
            3 => {
                let in_progress = Some(draws.below(9) as usize);
                let report = BackendReport { in_progress, ..BackendReport::default() };
                balancer.report(id, &report, now);
            }
            4..=12 => {
                let work = Work::expecting(Duration::from_micros(draws.below(300_000)))
                    .cached_on(id, Duration::from_millis(50));
                held.extend(balancer.dispatch(&work, now).ok());
            }
            _ if held.is_empty() => {}
            verdict => {
                let ended = held.swap_remove(draws.below(held.len() as u64) as usize);
                match verdict {
                    13 => drop(ended),
                    14 | 15 => ended.fail(now),
                    _ => ended.succeed(now),
                }
            }
        }
        if draws.below(64) == 0 {
            // Whoever is best may be gone by now, but it was somebody.
            assert!(balancer.best().is_none_or(|best| best.get() < 48));
        }
    }
}

#[test]
fn counts_survive_backends_that_come_and_go() {
    let seed = plimsoll_testkit::seed("counts_survive_backends_that_come_and_go", 11);
    for sharing in [Sharing::Sole, Sharing::Shared] {
        let balancer = Balancer::new(BalancerConfig { sharing, ..BalancerConfig::default() });
        let clock = AtomicU64::new(0);
        let steps = plimsoll_testkit::scale(40_000);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (balancer, clock) = (&balancer, &clock);
                scope.spawn(move || storm(balancer, clock, seed + thread, steps));
            }
        });
        assert_eq!(balancer.in_progress(), 0);
        for status in balancer.backends() {
            assert_eq!(status.in_progress, 0);
            assert!(balancer.remove(status.id), "what left with nothing in progress is forgotten");
        }
        assert_eq!((balancer.backends().len(), balancer.best()), (0, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_that_give_up_at_any_moment_lose_no_permit() {
    let seed = plimsoll_testkit::seed("waiters_that_give_up_at_any_moment_lose_no_permit", 5);
    let config = AdmissionConfig { limit: 3, max_waiting: 64, ..AdmissionConfig::default() };
    let admission = Arc::new(Admission::new(config, Arc::new(SystemClock::new())));
    let mut draws = Draws(seed);
    for _ in 0..plimsoll_testkit::scale(2_000) {
        let tasks: Vec<_> = (0..12)
            .map(|_| {
                let admission = Arc::clone(&admission);
                let yields = draws.below(4);
                tokio::spawn(async move {
                    let permit = admission.admit(Priority::Normal, None).await;
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    drop(permit);
                })
            })
            .collect();
        for _ in 0..draws.below(6) {
            tokio::task::yield_now().await;
        }
        for task in &tasks {
            if draws.below(2) == 0 {
                task.abort();
            }
        }
        for task in tasks {
            let _ = task.await;
        }
        assert_eq!((admission.in_progress(), admission.status().waiting), (0, 0));
    }
    assert!(admission.try_admit().is_some());
}
