//! One guarded call that does nothing: admit and record.
//!
//! The peers only offer calls of closures or services, so each contender's figure is a whole call.
//! The clock that a breaker reads is the system's, its cost included.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plimsoll_bench::criterion::{Bencher, BenchmarkGroup, Criterion, measurement::WallTime};
use plimsoll_bench::{OWN, criterion, goal};
use plimsoll_core_types::{Clock, SystemClock};
use plimsoll_integration::resilience::{Breaker, BreakerConfig};
use tower::{Service, ServiceExt as _};

fn main() {
    let mut criterion = criterion();
    closed(&mut criterion);
    closed_at_two_threads(&mut criterion);
    failing_now_and_then(&mut criterion);
    open(&mut criterion);
    criterion.final_summary();
}

fn own() -> Breaker {
    Breaker::new(BreakerConfig { failures_in_a_row: 0, ..BreakerConfig::default() })
        .expect("within bounds")
}

#[expect(
    clippy::inline_always,
    reason = "a call through a register-saving wrapper is none of the breaker's"
)]
#[inline(always)]
fn call_own(breaker: &Breaker, clock: &SystemClock, well: bool) -> bool {
    match breaker.admit(|| clock.now()) {
        Ok(permit) if black_box(well) => permit.success(),
        Ok(permit) => permit.failure(|| clock.now()),
        Err(_) => return false,
    }
    true
}

/// The least that one word allows: a look at it before the call, and one after.
fn floor(word: &AtomicU64) -> bool {
    word.load(Ordering::Relaxed) == 0 && black_box(true) && word.load(Ordering::Relaxed) == 0
}

fn answer(well: bool) -> Result<(), ()> {
    if black_box(well) { Ok(()) } else { Err(()) }
}

/// The strategy that failsafe's default has, and the lighter one.
fn failsafe_share() -> impl failsafe::CircuitBreaker + Sync {
    failsafe::Config::new().build()
}

fn failsafe_in_a_row() -> impl failsafe::CircuitBreaker + Sync {
    let pause = failsafe::backoff::constant(Duration::from_hours(1));
    let policy = failsafe::failure_policy::consecutive_failures(5, pause);
    failsafe::Config::new().failure_policy(policy).build()
}

fn recloser() -> recloser::Recloser {
    recloser::Recloser::custom().open_wait(Duration::from_hours(1)).build()
}

fn calls_failsafe(breaker: &impl failsafe::CircuitBreaker, well: bool) -> bool {
    breaker.call(|| answer(well)).is_ok()
}

fn tower_call<S: Service<(), Response = ()>>(service: &mut S) -> bool {
    futures::executor::block_on(async { service.ready().await.is_ok_and(|_| true) })
        && futures::executor::block_on(service.call(())).is_ok()
}

fn tower_service() -> impl Service<(), Response = ()> {
    let layer = tower_resilience_circuitbreaker::CircuitBreakerLayer::builder()
        .build()
        .expect("its defaults are within its bounds");
    tower::ServiceBuilder::new().layer(layer).service(tower::service_fn(async |()| answer(true)))
}

fn closed(criterion: &mut Criterion) {
    let row = "integration.breaker{state=closed,threads=1}";
    goal(row, 3.0);
    let mut group = criterion.benchmark_group(row);
    let (breaker, clock) = (own(), SystemClock::new());
    group.bench_function(OWN, |b| b.iter(|| call_own(&breaker, &clock, true)));
    let word = AtomicU64::new(0);
    group.bench_function("floor", |b| b.iter(|| floor(&word)));
    let (share, in_a_row, recloser) = (failsafe_share(), failsafe_in_a_row(), recloser());
    group.bench_function("failsafe", |b| b.iter(|| calls_failsafe(&share, true)));
    group.bench_function("failsafe-consecutive", |b| b.iter(|| calls_failsafe(&in_a_row, true)));
    group.bench_function("recloser", |b| b.iter(|| recloser.call(|| answer(true)).is_ok()));
    let mut service = tower_service();
    group.bench_function("tower-resilience", |b| b.iter(|| tower_call(&mut service)));
    group.finish();
}

fn closed_at_two_threads(criterion: &mut Criterion) {
    let row = "integration.breaker{state=closed,threads=2}";
    goal(row, 6.0);
    let mut group = criterion.benchmark_group(row);
    let (breaker, clock) = (own(), SystemClock::new());
    together(&mut group, OWN, || call_own(&breaker, &clock, true));
    let word = AtomicU64::new(0);
    together(&mut group, "floor", || floor(&word));
    let (share, in_a_row, recloser) = (failsafe_share(), failsafe_in_a_row(), recloser());
    together(&mut group, "failsafe", || calls_failsafe(&share, true));
    together(&mut group, "failsafe-consecutive", || calls_failsafe(&in_a_row, true));
    together(&mut group, "recloser", || recloser.call(|| answer(true)).is_ok());
    group.finish();
}

/// One call in a hundred fails, so that the share of failures is hardly ever none.
fn failing_now_and_then(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let row = format!("integration.breaker{{state=closed,failing=1%,threads={threads}}}");
        let mut group = criterion.benchmark_group(row);
        let (breaker, clock) = (own(), SystemClock::new());
        let (share, recloser) = (failsafe_share(), recloser());
        if threads == 1 {
            let mut calls = [0_u32; 3];
            let mut well = |index: usize| {
                calls[index] = calls[index].wrapping_add(1);
                !calls[index].is_multiple_of(100)
            };
            group.bench_function(OWN, |b| b.iter(|| call_own(&breaker, &clock, well(0))));
            group.bench_function("failsafe", |b| b.iter(|| calls_failsafe(&share, well(1))));
            group.bench_function("recloser", |b| {
                b.iter(|| recloser.call(|| answer(well(2))).is_ok());
            });
        } else {
            together(&mut group, OWN, || call_own(&breaker, &clock, well_by_thread()));
            together(&mut group, "failsafe", || calls_failsafe(&share, well_by_thread()));
            together(&mut group, "recloser", || recloser.call(|| answer(well_by_thread())).is_ok());
        }
        assert!(breaker.is_closed());
        group.finish();
    }
}

thread_local! {
    static CALLS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

fn well_by_thread() -> bool {
    let calls = CALLS.get().wrapping_add(1);
    CALLS.set(calls);
    !calls.is_multiple_of(100)
}

/// Refused; each breaker reads the clock to know for how long yet.
fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("integration.breaker{state=open,threads=1}");
    let clock = SystemClock::new();
    let hour = Duration::from_hours(1);
    let config = BreakerConfig { open_for: hour, open_at_most: hour, ..BreakerConfig::default() };
    let breaker = Breaker::new(config).expect("within bounds");
    while breaker.is_closed() {
        call_own(&breaker, &clock, false);
    }
    group.bench_function(OWN, |b| b.iter(|| call_own(&breaker, &clock, true)));
    let coarse = clock.now();
    group.bench_function("plimsoll-coarse-clock", |b| {
        b.iter(|| breaker.admit(|| black_box(coarse)).is_ok());
    });
    let in_a_row = failsafe_in_a_row();
    let recloser = recloser();
    for _ in 0..1000 {
        calls_failsafe(&in_a_row, false);
        let _ = recloser.call(|| answer(false));
    }
    group.bench_function("failsafe-consecutive", |b| b.iter(|| calls_failsafe(&in_a_row, true)));
    group.bench_function("recloser", |b| b.iter(|| recloser.call(|| answer(true)).is_ok()));
    group.finish();
}

/// Two threads call at the same time; the figure is the time of one thread's call.
fn together(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, call: impl Fn() -> bool + Sync) {
    group.bench_function(name, |bencher| two_threads(bencher, &call));
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn two_threads(bencher: &mut Bencher<'_, WallTime>, call: &(impl Fn() -> bool + Sync)) {
    bencher.iter_custom(|iterations| {
        let barrier = Barrier::new(2);
        let run = || {
            barrier.wait();
            let start = Instant::now();
            for _ in 0..iterations {
                black_box(call());
            }
            start.elapsed()
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(run);
            let own = run();
            own.max(other.join().expect("the calls do not panic"))
        })
    });
}
