//! Taking and giving back, and being refused.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::Barrier;
use std::time::Duration;

use plimsoll_bench::criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use plimsoll_bench::{OWN, criterion, goal_times};
use plimsoll_bench_memory::{AMOUNT, Counter, LIMIT, POOLS, consumer, pool, three_levels};
use plimsoll_core_types::{Bytes, Clock, SystemClock};
use plimsoll_memory::budget::{Leaf, Reservation};
use plimsoll_memory::track::Meters;

const TAKEN: Bytes = Bytes::new(AMOUNT as u64);

// What is to be reached was set, in nanoseconds, on a machine where a shared compare-exchange and
// its way back take this long. Each machine has its own pace: the goal is the ratio.
const FLOOR: f64 = 4.56;
/// The same with two threads at it.
const FLOOR_OF_TWO: f64 = 19.0;
/// What one refusal of `DataFusion`'s greedy pool takes there.
const REFUSAL: f64 = 790.0;

fn main() {
    let mut criterion = criterion();
    for threads in [1, 2] {
        leased(&mut criterion, threads);
        levels(&mut criterion, threads);
        tracked(&mut criterion, threads);
        reject(&mut criterion, threads);
    }
    criterion.final_summary();
}

fn row(name: &str, threads: usize) -> String {
    format!("{name}{{threads={threads}}}")
}

fn leased(criterion: &mut Criterion, threads: usize) {
    let row = row("memory.reserve_release_leased", threads);
    let (reach, floor) = if threads == 1 { (1.2, FLOOR) } else { (2.0, FLOOR_OF_TWO) };
    goal_times(&row, "floor", reach / floor);
    let mut group = criterion.benchmark_group(&row);
    let [_, _, model] = three_levels();
    contend(
        &mut group,
        OWN,
        threads,
        || model.leaf(),
        |leaf: &mut Leaf| leaf.try_grow(black_box(TAKEN)).is_ok() && !leaf.shrink(TAKEN).is_zero(),
    );
    others(&mut group, threads);
    group.finish();
}

fn levels(criterion: &mut Criterion, threads: usize) {
    let row = row("memory.reserve_release_3_levels", threads);
    goal_times(&row, "floor", 1.3);
    let mut group = criterion.benchmark_group(&row);
    let [_, _, model] = three_levels();
    let start = || model.try_reserve(TAKEN).expect("there is room");
    contend(&mut group, OWN, threads, start, |held: &mut Reservation| {
        held.try_grow(black_box(TAKEN)).is_ok() && !held.shrink(TAKEN).is_zero()
    });
    others(&mut group, threads);
    group.finish();
}

fn tracked(criterion: &mut Criterion, threads: usize) {
    let row = row("memory.reserve_release_tracked", threads);
    goal_times(&row, "floor", 3.0 / if threads == 1 { FLOOR } else { FLOOR_OF_TWO });
    let mut group = criterion.benchmark_group(&row);
    let [_, _, model] = three_levels();
    let meters = Meters::new();
    let start = || meters.meter(model.name(), "bench").track(model.leaf());
    contend(&mut group, OWN, threads, start, |leaf| {
        leaf.try_grow(black_box(TAKEN)).is_ok() && !leaf.shrink(TAKEN).is_zero()
    });
    others(&mut group, threads);
    group.finish();
}

fn reject(criterion: &mut Criterion, threads: usize) {
    let row = row("memory.reject", threads);
    goal_times(&row, "datafusion-greedy", 10.0 / REFUSAL);
    let mut group = criterion.benchmark_group(&row);
    let [host, _, model] = three_levels();
    let _all = host.try_reserve(Bytes::new(LIMIT as u64)).expect("there is room");
    contend(
        &mut group,
        OWN,
        threads,
        || model.clone(),
        |model| model.try_reserve(black_box(TAKEN)).is_err(),
    );
    let floor = Counter::default();
    assert!(floor.take(LIMIT), "there is room");
    contend(&mut group, "floor", threads, || (), |()| !floor.take(black_box(AMOUNT)));
    for which in POOLS {
        let pool = pool(which);
        // Each thread's consumer holds its part of the whole: beside another that held all, the
        // fair pool would still grant half.
        let start = || {
            let held = consumer(&pool, "bench");
            assert!(held.try_grow(LIMIT / threads).is_ok(), "there is room");
            held
        };
        contend(&mut group, which, threads, start, |held| {
            held.try_grow(black_box(AMOUNT)).is_err()
        });
    }
    group.finish();
}

fn others(group: &mut BenchmarkGroup<'_, WallTime>, threads: usize) {
    let floor = Counter::default();
    contend(
        group,
        "floor",
        threads,
        || (),
        |()| {
            let taken = floor.take(black_box(AMOUNT));
            floor.give(AMOUNT);
            taken
        },
    );
    for which in POOLS {
        let pool = pool(which);
        let start = || consumer(&pool, "bench");
        contend(group, which, threads, start, |held| {
            let taken = held.try_grow(black_box(AMOUNT)).is_ok();
            held.shrink(AMOUNT);
            taken
        });
    }
}

/// Measures `step` by each of `threads` at once: the time is that of one step of one thread.
fn contend<T: Send>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    contender: &str,
    threads: usize,
    start: impl Fn() -> T,
    step: impl Fn(&mut T) -> bool + Sync,
) {
    if threads == 1 {
        let mut own = start();
        group.bench_function(contender, |b| b.iter(|| assert!(step(&mut own), "{contender}")));
        return;
    }
    group.bench_function(contender, |b| {
        b.iter_custom(|steps| together(threads, steps, &start, &step));
    });
}

/// How long it takes `threads` to make `steps` steps each.
fn together<T: Send>(
    threads: usize,
    steps: u64,
    start: &impl Fn() -> T,
    step: &(impl Fn(&mut T) -> bool + Sync),
) -> Duration {
    let clock = SystemClock::new();
    let barrier = Arc::new(Barrier::new(threads));
    let mut longest = Duration::ZERO;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                let (mut own, barrier) = (start(), Arc::clone(&barrier));
                scope.spawn(move || {
                    barrier.wait();
                    let begun = clock.now();
                    for _ in 0..steps {
                        assert!(step(&mut own), "it was to succeed");
                    }
                    let took = clock.now().saturating_since(begun);
                    // What one holds stays held until the other is done, too.
                    barrier.wait();
                    drop(own);
                    took
                })
            })
            .collect();
        for thread in running {
            longest = longest.max(thread.join().expect("a step does not panic"));
        }
    });
    longest
}
