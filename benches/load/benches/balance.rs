//! A pick, a write and a whole lease at 8, 64 and 1024 backends, beside tower's p2c with both of its
//! loads, and pingora's round robin and consistent hashing; and picks of two threads at once.

use std::hint::black_box;
use std::time::{Duration, Instant};

use plimsoll_bench::criterion::Criterion;
use plimsoll_bench::{OWN, criterion, goal};
use plimsoll_bench_load::{balancer, call, exchange, goal_nanos, peak, pending};
use plimsoll_core_types::{ReplicaId, Timestamp};
use plimsoll_load::{BackendReport, Balancer, Work};
use tokio::sync::Semaphore;

const SIZES: [usize; 3] = [8, 64, 1024];

/// Each of `backends` in an order that jumps.
fn place(step: usize, backends: usize) -> ReplicaId {
    ReplicaId::new((step.wrapping_mul(7919) % backends) as u64)
}

fn lease(own: &Balancer, now: Timestamp) {
    let dispatch = own.dispatch(&Work::default(), now).expect("all are open");
    black_box(dispatch.replica());
    dispatch.succeed(now);
}

fn pick(criterion: &mut Criterion, backends: usize) {
    let row = format!("load.pick{{backends={backends}}}");
    goal(&row, 5.0);
    let own = balancer(backends);
    let mut group = criterion.benchmark_group(&row);
    group.bench_function(OWN, |b| {
        b.iter(|| {
            black_box(own.best());
        });
    });
    let (mut pending, mut peak) = (pending(backends), peak(backends));
    group.bench_function("tower-p2c-pending", |b| b.iter(|| call(&mut pending)));
    group.bench_function("tower-p2c-peak-ewma", |b| b.iter(|| call(&mut peak)));
    #[cfg(feature = "pingora")]
    {
        use pingora_load_balancing::LoadBalancer;
        use pingora_load_balancing::selection::{RoundRobin, consistent::KetamaHashing};
        let addresses = || (0..backends).map(|port| format!("127.0.0.1:{}", 10_000 + port));
        let robin = LoadBalancer::<RoundRobin>::try_from_iter(addresses()).expect("addresses");
        let ketama = LoadBalancer::<KetamaHashing>::try_from_iter(addresses()).expect("addresses");
        group.bench_function("pingora-round-robin", |b| {
            b.iter(|| black_box(robin.select(b"", 4)));
        });
        let mut key = 0_u64;
        group.bench_function("pingora-ketama", |b| {
            b.iter(|| {
                key += 1;
                black_box(ketama.select(&key.to_le_bytes(), 4))
            });
        });
    }
    group.finish();
}

fn write(criterion: &mut Criterion, backends: usize) {
    let row = format!("load.write{{backends={backends}}}");
    goal_nanos(&row, 25.0);
    let own = balancer(backends);
    let mut group = criterion.benchmark_group(&row);
    let mut step = 0_usize;
    group.bench_function(OWN, |b| {
        b.iter(|| {
            step += 1;
            let report = BackendReport { in_progress: Some(step % 7), ..BackendReport::default() };
            own.report(place(step, backends), &report, Timestamp::from_nanos(step as u64));
        });
    });
    exchange(&mut group);
    group.finish();
}

fn whole(criterion: &mut Criterion, backends: usize) {
    let row = format!("load.lease{{backends={backends}}}");
    goal_nanos(&row, 30.0);
    let own = balancer(backends);
    let mut group = criterion.benchmark_group(&row);
    let mut now = Timestamp::ZERO;
    group.bench_function(OWN, |b| {
        b.iter(|| {
            now += Duration::from_nanos(100);
            lease(&own, now);
        });
    });
    let sized = Work::expecting(Duration::from_millis(30));
    group.bench_function("plimsoll-sized", |b| {
        b.iter(|| {
            now += Duration::from_nanos(100);
            black_box(own.dispatch(&sized, now).expect("all are open")).succeed(now);
        });
    });
    let semaphore = Semaphore::new(256);
    group.bench_function("tokio-semaphore", |b| {
        b.iter(|| drop(black_box(semaphore.try_acquire())));
    });
    let (mut pending, mut peak) = (pending(backends), peak(backends));
    group.bench_function("tower-p2c-pending", |b| b.iter(|| call(&mut pending)));
    group.bench_function("tower-p2c-peak-ewma", |b| b.iter(|| call(&mut peak)));
    exchange(&mut group);
    group.finish();
}

/// `work` on two threads at once; the time is that of one thread's iteration.
fn both(iterations: u64, work: impl Fn(u64) + Sync) -> Duration {
    let barrier = std::sync::Barrier::new(2);
    let (barrier, work) = (&barrier, &work);
    std::thread::scope(|scope| {
        let run = move || {
            barrier.wait();
            #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
            let begun = Instant::now();
            (0..iterations).for_each(work);
            begun.elapsed()
        };
        let other = scope.spawn(run);
        run().max(other.join().expect("no bench panics"))
    })
}

fn contended(criterion: &mut Criterion) {
    let backends = 64;
    let own = balancer(backends);
    let now = |step: u64| Timestamp::from_nanos(step * 100);
    let mut group = criterion.benchmark_group("load.pick{backends=64,threads=2}");
    group.bench_function(OWN, |b| {
        b.iter_custom(|iterations| {
            both(iterations, |_| {
                black_box(own.best());
            })
        });
    });
    #[cfg(feature = "pingora")]
    {
        use pingora_load_balancing::{LoadBalancer, selection::RoundRobin};
        let addresses = (0..backends).map(|port| format!("127.0.0.1:{}", 10_000 + port));
        let robin = LoadBalancer::<RoundRobin>::try_from_iter(addresses).expect("addresses");
        group.bench_function("pingora-round-robin", |b| {
            b.iter_custom(|iterations| both(iterations, |_| drop(black_box(robin.select(b"", 4)))));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("load.lease{backends=64,threads=2}");
    group.bench_function(OWN, |b| {
        b.iter_custom(|iterations| both(iterations, |step| lease(&own, now(step))));
    });
    let semaphore = Semaphore::new(256);
    group.bench_function("tokio-semaphore", |b| {
        b.iter_custom(|iterations| both(iterations, |_| drop(black_box(semaphore.try_acquire()))));
    });
    group.finish();
}

fn main() {
    let mut criterion = criterion();
    for backends in SIZES {
        pick(&mut criterion, backends);
        write(&mut criterion, backends);
        whole(&mut criterion, backends);
    }
    contended(&mut criterion);
    criterion.final_summary();
}
