//! The engines, in CPU nanoseconds for each access of a thread: Zipf(0.99) over a million keys.

use std::hint::black_box;

use plimsoll_bench::{Better, Contender, OWN, Row, contest, emit, goal_times, size, wanted};
use plimsoll_bench_cache::{Foyer, Moka, Own, Peer, Quick, Zipf, median, nanos_per_access};

/// What is done with each key.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    /// Every key has an entry.
    Get,
    /// Room for all keys; the entry is there already.
    Insert,
    /// Room for a tenth of the keys.
    GetOrInsert,
}

fn contender<'a, P: Peer + 'a>(work: Work, keys: usize, lanes: &'a [&'a [u64]]) -> Contender<'a> {
    let room = if work == Work::GetOrInsert { keys / 10 } else { keys + keys / 4 };
    let cache = P::new(room);
    for lane in lanes {
        for key in *lane {
            cache.get_or_insert(*key);
        }
    }
    let round = move || match work {
        Work::Get => nanos_per_access(lanes, &|key| {
            black_box(cache.get(key));
        }),
        Work::Insert => nanos_per_access(lanes, &|key| cache.insert(key, key)),
        Work::GetOrInsert => nanos_per_access(lanes, &|key| {
            black_box(cache.get_or_insert(key));
        }),
    };
    (P::NAME, Box::new(round))
}

fn main() {
    let (rounds, keys, accesses) = size((9, 1_000_000, 400_000), (2, 10_000, 4_000));
    let all: Vec<Zipf> = (0..2).map(|lane| Zipf::new(keys, accesses, 7 + lane)).collect();
    for (name, label, work) in [
        ("cache.engine_get", "get", Work::Get),
        ("cache.engine_insert", "insert", Work::Insert),
        ("cache.engine_insert", "get-or-insert", Work::GetOrInsert),
    ] {
        for threads in [1, 2] {
            if !wanted(name) {
                continue;
            }
            let lanes: Vec<&[u64]> = all[..threads].iter().map(Zipf::keys).collect();
            let mut contenders = vec![
                contender::<Own>(work, keys, &lanes),
                contender::<Quick>(work, keys, &lanes),
                contender::<Foyer>(work, keys, &lanes),
                contender::<Moka>(work, keys, &lanes),
            ];
            let figures = contest(rounds, &mut contenders);
            let medians: Vec<_> = figures.iter().map(|figures| median(figures)).collect();
            let threads = threads.to_string();
            goal_times(&format!("{name}{{threads={threads},work={label}}}"), Quick::NAME, 1.0);
            let row = Row::new(name, medians[0], "ns", Better::Lower)
                .label("threads", &threads)
                .label("work", label);
            debug_assert_eq!(contenders[0].0, OWN);
            let peers = contenders.iter().zip(&medians).skip(1);
            emit(&peers.fold(row, |row, ((name, _), figure)| row.peer(name, *figure)));
        }
    }
}
