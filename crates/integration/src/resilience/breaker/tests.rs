//! A breaker in virtual time.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_nanos(ms * 1_000_000)
}

fn never() -> Timestamp {
    panic!("a closed breaker asked for the time")
}

fn breaker(config: BreakerConfig) -> Breaker {
    Breaker::new(config).unwrap()
}

fn fail(breaker: &Breaker, ms: u64) {
    breaker.admit(|| at(ms)).unwrap().failure(|| at(ms));
}

/// A breaker that has just opened at `ms`.
fn opened(config: BreakerConfig, ms: u64) -> Breaker {
    let breaker = breaker(config);
    while breaker.is_closed() {
        fail(&breaker, ms);
    }
    breaker
}

#[test]
fn a_closed_breaker_never_asks_for_the_time() {
    let breaker = breaker(BreakerConfig::default());
    for _ in 0..100 {
        breaker.admit(never).unwrap().success();
        breaker.admit(never).unwrap().failure(never);
        breaker.admit(never).unwrap().success();
    }
    drop(breaker.admit(never).unwrap());
    let BreakerState::Closed { failing, in_a_row: 0 } = breaker.state(at(0)) else { panic!() };
    assert!((0.3..0.4).contains(&failing.get()), "a third of the calls failed: {failing}");
}

#[test]
fn failures_in_a_row_open_it_and_a_success_between_them_does_not() {
    let breaker = breaker(BreakerConfig::default());
    for _ in 0..4 {
        fail(&breaker, 0);
    }
    breaker.admit(never).unwrap().success();
    for _ in 0..4 {
        fail(&breaker, 0);
    }
    assert!(breaker.is_closed());
    fail(&breaker, 7);
    assert_eq!(breaker.state(at(7)), BreakerState::Open { remaining: Duration::from_secs(1) });
    assert_eq!(breaker.opened(), 1);
}

#[test]
fn successes_of_any_thread_count_at_the_next_failure() {
    let breaker = breaker(BreakerConfig { failures_in_a_row: 2, ..BreakerConfig::default() });
    for _ in 0..50 {
        fail(&breaker, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| breaker.admit(never).unwrap().success());
        });
        let BreakerState::Closed { in_a_row, .. } = breaker.state(at(0)) else { panic!() };
        assert_eq!(in_a_row, 0);
        // So that the share alone does not open it.
        (0..100).for_each(|_| breaker.admit(never).unwrap().success());
    }
}

/// Each success is taken in once, whoever fails meanwhile: twice would make the share too small,
/// never too large. (Loom can't look at this: it fails on loads that may see an older value.)
#[test]
fn the_share_is_what_it_is_however_many_threads_call() {
    for threads in [1, 2, 12] {
        let config =
            BreakerConfig { failures_in_a_row: 0, window: 1024, ..BreakerConfig::default() };
        let breaker = breaker(config);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for call in 0..40_000 {
                        let permit = breaker.admit(never).unwrap();
                        if call % 4 == 0 { permit.failure(never) } else { permit.success() }
                    }
                });
            }
        });
        let BreakerState::Closed { failing, .. } = breaker.state(at(0)) else { panic!() };
        assert!((0.22..0.28).contains(&failing.get()), "{failing} with {threads} threads");
    }
}

#[test]
fn a_permit_is_two_words() {
    assert_eq!(size_of::<Permit<'_>>(), 16);
}

#[test]
fn a_share_of_failures_opens_it_where_none_are_in_a_row() {
    let config = BreakerConfig { failures_in_a_row: 0, ..BreakerConfig::default() };
    let calls_until_open = |every: u32| {
        let breaker = breaker(config.clone());
        (1..2000_u32).find(|call| {
            let permit = breaker.admit(|| at(0)).unwrap();
            if call % every == 0 {
                permit.success();
            } else {
                permit.failure(|| at(0));
            }
            !breaker.is_closed()
        })
    };
    assert_eq!(calls_until_open(10), Some(25), "nine of ten fail");
    assert!(calls_until_open(3).is_some(), "two of three fail");
    let breaker = breaker(config.clone());
    for call in 0..2000 {
        let permit = breaker.admit(|| at(0)).unwrap();
        if call % 5 < 2 { permit.failure(|| at(0)) } else { permit.success() }
    }
    assert!(breaker.is_closed(), "two of five are below one half");
}

#[test]
fn exactly_so_many_probes_are_let_through_and_close_it() {
    let breaker = opened(BreakerConfig::default(), 0);
    assert_eq!(
        breaker.admit(|| at(999)).unwrap_err(),
        Refused::Open { retry_in: Duration::from_millis(1) }
    );
    let mut probes: Vec<_> = (0..3).map(|_| breaker.admit(|| at(1000)).unwrap()).collect();
    assert!(probes.iter().all(Permit::is_probe));
    assert_eq!(breaker.admit(|| at(1000)).unwrap_err(), Refused::Probing);
    probes.pop().unwrap().success();
    assert_eq!(breaker.admit(|| at(1001)).unwrap_err(), Refused::Probing, "it has had its turn");
    drop(probes.pop());
    probes.push(breaker.admit(|| at(1002)).unwrap());
    for probe in probes {
        assert!(!breaker.is_closed());
        probe.success();
    }
    assert!(breaker.is_closed());
}

#[test]
fn it_stays_open_for_longer_each_time_that_probes_fail() {
    let breaker = opened(BreakerConfig::default(), 0);
    let mut now = 0;
    for (again, length) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        let BreakerState::Open { remaining } = breaker.state(at(now)) else { panic!("{again}") };
        assert_eq!(remaining, Duration::from_secs(length));
        now += length * 1000;
        fail(&breaker, now);
    }
    now += 60_000;
    for _ in 0..3 {
        breaker.admit(|| at(now)).unwrap().success();
    }
    while breaker.is_closed() {
        fail(&breaker, now);
    }
    let remaining = Duration::from_secs(1);
    assert_eq!(breaker.state(at(now)), BreakerState::Open { remaining }, "closing resets it");
}

#[test]
fn a_probe_that_hangs_has_failed_and_its_answer_no_longer_counts() {
    let config = BreakerConfig { probes: 1, ..BreakerConfig::default() };
    let breaker = opened(config, 0);
    let hung = breaker.admit(|| at(1000)).unwrap();
    assert_eq!(breaker.admit(|| at(10_999)).unwrap_err(), Refused::Probing);
    let refused = breaker.admit(|| at(11_000)).unwrap_err();
    assert_eq!(refused, Refused::Open { retry_in: Duration::from_secs(2) });
    let next = breaker.admit(|| at(13_000)).unwrap();
    hung.success();
    assert!(!breaker.is_closed(), "too late to have a say");
    assert_eq!(breaker.admit(|| at(13_001)).unwrap_err(), Refused::Probing, "nor a place to give");
    next.success();
    assert!(breaker.is_closed());
}

#[test]
fn calls_of_an_earlier_turn_have_no_say() {
    let breaker = breaker(BreakerConfig::default());
    let early: Vec<_> = (0..8).map(|_| breaker.admit(never).unwrap()).collect();
    for _ in 0..5 {
        fail(&breaker, 0);
    }
    for _ in 0..3 {
        breaker.admit(|| at(1000)).unwrap().success();
    }
    for permit in early {
        permit.failure(|| at(1000));
    }
    assert_eq!(breaker.state(at(1000)), BreakerState::Closed { failing: Ratio::ZERO, in_a_row: 0 });
}

#[test]
fn a_hand_can_hold_it_open() {
    let breaker = breaker(BreakerConfig::default());
    breaker.release();
    assert!(breaker.is_closed(), "it was not held");
    breaker.hold_open();
    assert_eq!(breaker.admit(|| at(1 << 40)).unwrap_err(), Refused::Held);
    breaker.release();
    for _ in 0..3 {
        assert!(!breaker.is_closed());
        breaker.admit(|| at(1 << 40)).unwrap().success();
    }
    assert!(breaker.is_closed());
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    let check = |config: BreakerConfig, expected: &str| {
        assert_eq!(Breaker::new(config).unwrap_err().to_string(), expected);
    };
    let good = BreakerConfig::default;
    check(
        BreakerConfig { window: 20, ..good() },
        "window is 20; it must be a power of two from 8 to 1024",
    );
    check(
        BreakerConfig { failures_in_a_row: 1001, ..good() },
        "failures_in_a_row is 1001; it must be at most 1000",
    );
    check(BreakerConfig { probes: 0, ..good() }, "probes is 0; it must be 1 to 32");
    check(
        BreakerConfig { failure_share: Ratio::ONE, ..good() },
        "failure_share is 100%; it must be above 0% and below 100%",
    );
    check(
        BreakerConfig { open_for: Duration::ZERO, ..good() },
        "open_for is 0 s; it must be 1 ms to a day",
    );
}

proptest! {
    /// Whatever callers do and however late: never more probes in flight than allowed, refusals
    /// only while it is not closed, and once all is well it closes within a bounded time.
    #[test]
    fn probes_are_bounded_and_it_always_recovers(
        probes in 1_u8..5,
        steps in prop::collection::vec((0_u8..5, 0_u64..4000), 1..300),
    ) {
        let breaker = breaker(BreakerConfig { probes, ..BreakerConfig::default() });
        let now = Cell::new(0);
        let clock = || at(now.get());
        let mut out: Vec<(Permit<'_>, u64)> = Vec::new();
        for (step, pause) in steps {
            match step {
                0 | 1 => match breaker.admit(clock) {
                    Ok(permit) => out.push((permit, now.get())),
                    Err(_) => prop_assert!(!breaker.is_closed()),
                },
                2 => drop(out.pop()),
                3 => {
                    if let Some((permit, _)) = out.pop() {
                        permit.success();
                    }
                }
                _ => {
                    if !out.is_empty() {
                        out.swap_remove(0).0.failure(clock);
                    }
                }
            }
            now.set(now.get() + pause);
            let fresh = out.iter().filter(|(p, since)| p.is_probe() && now.get() - since < 10_000);
            prop_assert!(fresh.count() <= usize::from(probes));
        }
        // Some callers never come back.
        for (permit, _) in out {
            std::mem::forget(permit);
        }
        for _ in 0..200 {
            now.set(now.get() + 1000);
            if let Ok(permit) = breaker.admit(clock) {
                permit.success();
            }
        }
        prop_assert!(breaker.is_closed());
    }
}
