//! What is done at each poll, each decision and each tick.

use std::future::Future;
use std::hint::black_box;
use std::num::NonZeroU32;
use std::pin::pin;
use std::process::{Child, Command};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use governor::{Quota, RateLimiter};
use plimsoll_bench::criterion::Criterion;
use plimsoll_bench::{OWN, criterion, goal};
use plimsoll_core_types::{
    Clock, ConsumerId, Millicores, Priority, SystemClock, TaskClass, TenantId,
};
use plimsoll_cpu::account::{AccountConfig, Accountant};
use plimsoll_cpu::process::Monitor;
use plimsoll_cpu::throttle::{Throttle, ThrottleConfig};
use plimsoll_cpu::{HostConfig, HostCpu};
use sysinfo::{CpuRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};
use tokio_metrics::TaskMonitor;

/// How many processes a tick looks at.
const PROCESSES: usize = 64;

fn main() {
    let mut criterion = criterion();
    poll_accounting(&mut criterion);
    throttle(&mut criterion);
    monitor_tick(&mut criterion);
    criterion.final_summary();
}

fn class() -> TaskClass {
    TaskClass { model: None, tenant: TenantId::DEFAULT, priority: Priority::Normal }
}

/// Polls `future`, which never ends, once an iteration.
fn poll_each(criterion: &mut Criterion, row: &str, name: &str, future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    // Long enough for a sampler to find its distance.
    for _ in 0..100_000 {
        assert!(future.as_mut().poll(&mut context).is_pending());
    }
    let mut group = criterion.benchmark_group(row);
    group.bench_function(name, |b| {
        b.iter(|| black_box(future.as_mut().poll(&mut context)).is_pending());
    });
    group.finish();
}

/// A poll that does next to nothing, so that what is measured is the account.
fn idle() -> impl Future<Output = ()> {
    std::future::poll_fn(|_| {
        black_box(());
        std::task::Poll::Pending
    })
}

fn poll_accounting(criterion: &mut Criterion) {
    // As it comes, measured polls included, and between two measured polls.
    let rows = [
        ("cpu.poll_accounting", AccountConfig::default()),
        (
            "cpu.poll_accounting{clock=not_sampled}",
            AccountConfig { most_interval: u32::MAX, ..AccountConfig::default() },
        ),
    ];
    for (row, config) in rows {
        goal(row, 15.0);
        let accountant = Accountant::new(&config);
        poll_each(criterion, row, "bare", idle());
        poll_each(criterion, row, OWN, accountant.account(&class(), idle()));
        let monitor = TaskMonitor::new();
        poll_each(criterion, row, "tokio-metrics", monitor.instrument(idle()));
    }
}

fn throttle(criterion: &mut Criterion) {
    goal("cpu.throttle", 20.0);
    // A rate that is never reached: what is measured is a decision to go on.
    let config = ThrottleConfig {
        rate: Millicores::from_cores(1000),
        burst: Duration::from_secs(1),
        ..ThrottleConfig::default()
    };
    let throttle = Throttle::new(&config, Arc::new(SystemClock::new())).expect("within bounds");
    let accountant = Accountant::new(&AccountConfig::default());
    let class = throttle.class(1.0, accountant.meter(&class())).expect("there is room");
    let mut group = criterion.benchmark_group("cpu.throttle");
    group.bench_function(OWN, |b| {
        b.iter(|| {
            assert!(black_box(&class).check().is_ok());
            class.charge(black_box(Duration::from_nanos(100)));
        });
    });
    let limiter = RateLimiter::direct(Quota::per_second(NonZeroU32::MAX));
    group.bench_function("governor", |b| {
        b.iter(|| black_box(&limiter).check().is_ok());
    });
    group.finish();
}

/// Children that sleep, and end with this.
struct Sleepers(Vec<Child>);

impl Sleepers {
    fn new(count: usize) -> Self {
        let sleeper = || Command::new("sleep").arg("3600").spawn().expect("there is a sleep");
        Self((0..count).map(|_| sleeper()).collect())
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn monitor_tick(criterion: &mut Criterion) {
    let clock = SystemClock::new();
    // Nothing remembered: every file is read at every tick.
    let config = HostConfig {
        refresh_every: Duration::ZERO,
        measure_over: Duration::from_nanos(1),
        ..HostConfig::default()
    };
    let host = HostCpu::with_config(config).expect("within bounds");
    goal("cpu.monitor_tick{what=host}", 50_000.0);
    let mut group = criterion.benchmark_group("cpu.monitor_tick{what=host}");
    group.bench_function(OWN, |b| b.iter(|| black_box(host.effective(clock.now()))));
    group.bench_function("sysinfo", |b| {
        // Anew each time: within 200 ms of a refresh, another one reads nothing.
        let what = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing().with_usage());
        b.iter(|| black_box(System::new_with_specifics(what).expect("a supported host")));
    });
    group.finish();
    let sleepers = Sleepers::new(PROCESSES);
    let mut monitor = Monitor::new(PROCESSES);
    for child in &sleepers.0 {
        let consumer = ConsumerId::new("sleeper").expect("a name");
        monitor.watch(consumer, child.id()).expect("a child that runs");
    }
    let host = HostCpu::system();
    let pids: Vec<Pid> = sleepers.0.iter().map(|child| Pid::from_u32(child.id())).collect();
    let mut group = criterion.benchmark_group("cpu.monitor_tick{what=64_processes}");
    group.bench_function(OWN, |b| {
        b.iter(|| {
            let reading = monitor.tick(&host, clock.now());
            assert_eq!(reading.processes.len(), PROCESSES);
            black_box(reading)
        });
    });
    let mut system = System::new().expect("a supported host");
    group.bench_function("sysinfo", |b| {
        b.iter(|| {
            let what = ProcessRefreshKind::nothing().with_cpu();
            system.refresh_processes_specifics(ProcessesToUpdate::Some(&pids), true, what)
        });
    });
    group.finish();
}
