//! Many tasks, few objects, two workers: throughput, waits, fairness.
//!
//! Where an object is held while others run, all wait for one, and the pool says who is next: there
//! fairness is the pool's own. Where it is not, no more than two are ever out, nobody waits, and who
//! gets how many loans is for the runtime to say, which deals out turns. `scheduler`, which does the
//! least that a loan can do for the same share of a turn, says how fair that can be there: a pool that
//! made tasks wait for each other with idle objects at hand would be fairer, and several times as slow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use plimsoll_bench::{Better, Row, contest, emit, goal, goal_times, size, wanted};
use plimsoll_bench_pool::{
    ArrayQueued, Bb8, Budget, Deadpool, Fastpool, Mobc, Own, Peer, Relay, Semaphored, jain, median,
    runtime, timed,
};
use tokio::runtime::Runtime;
use tokio::sync::Barrier;

/// One round of one contender.
#[derive(Clone, Debug, Default)]
struct Outcome {
    /// Millions of gets a second.
    throughput: f64,
    jain: f64,
    /// Waits in microseconds: the middle one, the one in a hundred, in a thousand, the longest.
    waits: [f64; 4],
}

#[derive(Clone, Copy)]
struct Load {
    tasks: usize,
    slots: usize,
    /// Whether an object is held while others run.
    yields: bool,
    lasts: Duration,
}

/// What one task did: how many gets, and how long each one in sixteen took.
async fn works<P: Peer>(
    pool: P,
    load: Load,
    begin: Arc<Barrier>,
    stop: Arc<AtomicBool>,
) -> (f64, Vec<f64>) {
    begin.wait().await;
    let (mut count, mut waits) = (0_u64, Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let timed = count.is_multiple_of(16).then(tokio::time::Instant::now);
        let guard = pool.get().await;
        if let Some(begun) = timed {
            waits.push(begun.elapsed().as_nanos() as f64 / 1e3);
        }
        if load.yields {
            tokio::task::yield_now().await;
        }
        drop(guard);
        count += 1;
    }
    (count as f64, waits)
}

/// Sets `stop` after a while, and says after how long. Not by the runtime's timer: a pool whose
/// loans never yield keeps both workers, and no timer fires any more.
fn stop_after(lasts: Duration, stop: &AtomicBool) -> Duration {
    timed(|| {
        let (_keep, never) = mpsc::channel::<()>();
        let _ = never.recv_timeout(lasts);
        stop.store(true, Ordering::Relaxed);
    })
}

fn round<P: Peer>(runtime: &Runtime, load: Load) -> Outcome {
    runtime.block_on(async {
        let pool = P::new(load.slots);
        pool.fill(load.slots).await;
        let stop = Arc::new(AtomicBool::new(false));
        // Together: those who are made first would have the pool for themselves meanwhile.
        let begin = Arc::new(Barrier::new(load.tasks + 1));
        let tasks: Vec<_> = (0..load.tasks)
            .map(|_| {
                let (begin, stop) = (Arc::clone(&begin), Arc::clone(&stop));
                tokio::spawn(works(pool.clone(), load, begin, stop))
            })
            .collect();
        begin.wait().await;
        let took = stop_after(load.lasts, &stop).as_secs_f64();
        let (mut counts, mut waits) = (Vec::new(), Vec::new());
        for task in tasks {
            let (count, more) = task.await.expect("no task panics");
            counts.push(count);
            waits.extend(more);
        }
        waits.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        Outcome {
            throughput: counts.iter().sum::<f64>() / took / 1e6,
            jain: jain(&counts),
            waits: [at(0.5), at(0.99), at(0.999), at(1.0)],
        }
    })
}

/// The median of each figure, by contender.
fn compare(runtime: &Runtime, load: Load) -> Vec<(&'static str, Outcome)> {
    type Play = fn(&Runtime, Load) -> Outcome;
    let players: [(&'static str, Play); 8] = [
        (Own::NAME, round::<Own>),
        (Semaphored::NAME, round::<Semaphored>),
        (ArrayQueued::NAME, round::<ArrayQueued>),
        (Deadpool::NAME, round::<Deadpool>),
        (Bb8::NAME, round::<Bb8>),
        (Fastpool::NAME, round::<Fastpool>),
        (Mobc::NAME, round::<Mobc>),
        (Relay::NAME, if load.yields { round::<Relay> } else { round::<Budget> }),
    ];
    let outcomes: Vec<_> = players.iter().map(|_| std::cell::RefCell::new(Vec::new())).collect();
    let mut contenders: Vec<_> = players
        .iter()
        .zip(&outcomes)
        .map(|((name, play), outcomes)| {
            let turn = move || {
                let outcome = play(runtime, load);
                let throughput = outcome.throughput;
                outcomes.borrow_mut().push(outcome);
                throughput
            };
            (*name, Box::new(turn) as Box<dyn FnMut() -> f64>)
        })
        .collect();
    contest(size(9, 1), &mut contenders);
    drop(contenders);
    let middle = |outcomes: &[Outcome], figure: &dyn Fn(&Outcome) -> f64| {
        median(&outcomes.iter().map(figure).collect::<Vec<_>>())
    };
    let results = players.iter().zip(outcomes).map(|((name, _), outcomes)| {
        let outcomes = outcomes.into_inner();
        let waits = std::array::from_fn(|index| middle(&outcomes, &|o| o.waits[index]));
        let (throughput, jain) =
            (middle(&outcomes, &|o| o.throughput), middle(&outcomes, &|o| o.jain));
        (*name, Outcome { throughput, jain, waits })
    });
    results.collect()
}

fn row(
    name: &str,
    unit: &str,
    better: Better,
    results: &[(&'static str, Outcome)],
    figure: impl Fn(&Outcome) -> f64,
) {
    let Some(((_, own), peers)) = results.split_first() else { return };
    let row = Row::new(name, figure(own), unit, better);
    emit(&peers.iter().fold(row, |row, (name, outcome)| row.peer(name, figure(outcome))));
}

fn main() {
    let runtime = runtime();
    let lasts = Duration::from_millis(size(250, 20));
    for (tasks, slots) in [(64, 8), (1024, 16)] {
        for (hold, yields) in [("yield", true), ("zero", false)] {
            let name = format!("pool.contended_{tasks}_{slots}_{hold}");
            let suffix =
                if yields { format!("{tasks}_{slots}") } else { format!("{tasks}_{slots}_{hold}") };
            let (fair, p99) = (format!("pool.jain_{suffix}"), format!("pool.wait_p99_{suffix}"));
            if ![&name, &fair, &p99].iter().any(|name| wanted(name)) {
                continue;
            }
            let mut results = Vec::new();
            timed(|| results = compare(&runtime, Load { tasks, slots, yields, lasts }));
            goal_times(&name, ArrayQueued::NAME, 1.2);
            row(&name, "Mops/s", Better::Higher, &results, |outcome| outcome.throughput);
            goal(&fair, 0.99);
            row(&fair, "", Better::Higher, &results, |outcome| outcome.jain);
            if yields {
                goal_times(&p99, ArrayQueued::NAME, 1.0);
            }
            row(&p99, "us", Better::Lower, &results, |outcome| outcome.waits[1]);
            for (share, index) in [("p50", 0), ("p999", 2), ("max", 3)] {
                let name = format!("pool.wait_{share}_{suffix}");
                row(&name, "us", Better::Lower, &results, |outcome| outcome.waits[index]);
            }
        }
    }
}
