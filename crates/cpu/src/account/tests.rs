use std::cell::Cell as StdCell;
use std::future::poll_fn;
use std::task::Waker;

use super::*;
use plimsoll_core_types::{Priority, Ratio, TenantId};

thread_local! {
    static TIME: StdCell<u64> = const { StdCell::new(0) };
}

/// CPU time that tests spend by saying so; a reading costs what it is told to.
#[derive(Debug)]
struct Spent {
    reading: u64,
}

impl CpuClock for Spent {
    fn thread_time(&self) -> Duration {
        spend(self.reading);
        Duration::from_nanos(TIME.get())
    }
}

fn spend(nanos: u64) {
    TIME.set(TIME.get() + nanos);
}

fn class(name: &str) -> TaskClass {
    let tenant = TenantId::new(name).unwrap();
    TaskClass { model: None, tenant, priority: Priority::Normal }
}

fn accountant(reading: u64) -> Accountant {
    Accountant::with_clock(&AccountConfig::default(), Arc::new(Spent { reading }))
}

/// Polls a future of `polls` polls to its end.
fn run(meter: &Meter, polls: u64, cost: impl Fn(u64) -> u64) {
    let mut number = 0;
    let mut future = Box::pin(meter.account(poll_fn(|_| {
        spend(cost(number));
        number += 1;
        if number == polls { Poll::Ready(()) } else { Poll::Pending }
    })));
    let mut context = Context::from_waker(Waker::noop());
    while future.as_mut().poll(&mut context).is_pending() {}
}

#[track_caller]
fn check_close(estimate: Duration, truth: u64, within: f64) {
    let error = (estimate.as_nanos() as f64 / truth as f64 - 1.0).abs();
    assert!(error < within, "{estimate:?} for {truth} ns");
}

#[test]
fn long_polls_are_all_measured_and_exact() {
    let accountant = accountant(500);
    let meter = accountant.meter(&class("a"));
    run(&meter, 100, |_| 1_000_000);
    let totals = meter.totals();
    assert_eq!((totals.polls, totals.measured, totals.futures), (100, 100, 1));
    assert_eq!(totals.cpu, Duration::from_millis(100));
}

#[test]
fn short_polls_are_estimated_and_counted() {
    let accountant = accountant(500);
    let meter = accountant.meter(&class("a"));
    let before = TIME.get();
    run(&meter, 2_000_000, |number| 400 + (number % 7) * 200);
    let spent = TIME.get() - before;
    let totals = meter.totals();
    let truth = (0..2_000_000).map(|number| 400 + (number % 7) * 200).sum();
    assert_eq!(totals.polls, 2_000_000);
    // Some 30,000 are measured: chance is half a percent.
    check_close(totals.cpu, truth, 0.03);
    // What measuring cost: two readings each, about a hundredth of it all.
    let overhead = (spent - truth) as f64 / truth as f64;
    assert!((0.005..0.02).contains(&overhead), "{overhead}");
}

#[test]
fn many_futures_of_one_poll_are_estimated_too() {
    let accountant = accountant(500);
    let meter = accountant.meter(&class("a"));
    (0..300_000).for_each(|number| run(&meter, 1, |_| 500 + number % 1000));
    let totals = meter.totals();
    assert_eq!((totals.polls, totals.futures), (300_000, 300_000));
    check_close(totals.cpu, (0..300_000).map(|number| 500 + number % 1000).sum(), 0.08);
}

#[test]
fn classes_are_apart_and_their_number_is_bounded() {
    let config = AccountConfig { most_classes: 2, ..AccountConfig::default() };
    let accountant = Accountant::with_clock(&config, Arc::new(Spent { reading: 10 }));
    for (name, polls) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("a", 5)] {
        run(&accountant.meter(&class(name)), polls, |_| 1000);
    }
    let totals = accountant.totals();
    let counts: Vec<_> = totals
        .iter()
        .map(|(class, totals)| {
            (class.as_ref().map_or("rest", |class| class.tenant.as_str()), totals.polls)
        })
        .collect();
    assert_eq!(counts, [("a", 6), ("b", 2), ("rest", 7)]);
}

#[test]
fn a_dropped_future_hands_in_its_polls() {
    let accountant = accountant(500);
    let meter = accountant.meter(&class("a"));
    run(&meter, 100_000, |_| 100);
    let before = meter.totals().polls;
    let mut future = Box::pin(meter.account(std::future::pending::<()>()));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..77 {
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    drop(future);
    assert_eq!(meter.totals().polls, before + 77);
}

#[test]
fn odd_configs_are_harmless() {
    let config = AccountConfig {
        overhead: Ratio::ZERO,
        most_overhead: Ratio::ZERO,
        most_interval: 0,
        most_classes: 0,
    };
    let accountant = Accountant::with_clock(&config, Arc::new(Spent { reading: 0 }));
    run(&accountant.meter(&class("a")), 1000, |_| 100);
    assert_eq!(accountant.totals()[0].1.measured, 1000);
}

#[test]
fn the_threads_own_clock_sees_work() {
    let accountant = Accountant::new(&AccountConfig::default());
    let meter = accountant.meter(&class("a"));
    let clock = ThreadCpuClock;
    run(&meter, 3, |_| {
        let end = clock.thread_time() + Duration::from_millis(2);
        while clock.thread_time() < end {}
        0
    });
    let cpu = meter.totals().cpu;
    assert!(cpu >= Duration::from_millis(5) && cpu < Duration::from_millis(20), "{cpu:?}");
}
