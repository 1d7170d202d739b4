//! The predictor: histories in, forecasts out.

use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, ForecastHealth, Metric, ResourcePredictor, ResourceUsage, Sample, SeriesKey,
    Timestamp, UsageHistory,
};
use plimsoll_predict::{Predictor, PredictorConfig, demand};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const EVERY: Duration = Duration::from_millis(250);

fn key(name: &str) -> SeriesKey {
    SeriesKey { subject: ConsumerId::new(name).unwrap(), metric: Metric::RequestRate }
}

/// Request rates of bursts that recur every `period` seconds, each a little early or late.
fn bursts(period: f64, length: f64, per_second: f64, seconds: f64, seed: u64) -> Vec<f64> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut rates = vec![0.0; (seconds * 4.0) as usize];
    let mut start = period / 2.0;
    while start < seconds {
        let begin: f64 = start + random.random_range(-0.15..0.15);
        let mut at = begin;
        loop {
            let uniform: f64 = random.random_range(f64::MIN_POSITIVE..1.0);
            at -= uniform.ln() / per_second;
            if at >= begin + length {
                break;
            }
            if let Some(rate) = rates.get_mut((at * 4.0) as usize) {
                *rate += 4.0;
            }
        }
        start += period;
    }
    rates
}

struct Seen {
    skilled_at: Option<f64>,
    season: Option<Duration>,
    /// Mean probability of a request within two seconds, before bursts and far from them.
    before: f64,
    far: f64,
}

fn replay(rates: &[f64], period: f64) -> Seen {
    let predictor = Predictor::new(PredictorConfig::default()).unwrap();
    let mut history = UsageHistory::new(key("m"), EVERY, 512);
    let (mut before, mut far) = (Vec::new(), Vec::new());
    let mut seen = Seen { skilled_at: None, season: None, before: 0.0, far: 0.0 };
    for (index, rate) in rates.iter().enumerate() {
        let at = Timestamp::from_secs_f64((index + 1) as f64 * 0.25);
        history.push(Sample { at, value: Some(*rate) });
        let forecast = predictor.forecast(&history);
        if matches!(forecast.health, ForecastHealth::Skilled { .. }) {
            seen.skilled_at.get_or_insert(at.as_secs_f64());
        }
        seen.season = forecast.season;
        let now = at.as_secs_f64();
        if now > 2.6 * period {
            let until_burst = period - (now - period / 2.0).rem_euclid(period);
            let p = needed(&forecast, Duration::from_secs(2));
            if (0.5..1.5).contains(&until_burst) {
                before.push(p);
            } else if (3.0..period - 2.5).contains(&until_burst) {
                far.push(p);
            }
        }
    }
    seen.before = before.iter().sum::<f64>() / before.len().max(1) as f64;
    seen.far = far.iter().sum::<f64>() / far.len().max(1) as f64;
    seen
}

/// The probability of a request within `within`, as the planner puts it together.
fn needed(forecast: &plimsoll_core_types::ResourceForecast, within: Duration) -> f64 {
    let (mut none, mut from) = (1.0, Duration::ZERO);
    for horizon in &forecast.horizons {
        let to = horizon.horizon.min(within);
        if to <= from {
            break;
        }
        none *=
            1.0 - demand::arrival_probability(&horizon.quantiles, to.saturating_sub(from)).get();
        from = to;
    }
    1.0 - none
}

#[test]
fn recurring_bursts_are_foreseen_within_a_few_cycles() {
    for (period, length, rate) in
        [(8.0, 1.6, 28.0), (8.0, 1.6, 24.0), (11.0, 1.2, 14.0), (13.0, 1.2, 12.0), (17.0, 0.8, 8.0)]
    {
        let seen = replay(&bursts(period, length, rate, 6.0 * period, 7), period);
        println!(
            "{period}: skilled at {:?}, season {:?}, before {:.2}, far {:.2}",
            seen.skilled_at, seen.season, seen.before, seen.far
        );
        let season = seen.season.expect("a season").as_secs_f64();
        assert!((season - period).abs() <= 0.5, "season {season}, period {period}");
        assert!(seen.skilled_at.is_some_and(|at| at < 3.0 * period), "{:?}", seen.skilled_at);
        assert!(seen.before > 0.6, "before a burst: {}", seen.before);
        assert!(seen.far < 0.7 * seen.before, "far from a burst: {}", seen.far);
    }
}

#[test]
fn only_what_is_new_is_learnt() {
    let predictor = Predictor::new(PredictorConfig::default()).unwrap();
    let mut history = UsageHistory::new(key("m"), EVERY, 512);
    for step in 1..=40 {
        let at = Timestamp::from_nanos(step * 250_000_000);
        history.push(Sample { at, value: Some((step % 7) as f64) });
    }
    let once = predictor.forecast(&history);
    assert_eq!(predictor.forecast(&history), once);
    let apart = Predictor::new(PredictorConfig::default()).unwrap();
    let mut grown = UsageHistory::new(key("m"), EVERY, 8);
    let mut last = None;
    for sample in history.iter() {
        grown.push(*sample);
        last = Some(apart.forecast(&grown));
    }
    assert_eq!(last, Some(once));
}

#[test]
fn a_forecast_is_scored_before_it_is_learnt() {
    let predictor = Predictor::new(PredictorConfig::default()).unwrap();
    let mut history = UsageHistory::new(key("m"), EVERY, 512);
    let mut random = StdRng::seed_from_u64(3);
    for step in 1..=400_u64 {
        let at = Timestamp::from_nanos(step * 250_000_000);
        let value: f64 = random.random_range(5.0..15.0);
        predictor.validate(&ResourceUsage { key: key("m"), at, value });
        history.push(Sample { at, value: Some(value) });
        predictor.forecast(&history);
    }
    let at = Timestamp::from_nanos(400 * 250_000_000);
    let score = predictor.validate(&ResourceUsage { key: key("m"), at, value: 1e9 });
    assert_eq!(score.scored, 399, "the moment that was learnt is not scored again");
    // Uniform noise: the mean has an error of 2.5, the last value one of 10/3.
    let relative = score.relative_error.unwrap();
    assert!((0.7..0.9).contains(&relative), "{relative}");
    let coverage = score.coverage95.unwrap().get();
    assert!((0.9..=1.0).contains(&coverage), "{coverage}");
    assert!(matches!(score.health, ForecastHealth::Skilled { .. }), "{:?}", score.health);
}
