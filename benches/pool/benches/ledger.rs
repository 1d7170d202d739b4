//! A lease of two dimensions is granted and given back.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plimsoll_bench::{Better, Contender, Row, contest, emit, goal_times, size, wanted};
use plimsoll_bench_pool::{Counter, median, timed};
use plimsoll_core_types::{
    Bytes, ConsumerId, Millicores, ResourceRequest, ResourceVector, SystemClock, Timestamp,
};
use plimsoll_pool::ledger::{Ledger, Outcome};
use plimsoll_pool::{LedgerConfig, LedgerPool};

fn amount(count: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::new(count)).with_cpu(Millicores::new(count))
}

fn request() -> ResourceRequest {
    let consumer = ConsumerId::new("bench").expect("a name");
    ResourceRequest::new(consumer, amount(3)).expect("an amount")
}

fn nanos(count: u32, mut work: impl FnMut()) -> f64 {
    let took = timed(|| {
        for _ in 0..count {
            work();
        }
    });
    took.as_nanos() as f64 / f64::from(count)
}

fn floor<'a>(count: u32) -> Contender<'a> {
    let counter = Counter::new();
    let spin = move || {
        nanos(count, || {
            black_box(counter.grant(3, 1000));
            counter.release(3);
        })
    };
    ("floor", Box::new(spin))
}

/// The pure ledger: what a simulation, or a service of one's own, calls.
fn core<'a>(count: u32) -> Contender<'a> {
    let mut ledger = Ledger::new(amount(1000), LedgerConfig::default()).expect("a config");
    let template = request();
    let spin = move || {
        nanos(count, || {
            let granted = ledger.request(template.clone(), Timestamp::ZERO);
            if let Ok(Outcome::Granted(lease)) = granted {
                black_box(ledger.release(lease, Timestamp::ZERO)).expect("it is held");
            }
        })
    };
    ("core", Box::new(spin))
}

/// The same behind its lock, with a lease that goes back by `Drop`.
fn service(pool: &LedgerPool, count: u32) -> Contender<'_> {
    let template = request();
    let spin = move || {
        nanos(count, || {
            drop(black_box(pool.try_allocate(template.clone())).expect("it fits"));
        })
    };
    ("service", Box::new(spin))
}

fn pool() -> LedgerPool {
    let clock = Arc::new(SystemClock::new());
    LedgerPool::new(amount(1000), LedgerConfig::default(), clock).expect("a config")
}

fn alone() {
    let (rounds, count) = size((60, 20_000), (2, 200));
    let pool = pool();
    let mut contenders = [core(count), floor(count), service(&pool, count)];
    let figures = contest(rounds, &mut contenders);
    let [core, floor, service] = [0, 1, 2].map(|index: usize| median(&figures[index]));
    goal_times("pool.ledger_grant_release", "floor", 8.0);
    for (of, figure) in [("core", core), ("service", service)] {
        let row = Row::new("pool.ledger_grant_release", figure, "ns", Better::Lower);
        let row = if of == "core" { row } else { row.label("of", of) };
        emit(&row.peer("floor", floor));
    }
}

/// Nanoseconds for each grant and release, where two threads do nothing else.
fn together(lasts: Duration, work: &(dyn Fn() + Sync)) -> f64 {
    let stop = AtomicBool::new(false);
    let mut total = 0_u64;
    let took = timed(|| {
        std::thread::scope(|scope| {
            let spin = || {
                let mut count = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..64 {
                        work();
                    }
                    count += 64;
                }
                count
            };
            let threads = [scope.spawn(spin), scope.spawn(spin)];
            let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
            timer.expect("a timer").block_on(async { tokio::time::sleep(lasts).await });
            stop.store(true, Ordering::Relaxed);
            total = threads.map(|thread| thread.join().expect("no panic")).iter().sum();
        });
    });
    took.as_nanos() as f64 / total as f64
}

fn contended() {
    let (rounds, lasts) = size((9, Duration::from_millis(100)), (1, Duration::from_millis(10)));
    let (pool, counter, template) = (pool(), Counter::new(), request());
    let own = || drop(black_box(pool.try_allocate(template.clone())).expect("it fits"));
    let floor = || {
        black_box(counter.grant(3, 1000));
        counter.release(3);
    };
    let mut contenders: [Contender<'_>; 2] = [
        ("plimsoll", Box::new(|| together(lasts, &own))),
        ("floor", Box::new(|| together(lasts, &floor))),
    ];
    let figures = contest(rounds, &mut contenders);
    let name = "pool.ledger_grant_release_contended";
    let row = Row::new(name, median(&figures[0]), "ns", Better::Lower);
    emit(&row.peer("floor", median(&figures[1])));
}

fn main() {
    if wanted("pool.ledger_grant_release") {
        alone();
    }
    if wanted("pool.ledger_grant_release_contended") {
        contended();
    }
}
