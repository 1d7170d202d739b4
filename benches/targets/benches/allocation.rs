//! How long `allocate` takes at the worst of a thousand where there is room, while 64 tasks do so.

use std::sync::Arc;

use hdrhistogram::Histogram;
use plimsoll_bench::{Better, Contender, OWN, Row, contest, emit, size, wanted};
use plimsoll_bench_target::{histogram, quantile};
use plimsoll_core_types::{Bytes, Clock, ConsumerId, ResourceRequest, ResourceVector, SystemClock};
use plimsoll_pool::{LedgerConfig, LedgerPool};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

const ROW: &str = "target.allocation_p999";
const TASKS: usize = 64;
/// A task that never lets others run would time them, not the ledger.
const BETWEEN_YIELDS: u32 = 64;

fn main() {
    if !wanted(ROW) {
        return;
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
    let (rounds, each) = size((15, 20_000), (1, 100));
    let mut contenders: [Contender<'_>; 2] = [
        (OWN, Box::new(|| ledger(&runtime, each))),
        ("semaphore", Box::new(|| semaphore(&runtime, each))),
    ];
    let figures = contest(rounds, &mut contenders);
    let [own, semaphore] = [0, 1].map(|at: usize| median(&figures[at]));
    let row = Row::new(ROW, own, "s", Better::Lower).label("tasks", &TASKS.to_string());
    emit(&row.goal(5e-3).peer("semaphore", semaphore));
}

fn ledger(runtime: &Runtime, each: u32) -> f64 {
    let clock = Arc::new(SystemClock::new());
    let whole = ResourceVector::new().with_memory(Bytes::from_gib(TASKS as u64));
    let pool = LedgerPool::new(whole, LedgerConfig::default(), clock).expect("a config");
    let pool = Arc::new(pool);
    let consumer = ConsumerId::new("bench").expect("a name");
    let need = ResourceVector::new().with_memory(Bytes::from_gib(1));
    let request = ResourceRequest::new(consumer, need).expect("an amount");
    together(runtime, move || {
        let (pool, request) = (Arc::clone(&pool), request.clone());
        async move {
            let (clock, mut took) = (SystemClock::new(), histogram());
            for round in 0..each {
                let request = request.clone();
                let begun = clock.now();
                let lease = pool.allocate(request).await.expect("there is room");
                took.saturating_record(clock.now().saturating_since(begun).as_nanos() as u64);
                drop(lease);
                rest(round).await;
            }
            took
        }
    })
}

/// What the least that could be done costs: a count, without names, reasons or dimensions.
fn semaphore(runtime: &Runtime, each: u32) -> f64 {
    let semaphore = Arc::new(Semaphore::new(TASKS));
    together(runtime, move || {
        let semaphore = Arc::clone(&semaphore);
        async move {
            let (clock, mut took) = (SystemClock::new(), histogram());
            for round in 0..each {
                let begun = clock.now();
                let permit = semaphore.acquire().await.expect("it is open");
                took.saturating_record(clock.now().saturating_since(begun).as_nanos() as u64);
                drop(permit);
                rest(round).await;
            }
            took
        }
    })
}

async fn rest(round: u32) {
    if round.is_multiple_of(BETWEEN_YIELDS) {
        tokio::task::yield_now().await;
    }
}

/// The 99.9th percentile, in seconds, over what all tasks saw.
fn together<F>(runtime: &Runtime, task: impl Fn() -> F) -> f64
where
    F: Future<Output = Histogram<u64>> + Send + 'static,
{
    let all = runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(task())).collect();
        let mut all = histogram();
        for task in tasks {
            all += task.await.expect("a task ends");
        }
        all
    });
    quantile(&all, 0.999)
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
