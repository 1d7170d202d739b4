//! Every interleaving of threads that meet at a breaker or a bulkhead.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-integration --release --test loom`

#![cfg(loom)]

use std::sync::atomic::{AtomicUsize, Ordering};

use loom::sync::Arc;
use loom::thread;
use plimsoll_core_types::Timestamp;
use plimsoll_integration::resilience::{Breaker, BreakerConfig, Bulkhead, Seats};

fn at(ms: u64) -> Timestamp {
    Timestamp::from_nanos(ms * 1_000_000)
}

/// Open since 0 ms, with probes let through from 1000 ms on.
fn opened(probes: u8) -> Arc<Breaker> {
    let config = BreakerConfig { probes, failures_in_a_row: 1, ..BreakerConfig::default() };
    let breaker = Breaker::new(config).unwrap();
    breaker.admit(|| at(0)).unwrap().failure(|| at(0));
    Arc::new(breaker)
}

fn model(threads: usize, body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = (threads > 2).then_some(2);
    builder.check(body);
}

/// Counts who is in flight at the same moment; by an atomic that loom does not know, so that the
/// count itself is no more to explore.
struct Flight {
    now: AtomicUsize,
    most: usize,
}

impl Flight {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { now: AtomicUsize::new(0), most })
    }

    fn pass(&self) {
        assert!(self.now.fetch_add(1, Ordering::SeqCst) < self.most, "too many probes in flight");
        thread::yield_now();
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn exactly_as_many_as_allowed_are_admitted() {
    for (probes, threads) in [(1, 2), (1, 3), (2, 3)] {
        model(threads, move || {
            let breaker = opened(probes);
            let admitted = Arc::new(AtomicUsize::new(0));
            let ask = |breaker: &Breaker, admitted: &AtomicUsize| {
                if let Ok(permit) = breaker.admit(|| at(1000)) {
                    admitted.fetch_add(1, Ordering::SeqCst);
                    // Its caller never comes back: the place stays taken.
                    std::mem::forget(permit);
                }
            };
            let others: Vec<_> = (1..threads)
                .map(|_| {
                    let (breaker, admitted) = (breaker.clone(), admitted.clone());
                    thread::spawn(move || ask(&breaker, &admitted))
                })
                .collect();
            ask(&breaker, &admitted);
            others.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(admitted.load(Ordering::SeqCst), usize::from(probes));
        });
    }
}

#[test]
fn no_more_than_allowed_are_in_flight_while_others_finish() {
    model(2, || {
        let breaker = opened(1);
        let flight = Flight::new(1);
        let probe = |breaker: &Breaker, flight: &Flight| {
            if let Ok(permit) = breaker.admit(|| at(1000)) {
                if permit.is_probe() {
                    flight.pass();
                }
                permit.success();
            }
        };
        let (other, others) = (breaker.clone(), flight.clone());
        let thread = thread::spawn(move || probe(&other, &others));
        probe(&breaker, &flight);
        thread.join().unwrap();
        assert!(breaker.is_closed(), "it went well as often as it takes");
    });
}

#[test]
fn a_probe_that_goes_away_leaves_its_place() {
    model(2, || {
        let breaker = opened(1);
        let other = breaker.clone();
        let goes_away = thread::spawn(move || drop(other.admit(|| at(1000))));
        if let Ok(permit) = breaker.admit(|| at(1000)) {
            permit.success();
        }
        goes_away.join().unwrap();
        if !breaker.is_closed() {
            breaker.admit(|| at(1000)).expect("nobody holds the place").success();
        }
        assert!(breaker.is_closed());
    });
}

#[test]
fn success_and_failure_at_once_never_leave_it_half_open_without_places() {
    model(2, || {
        let breaker = opened(2);
        let other = breaker.clone();
        let fails = thread::spawn(move || {
            if let Ok(permit) = other.admit(|| at(1000)) {
                permit.failure(|| at(1000));
            }
        });
        if let Ok(permit) = breaker.admit(|| at(1000)) {
            permit.success();
        }
        fails.join().unwrap();
        assert!(!breaker.is_closed(), "one probe failed");
        for _ in 0..2 {
            breaker.admit(|| at(100_000)).expect("a later turn has its places").success();
        }
        assert!(breaker.is_closed());
    });
}

#[test]
fn a_probe_that_hangs_is_found_overdue_once_and_stays_without_say() {
    model(3, || {
        let breaker = opened(1);
        let hung = breaker.admit(|| at(1000)).unwrap();
        let askers: Vec<_> = (0..2)
            .map(|_| {
                let breaker = breaker.clone();
                thread::spawn(move || drop(breaker.admit(|| at(20_000))))
            })
            .collect();
        hung.success();
        askers.into_iter().for_each(|thread| thread.join().unwrap());
        // Closed where the answer came first, else opened once more: never stuck.
        if !breaker.is_closed() {
            assert_eq!(breaker.opened(), 2);
            breaker.admit(|| at(100_000)).expect("the place is free").success();
            assert!(breaker.is_closed());
        }
    });
}

#[test]
fn no_failure_is_lost() {
    model(2, || {
        let config = BreakerConfig { failures_in_a_row: 2, ..BreakerConfig::default() };
        let breaker = Arc::new(Breaker::new(config).unwrap());
        let other = breaker.clone();
        let first = thread::spawn(move || {
            other.admit(|| at(0)).unwrap().failure(|| at(0));
        });
        if let Ok(permit) = breaker.admit(|| at(0)) {
            permit.failure(|| at(0));
        }
        first.join().unwrap();
        assert!(!breaker.is_closed());
        assert_eq!(breaker.opened(), 1);
    });
}

#[test]
fn a_common_seat_is_lent_once_and_comes_back() {
    model(2, || {
        let common = std::sync::Arc::new(Seats::new(1));
        let flight = Flight::new(1);
        let visit = {
            let (common, flight) = (common.clone(), flight.clone());
            move || {
                let bulkhead = Bulkhead::new(0).borrowing_from(common);
                if let Ok(seat) = bulkhead.enter() {
                    flight.pass();
                    drop(seat);
                }
            }
        };
        let other = thread::spawn(visit.clone());
        visit();
        other.join().unwrap();
        assert_eq!(common.taken(), 0);
    });
}

#[test]
fn a_success_is_seen_by_the_next_failure_of_another_thread() {
    model(2, || {
        let config = BreakerConfig { failures_in_a_row: 2, ..BreakerConfig::default() };
        let breaker = Arc::new(Breaker::new(config).unwrap());
        breaker.admit(|| at(0)).unwrap().failure(|| at(0));
        let other = breaker.clone();
        let well = thread::spawn(move || other.admit(|| at(0)).unwrap().success());
        // Whoever looks meanwhile changes nothing.
        let _ = breaker.state(at(0));
        well.join().unwrap();
        breaker.admit(|| at(0)).unwrap().failure(|| at(0));
        assert!(breaker.is_closed(), "the success was between the two");
        breaker.admit(|| at(0)).unwrap().failure(|| at(0));
        assert!(!breaker.is_closed());
    });
}
