//! Right-sizing of memory, CPU and replicas, and when to prewarm.

use std::time::Duration;

use plimsoll_core_types::{Bytes, Millicores, Reason};
use plimsoll_predict::{
    ConfigError, Declined, ForecasterConfig, PrewarmCost, Prewarmer, Sizer, SizingConfig,
};

use crate::{MINUTE, minute, walk, wave};

fn sizer(lead: u32, values: &[f64]) -> Sizer {
    let series = ForecasterConfig::new(MINUTE);
    let config =
        SizingConfig { lead: MINUTE * lead, most_lost: 0.001, ..SizingConfig::new(series) };
    let mut sizer = Sizer::new(config).unwrap();
    for (step, value) in values.iter().enumerate() {
        sizer.observe(minute(step), Some(*value));
    }
    sizer
}

#[test]
fn a_wave_is_followed_and_little_is_lost() {
    let values = wave(4_000, 60, 8.0, 31);
    let sizing = sizer(5, &values).size().unwrap();
    assert!(sizing.gain.waste_saved > 0.5, "{sizing:?}");
    assert!(sizing.gain.lost <= 0.002, "{sizing:?}");
    assert!(sizing.gain.compared > 3_900);
    assert!(sizing.confidence.get() > 0.95 && sizing.headroom > 0.0, "{sizing:?}");
    assert!(matches!(sizing.reason, Reason::Forecast { within, .. } if within == MINUTE * 5));
    // The truth five steps on is within what is provided.
    assert!(sizing.amount >= wave(4_005, 60, 8.0, 31)[4_004], "{sizing:?}");

    // In the units of what the series may be.
    assert_eq!(sizing.memory(), Bytes::from_f64(sizing.amount.ceil()));
    let cores = sizing.cpu();
    assert!(cores >= Millicores::from_f64(sizing.amount * 1000.0 - 1.0));
    assert_eq!(sizing.replicas(2.0), Some((sizing.amount / 2.0).ceil() as u32));
    assert_eq!(sizing.replicas(0.0), None);
    assert_eq!(sizing.replicas(1e9), Some(1));
}

#[test]
fn what_can_not_be_forecast_is_declined() {
    assert!(matches!(sizer(5, &walk(3_000, 32)).size(), Err(Declined::NoSkill { .. })));
    let early = sizer(5, &wave(10, 60, 8.0, 33)).size().unwrap_err();
    assert!(matches!(early, Declined::TooFewSamples { seen: 10, .. }), "{early}");
}

#[test]
fn an_amount_is_bounded_by_what_was_ever_needed() {
    let mut values = wave(2_000, 60, 8.0, 34);
    // Losses without end make the control as cautious as it can be.
    for (step, value) in values.iter_mut().enumerate() {
        *value = if step % 97 == 0 { 40.0 } else { *value };
    }
    let sizer = sizer(5, &values);
    assert!(sizer.amount().is_some_and(|amount| amount <= 1.2 * 40.0 + 1e-9));
}

#[test]
fn a_sizer_goes_on_with_what_a_forecaster_knows() {
    let values = wave(2_000, 60, 8.0, 35);
    let before = sizer(5, &values);
    let config =
        SizingConfig { lead: MINUTE * 5, ..SizingConfig::new(ForecasterConfig::new(MINUTE)) };
    let mut after = Sizer::resume(config, before.forecaster().clone()).unwrap();
    assert!(after.size().is_err(), "nothing was compared yet");
    for (step, value) in wave(2_100, 60, 8.0, 35).iter().enumerate().skip(2_000) {
        after.observe(minute(step), Some(*value));
    }
    assert!(after.size().is_ok(), "{:?}", after.size());
}

#[test]
fn out_of_range_is_refused_by_name() {
    let config = SizingConfig::new(ForecasterConfig::new(MINUTE));
    let name = |config: SizingConfig| match Sizer::new(config).unwrap_err() {
        ConfigError::Number { field, .. } | ConfigError::Count { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(name(SizingConfig { most_lost: f64::NAN, ..config }), "most_lost");
    assert_eq!(name(SizingConfig { lead: Duration::MAX, ..config }), "lead (in steps)");
    assert_eq!(name(SizingConfig { static_headroom: -1.0, ..config }), "static_headroom");
}

/// Requests in three minutes of each hour.
fn hourly(step: usize) -> f64 {
    if (20..23).contains(&(step % 60)) { 2.0 } else { 0.0 }
}

fn prewarmer(rate: impl Fn(usize) -> f64) -> Prewarmer {
    let cost = PrewarmCost { cold_start: Duration::from_mins(2), cold: 600.0, idle: 1.0 };
    let mut prewarmer = Prewarmer::new(ForecasterConfig::new(MINUTE), cost).unwrap();
    for step in 0..1_210 {
        prewarmer.observe(minute(step), Some(rate(step)));
    }
    prewarmer
}

#[test]
fn a_model_is_loaded_before_it_is_asked_for() {
    // The last step was number 9 of its hour; step 20 begins in ten minutes, less two to load.
    let next = prewarmer(hourly).next().unwrap().unwrap();
    assert_eq!(next.load_in, Duration::from_mins(8), "{next:?}");
    assert!(next.needed.get() > 0.5 && next.saved > 0.3, "{next:?}");
}

#[test]
fn prewarming_that_saves_nothing_is_declined() {
    // Always asked for: to keep it warm is best, and there is nothing to save.
    assert!(matches!(prewarmer(|_| 5.0).next(), Err(Declined::NoGain { .. })));
}
