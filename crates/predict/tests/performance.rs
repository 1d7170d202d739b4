//! Counts that do not depend on the machine: allocations, sizes.

use std::time::Duration;

use plimsoll_core_types::Timestamp;
use plimsoll_predict::{Cost, Forecaster, ForecasterConfig};
use plimsoll_testkit::{Counting, allocations};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const STEP: u64 = 300;

/// A day of five minutes with noise that repeats late.
fn value(step: u64) -> f64 {
    let day = (step as f64 / 288.0 * std::f64::consts::TAU).sin();
    100.0 + 40.0 * day + ((step * 7919) % 23) as f64
}

fn observe(forecaster: &mut Forecaster, step: u64) {
    let at = Timestamp::from_nanos(step * STEP * 1_000_000_000);
    // A sample in fifty is missing, and some come after a gap.
    let value = (step % 50 != 7).then(|| value(step));
    if step % 500 > 10 {
        forecaster.observe(at, value);
    }
}

fn grown(steps: u64) -> Forecaster {
    let mut forecaster = Forecaster::new(ForecasterConfig::new(Duration::from_secs(STEP))).unwrap();
    (0..steps).for_each(|step| observe(&mut forecaster, step));
    forecaster
}

#[test]
fn nothing_is_allocated_after_it_was_made() {
    let mut forecaster = grown(0);
    let cost = Cost { under: 19.0, over: 1.0, lead: Duration::from_mins(10) };
    let count = allocations(|| {
        for step in 0..3_000 {
            observe(&mut forecaster, step);
            for ahead in [1, 4, 12, 100, 288, 1000] {
                std::hint::black_box(forecaster.forecast(ahead));
            }
            std::hint::black_box(forecaster.path(20).count());
            std::hint::black_box(forecaster.recommend(&cost).is_ok());
            std::hint::black_box(forecaster.health());
        }
    });
    assert_eq!(count, 0);
    assert!(forecaster.seen() > 2_800);
}

#[test]
fn a_change_of_season_allocates_nothing() {
    let mut forecaster = Forecaster::new(ForecasterConfig::new(Duration::from_secs(1))).unwrap();
    let mut seasons = Vec::with_capacity(8);
    let count = allocations(|| {
        for step in 0..6_000_u64 {
            let period = if step < 1_000 { 20 } else { 37 };
            let value = if step % period < 3 { 50.0 } else { 1.0 };
            forecaster.observe(Timestamp::from_nanos(step * 1_000_000_000), Some(value));
            if seasons.last() != Some(&forecaster.season()) {
                seasons.push(forecaster.season());
            }
        }
    });
    assert_eq!(count, 0);
    assert!(seasons.contains(&Some(20)) && seasons.last() == Some(&Some(37)), "{seasons:?}");
}

#[test]
fn state_is_small_and_does_not_grow() {
    let fresh = grown(0).state_bytes();
    assert_eq!(grown(5_000).state_bytes(), fresh);
    assert!(fresh <= 8 * 1024, "{fresh} bytes at season 288");
    // A season that is not the calendar's is looked for among all lags.
    let found = Forecaster::new(ForecasterConfig::new(Duration::from_secs(1))).unwrap();
    assert!(found.state_bytes() <= 9 * 1024, "{} bytes", found.state_bytes());
}
