//! What a pool takes: bytes of its slots, of a request and of a loan, and allocations.
#![expect(deprecated, reason = "fastpool has been renamed; it is compared under its known name")]
#![expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use plimsoll_bench::{Better, Counting, Row, allocations, emit, goal, wanted};
use plimsoll_bench_pool::{
    ArrayQueued, Bb8, Deadpool, Fastpool, Mobc, Own, Peer, Semaphored, runtime,
};
use tokio::runtime::Runtime;

/// Counts allocations, and the bytes that are allocated now, by whichever thread.
struct Live;

static LIVE: AtomicI64 = AtomicI64::new(0);

#[global_allocator]
static ALLOCATOR: Live = Live;

// SAFETY: every call is handed on as it came.
unsafe impl GlobalAlloc for Live {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size().cast_signed() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps to the trait's contract, which is passed on unchanged.
        unsafe { Counting.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size().cast_signed() as i64, Ordering::Relaxed);
        // SAFETY: the pointer came from the same allocator with this layout.
        unsafe { Counting.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let more = size.cast_signed() as i64 - layout.size().cast_signed() as i64;
        LIVE.fetch_add(more, Ordering::Relaxed);
        // SAFETY: as for `dealloc`; the size is the caller's to answer for.
        unsafe { Counting.realloc(pointer, layout, size) }
    }
}

/// Bytes that are allocated now.
fn live() -> i64 {
    LIVE.load(Ordering::Relaxed)
}

const SLOTS: usize = 64;
/// A power of two, which is fair to those that grow by doubling.
const MANY: usize = 1024;

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
}

/// Bytes that a slot takes beside its object: what twice as many idle objects take more, for each.
fn slot_overhead<P: Peer>(runtime: &Runtime) -> f64 {
    let taken = |size: usize| {
        runtime.block_on(async {
            let before = live();
            let pool = P::new(size);
            pool.fill(size).await;
            // Some give back in tasks of their own.
            tokio::time::sleep(Duration::from_millis(50)).await;
            live() - before
        })
    };
    // The first one to use a runtime also pays for what that keeps.
    taken(SLOTS);
    let (fewer, more) = (taken(MANY), taken(2 * MANY));
    (more - fewer) as f64 / MANY as f64 - size_of::<u64>() as f64
}

fn slots(runtime: &Runtime) {
    goal("pool.slot_overhead_bytes", 16.0);
    let bytes = slot_overhead::<Own>(runtime);
    emit(
        &Row::new("pool.slot_overhead_bytes", bytes, "B", Better::Lower)
            .peer(ArrayQueued::NAME, slot_overhead::<ArrayQueued>(runtime))
            .peer(Deadpool::NAME, slot_overhead::<Deadpool>(runtime))
            .peer(Bb8::NAME, slot_overhead::<Bb8>(runtime))
            .peer(Mobc::NAME, slot_overhead::<Mobc>(runtime))
            .peer(Fastpool::NAME, slot_overhead::<Fastpool>(runtime)),
    );
}

fn main() {
    let runtime = runtime();
    sizes(&runtime);
    if wanted("pool.slot_overhead_bytes") {
        slots(&runtime);
    }
}
