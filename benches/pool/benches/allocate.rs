//! A lease of the ledger is allocated and released, through the interface that everybody calls,
//! beside pools that hand out one of a number of equal things.

use std::hint::black_box;
use std::sync::Arc;

use plimsoll_bench::{Better, Contender, Row, contest, emit, size, wanted};
use plimsoll_bench_pool::{Bb8, Deadpool, Peer, Semaphored, median, runtime, timed};
use plimsoll_core_types::{
    Bytes, ConsumerId, ResourcePool, ResourceRequest, ResourceVector, SystemClock,
};
use plimsoll_pool::{LedgerConfig, LedgerPool};
use tokio::runtime::Runtime;

const SLOTS: usize = 64;

/// Nanoseconds for each of `count` rounds of `work`.
fn nanos(runtime: &Runtime, count: u32, work: impl AsyncFn()) -> f64 {
    let took = timed(|| {
        runtime.block_on(async {
            for _ in 0..count {
                work().await;
            }
        });
    });
    took.as_nanos() as f64 / f64::from(count)
}

fn peer<P: Peer>(runtime: &Runtime, count: u32) -> Contender<'_> {
    let pool = runtime.block_on(async {
        let pool = P::new(SLOTS);
        pool.fill(SLOTS).await;
        pool
    });
    let spin = move || nanos(runtime, count, async || drop(black_box(pool.get().await)));
    (P::NAME, Box::new(spin))
}

/// A lease by turns taken and given back, through the interface's trait object or without it.
fn ledger(runtime: &Runtime, count: u32, through_trait: bool) -> Contender<'_> {
    let whole = ResourceVector::new().with_memory(Bytes::new(SLOTS as u64));
    let clock = Arc::new(SystemClock::new());
    let pool = LedgerPool::new(whole, LedgerConfig::default(), clock).expect("a config");
    let one = ResourceVector::new().with_memory(Bytes::new(1));
    let consumer = ConsumerId::new("bench").expect("a name");
    let request = ResourceRequest::new(consumer, one).expect("an amount");
    let spin = move || {
        if through_trait {
            let pool: &dyn ResourcePool = &pool;
            nanos(runtime, count, async || {
                let lease = pool.allocate(request.clone()).await.expect("it fits");
                black_box(pool.release(lease).await).expect("it is held");
            })
        } else {
            nanos(runtime, count, async || {
                let lease = pool.allocate(request.clone()).await.expect("it fits");
                black_box(lease.release()).expect("it is held");
            })
        }
    };
    ("ledger", Box::new(spin))
}

fn main() {
    const ROW: &str = "pool.allocate_release";
    if !wanted(ROW) {
        return;
    }
    let (rounds, count) = size((60, 20_000), (2, 200));
    let runtime = runtime();
    let mut contenders = [
        ledger(&runtime, count, true),
        ledger(&runtime, count, false),
        peer::<Deadpool>(&runtime, count),
        peer::<Bb8>(&runtime, count),
        peer::<Semaphored>(&runtime, count),
    ];
    let figures = contest(rounds, &mut contenders);
    let [own, unboxed, deadpool, bb8, semaphore] =
        [0, 1, 2, 3, 4].map(|at: usize| median(&figures[at]));
    let row = Row::new(ROW, own, "ns", Better::Lower);
    for row in [row.clone(), Row { value: unboxed, ..row }.label("through", "LedgerPool")] {
        emit(
            &row.peer(Deadpool::NAME, deadpool)
                .peer(Bb8::NAME, bb8)
                .peer(Semaphored::NAME, semaphore),
        );
    }
}
