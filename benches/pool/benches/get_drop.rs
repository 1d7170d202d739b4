//! One task gets and drops, with something always idle: how long that takes.

use std::hint::black_box;

use plimsoll_bench::{Better, Contender, Row, contest, emit, goal_times, size, wanted};
use plimsoll_bench_pool::{
    ArrayQueued, Bb8, Bitmap, Deadpool, Fastpool, Mobc, Own, OwnFull, Peer, Semaphored, median,
    runtime, timed,
};
use tokio::runtime::Runtime;

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

fn main() {
    times(&runtime());
}
