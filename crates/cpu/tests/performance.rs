//! What costs how many readings of a clock: counted, never timed.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use plimsoll_core_types::{Clock, Priority, TaskClass, TenantId, Timestamp};
use plimsoll_cpu::account::{AccountConfig, Accountant, CpuClock};
use plimsoll_cpu::throttle::{Throttle, ThrottleConfig};

/// Both clocks: each reading is counted, and moves CPU time by half a microsecond.
#[derive(Debug, Default)]
struct Counted {
    cpu: AtomicU64,
    cpu_readings: AtomicU64,
    readings: AtomicU64,
}

impl CpuClock for Counted {
    fn thread_time(&self) -> Duration {
        self.cpu_readings.fetch_add(1, Ordering::Relaxed);
        Duration::from_nanos(self.cpu.fetch_add(500, Ordering::Relaxed) + 500)
    }
}

impl Clock for Counted {
    fn now(&self) -> Timestamp {
        self.readings.fetch_add(1, Ordering::Relaxed);
        Timestamp::ZERO
    }
}

fn class() -> TaskClass {
    TaskClass { model: None, tenant: TenantId::DEFAULT, priority: Priority::Normal }
}

fn poll(future: impl Future<Output = ()>, polls: u64) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..polls {
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
}

/// A poll of `nanos` of CPU time.
fn busy(clock: Arc<Counted>, nanos: u64) -> impl Future<Output = ()> {
    poll_fn(move |_| {
        clock.cpu.fetch_add(nanos, Ordering::Relaxed);
        Poll::Pending
    })
}

#[test]
fn measuring_costs_what_was_allowed() {
    // Of a microsecond, and of a hundred: two readings are a microsecond.
    for (nanos, most_readings) in [(1000, 30_000), (100_000, 2_000_000)] {
        let clock = Arc::new(Counted::default());
        let accountant = Accountant::with_clock(&AccountConfig::default(), clock.clone());
        let before = clock.cpu_readings.load(Ordering::Relaxed);
        poll(accountant.account(&class(), busy(clock.clone(), nanos)), 1_000_000);
        let readings = clock.cpu_readings.load(Ordering::Relaxed) - before;
        assert!(readings <= most_readings, "{nanos}: {readings}");
        assert!(readings > most_readings / 3, "{nanos}: {readings}");
        let overhead = (readings * 500) as f64 / (nanos * 1_000_000) as f64;
        assert!(overhead < 0.015, "{nanos}: {overhead}");
    }
}

#[test]
fn a_decision_to_go_on_reads_no_clock() {
    let clock = Arc::new(Counted::default());
    let accountant = Accountant::with_clock(&AccountConfig::default(), clock.clone());
    let throttle = Throttle::new(&ThrottleConfig::default(), clock.clone()).unwrap();
    let class = throttle.class(1.0, accountant.meter(&class())).unwrap();
    let before = clock.readings.load(Ordering::Relaxed);
    // Ten milliseconds out of the twenty that a bucket holds.
    poll(class.throttle(busy(clock.clone(), 1000)), 10_000);
    assert_eq!(clock.readings.load(Ordering::Relaxed), before);
    // Used up, it looks at the clock once for each question.
    class.charge(Duration::from_millis(20));
    assert!(class.check().is_err());
    assert_eq!(clock.readings.load(Ordering::Relaxed), before + 1);
}
