//! Forecasters, sizers, pools and the predictor as their callers use them.

mod health;
mod parts;
mod predictor;
mod sizing;

use std::time::Duration;

use plimsoll_core_types::Timestamp;
use plimsoll_predict::{Forecaster, ForecasterConfig};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const MINUTE: Duration = Duration::from_mins(1);

fn minute(step: usize) -> Timestamp {
    Timestamp::from_nanos((step as u64 + 1) * 60_000_000_000)
}

/// A forecaster of a value each minute, which has seen these.
fn taught(values: impl IntoIterator<Item = f64>) -> Forecaster {
    let mut forecaster = Forecaster::new(ForecasterConfig::new(MINUTE)).unwrap();
    for (step, value) in values.into_iter().enumerate() {
        forecaster.observe(minute(step), Some(value));
    }
    forecaster
}

/// Even noise on `level`, half of `width` to either side.
fn noise(count: usize, level: f64, width: f64, seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| level + width * random.random_range(-0.5..0.5)).collect()
}

/// A walk of even steps that can't be foretold, from a level that it hardly ever leaves for zero.
fn walk(count: usize, seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut at = 1000.0;
    let mut step = || {
        at += random.random_range(-1.0..1.0);
        at
    };
    (0..count).map(|_| step()).collect()
}

/// A wave of `period` around `level` with noise.
fn wave(count: usize, period: usize, level: f64, seed: u64) -> Vec<f64> {
    let phase = |step: usize| (step as f64 / period as f64 * std::f64::consts::TAU).sin();
    noise(count, level, 0.1 * level, seed)
        .into_iter()
        .enumerate()
        .map(|(step, value)| value + 0.5 * level * phase(step))
        .collect()
}
