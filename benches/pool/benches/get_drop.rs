//! One task gets and drops, with something always idle: time, allocations, sizes.
#![expect(deprecated, reason = "fastpool has been renamed; it is compared under its known name")]

use std::hint::black_box;

use plimsoll_bench::{
    Better, Contender, Counting, Row, allocations, contest, emit, goal, goal_times, size, wanted,
};
use plimsoll_bench_pool::{
    ArrayQueued, Bb8, Bitmap, Deadpool, Fastpool, Mobc, Own, OwnFull, Peer, Semaphored, median,
    runtime, timed,
};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SLOTS: usize = 64;

/// Nanoseconds for one get and drop, over `count` of them.
fn spin<P: Peer>(runtime: &Runtime, pool: &P, count: u32) -> f64 {
    let took = timed(|| {
        runtime.block_on(async {
            for _ in 0..count {
                black_box(&pool.get().await);
            }
        });
    });
    took.as_nanos() as f64 / f64::from(count)
}

fn contender<P: Peer>(runtime: &Runtime, count: u32) -> Contender<'_> {
    let pool = runtime.block_on(async {
        let pool = P::new(SLOTS);
        pool.fill(SLOTS).await;
        pool
    });
    // Those that are slow go round less often: each has about the same time.
    spin(runtime, &pool, count / 8);
    (P::NAME, Box::new(move || spin(runtime, &pool, count)))
}

fn floor<'a>(count: u32) -> Contender<'a> {
    let bitmap = Bitmap::new();
    let spin = move || {
        let took = timed(|| {
            for _ in 0..count {
                let bit = bitmap.get();
                black_box(&bitmap);
                bitmap.put(bit.unwrap_or(0));
            }
        });
        took.as_nanos() as f64 / f64::from(count)
    };
    ("floor", Box::new(spin))
}

fn times(runtime: &Runtime) {
    let (rounds, count) = size((60, 40_000), (2, 400));
    let row = |name: &str, own: Contender<'_>, others: bool| {
        let mut contenders = vec![own, floor(count)];
        if others {
            contenders.extend([
                contender::<Semaphored>(runtime, count),
                contender::<ArrayQueued>(runtime, count),
                contender::<Deadpool>(runtime, count / 2),
                contender::<Bb8>(runtime, count / 2),
                contender::<Fastpool>(runtime, count / 2),
                contender::<Mobc>(runtime, count / 8),
            ]);
        }
        let figures = contest(rounds, &mut contenders);
        let medians: Vec<_> = figures.iter().map(|figures| median(figures)).collect();
        let row = Row::new(name, medians[0], "ns", Better::Lower);
        let peers = contenders.iter().zip(&medians).skip(1);
        emit(&peers.fold(row, |row, ((name, _), figure)| row.peer(name, *figure)));
    };
    if wanted("pool.get_drop") {
        goal_times("pool.get_drop", "floor", 2.5);
        row("pool.get_drop", contender::<Own>(runtime, count), true);
        goal_times("pool.get_drop_full", "floor", 4.0);
        row("pool.get_drop_full", contender::<OwnFull>(runtime, count), false);
    }
}

/// Allocations for one get and drop, on the thread that does them.
fn allocated<P: Peer>(runtime: &Runtime) -> f64 {
    const COUNT: u32 = 1000;
    runtime.block_on(async {
        let pool = P::new(SLOTS);
        pool.fill(SLOTS).await;
        let mut total = 0;
        for _ in 0..COUNT {
            // The future is polled in here, so that only this thread's work is counted.
            let mut guard = None;
            let mut get = std::pin::pin!(pool.get());
            let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
            total += allocations(|| {
                if let std::task::Poll::Ready(got) = get.as_mut().poll(context) {
                    guard = Some(got);
                }
                drop(guard.take());
            });
            tokio::task::yield_now().await;
        }
        total as f64 / f64::from(COUNT)
    })
}

/// What a loan takes where it is held.
const fn guard_bytes<P: Peer>() -> f64 {
    size_of::<P::Guard<'static>>() as f64
}

fn sizes(runtime: &Runtime) {
    if wanted("pool.allocs_per_get") {
        goal("pool.allocs_per_get", 0.0);
        let row = Row::new("pool.allocs_per_get", allocated::<Own>(runtime), "", Better::Lower);
        emit(
            &row.peer(Semaphored::NAME, allocated::<Semaphored>(runtime))
                .peer(ArrayQueued::NAME, allocated::<ArrayQueued>(runtime))
                .peer(Deadpool::NAME, allocated::<Deadpool>(runtime))
                .peer(Bb8::NAME, allocated::<Bb8>(runtime))
                .peer(Fastpool::NAME, allocated::<Fastpool>(runtime))
                .peer(Mobc::NAME, allocated::<Mobc>(runtime)),
        );
    }
    if wanted("pool.future_bytes") {
        goal("pool.future_bytes", 128.0);
        runtime.block_on(async {
            let (own, deadpool, bb8) = (<Own as Peer>::new(1), Deadpool::new(1), Bb8::new(1));
            let (mobc, fastpool) = (Mobc::new(1), Fastpool::new(1));
            let semaphore = tokio::sync::Semaphore::new(1);
            let queued = ArrayQueued::new(1);
            let bytes = size_of_val(&Own::get(&own)) as f64;
            emit(
                &Row::new("pool.future_bytes", bytes, "B", Better::Lower)
                    .peer("semaphore", size_of_val(&semaphore.acquire()) as f64)
                    .peer("semaphore-arrayqueue", size_of_val(&queued.get()) as f64)
                    .peer("deadpool", size_of_val(&deadpool.0.get()) as f64)
                    .peer("bb8", size_of_val(&bb8.0.get()) as f64)
                    .peer("mobc", size_of_val(&mobc.0.get()) as f64)
                    .peer("fastpool", size_of_val(&fastpool.0.get()) as f64),
            );
        });
    }
    if wanted("pool.guard_bytes") {
        let bytes = guard_bytes::<Own>();
        emit(
            &Row::new("pool.guard_bytes", bytes, "B", Better::Lower)
                .peer(Semaphored::NAME, guard_bytes::<Semaphored>())
                .peer(ArrayQueued::NAME, guard_bytes::<ArrayQueued>())
                .peer(Deadpool::NAME, guard_bytes::<Deadpool>())
                .peer(Bb8::NAME, guard_bytes::<Bb8>())
                .peer(Mobc::NAME, guard_bytes::<Mobc>())
                .peer(Fastpool::NAME, guard_bytes::<Fastpool>()),
        );
    }
    if wanted("pool.slot_overhead_bytes") {
        goal("pool.slot_overhead_bytes", 16.0);
        let bytes = plimsoll_pool::SLOT_OVERHEAD as f64;
        emit(&Row::new("pool.slot_overhead_bytes", bytes, "B", Better::Lower));
    }
}

fn main() {
    let runtime = runtime();
    times(&runtime);
    sizes(&runtime);
}
