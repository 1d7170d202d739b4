//! Where load is heading: a predictor's quantiles, else the last value with the spread that was
//! seen; a slope that single outliers don't bend; and when capacity is reached.
//!
//! The slope is the median of those between pairs of samples (Theil, 1950; Sen, *Estimates of the
//! regression coefficient based on Kendall's tau*, 1968).

use std::time::Duration;

use plimsoll_core_types::{
    ForecastHealth, HorizonForecast, LoadTrend, Quantiles, ResourceForecast, Timestamp,
    UsageHistory,
};

/// The slope is that of this many latest samples.
const SLOPE_SAMPLES: usize = 48;
/// Fewer samples than this say nothing of a slope or of a spread.
const FEWEST: usize = 4;
/// How far ahead the last value is taken to hold, in samples.
const AHEAD: [u32; 4] = [1, 5, 15, 60];
/// Standard normal quantiles at [`Quantiles::LEVELS`].
const NORMAL: [f64; 11] = [
    -2.326_348, -1.959_964, -1.644_854, -1.281_552, -0.674_490, 0.0, 0.674_490, 1.281_552,
    1.644_854, 1.959_964, 2.326_348,
];

/// Seconds since the first of `samples`, and the value.
fn recent(history: &UsageHistory) -> Vec<(f64, f64)> {
    let samples = history.iter().rev().take(SLOPE_SAMPLES);
    let known = samples.filter_map(|sample| Some((sample.at.as_secs_f64(), sample.value?)));
    let mut points: Vec<_> = known.filter(|(_, value)| value.is_finite()).collect();
    points.reverse();
    points
}

/// Change per second of the latest samples; zero where there are too few to say.
pub(crate) fn slope(history: &UsageHistory) -> f64 {
    let points = recent(history);
    if points.len() < FEWEST {
        return 0.0;
    }
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, later) in points.iter().enumerate() {
        for earlier in &points[..index] {
            slopes.push((later.1 - earlier.1) / (later.0 - earlier.0));
        }
    }
    let middle = slopes.len() / 2;
    *slopes.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// The last value, ever less certain: what stands in for a predictor.
pub(crate) fn last_value(history: &UsageHistory, now: Timestamp) -> ResourceForecast {
    let points = recent(history);
    let steps: Vec<f64> = points.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    let mean_square = |steps: &[f64]| {
        steps.iter().map(|step| step * step).sum::<f64>() / steps.len().max(1) as f64
    };
    let spread = mean_square(&steps).sqrt();
    let horizons = points.last().map_or_else(Vec::new, |(_, last)| {
        AHEAD.iter().filter_map(|ahead| horizon(history, *last, spread, *ahead)).collect()
    });
    ResourceForecast {
        key: history.key().clone(),
        at: now,
        horizons,
        health: ForecastHealth::Learning { seen: points.len(), needed: FEWEST },
        season: None,
    }
}

/// A random walk's distribution after `ahead` steps of `spread`.
fn horizon(history: &UsageHistory, last: f64, spread: f64, ahead: u32) -> Option<HorizonForecast> {
    let deviation = spread * f64::from(ahead).sqrt();
    let values = NORMAL.map(|normal| (last + normal * deviation).max(0.0));
    let quantiles = Quantiles::new(values).ok()?;
    Some(HorizonForecast { horizon: history.interval() * ahead, quantiles })
}

/// When the median of `forecast`, or else the trend's slope, reaches capacity within the horizons.
pub(crate) fn saturated_in(
    trend: &LoadTrend,
    forecast: &ResourceForecast,
    slope: f64,
) -> Option<Duration> {
    if !(trend.capacity.is_finite() && trend.capacity > 0.0) {
        return None;
    }
    let last = trend.history.iter().rev().find_map(|sample| sample.value)?;
    if last >= trend.capacity {
        return Some(Duration::ZERO);
    }
    let reached = |horizon: &&HorizonForecast| horizon.quantiles.median() >= trend.capacity;
    if let Some(horizon) = forecast.horizons.iter().find(reached) {
        return Some(horizon.horizon);
    }
    // The last value's median never moves; the slope is what says where it goes.
    let farthest = forecast.horizons.last()?.horizon;
    let seconds = (trend.capacity - last) / slope;
    let learning = matches!(forecast.health, ForecastHealth::Learning { .. });
    (learning && slope > 0.0 && seconds <= farthest.as_secs_f64())
        .then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use plimsoll_core_types::{ConsumerId, Metric, Sample, SeriesKey};

    use super::*;

    fn trend(values: &[Option<f64>], capacity: f64) -> LoadTrend {
        let subject = ConsumerId::new("api").unwrap();
        let key = SeriesKey { subject, metric: Metric::RequestRate };
        let mut history = UsageHistory::new(key, Duration::from_secs(1), 128);
        for (second, value) in values.iter().enumerate() {
            history.push(Sample { at: Timestamp::from_secs_f64(second as f64), value: *value });
        }
        LoadTrend { history, capacity }
    }

    #[test]
    fn one_outlier_and_a_gap_do_not_bend_the_slope() {
        let mut values: Vec<_> =
            (0..20).map(|second| Some(10.0 + f64::from(second) * 2.0)).collect();
        values[7] = Some(900.0);
        values[9] = None;
        assert!((slope(&trend(&values, 100.0).history) - 2.0).abs() < 0.2);
        assert_eq!(slope(&trend(&values[..2], 100.0).history), 0.0);
    }

    #[test]
    fn saturation_is_told_by_the_slope_where_nobody_predicts() {
        let rising: Vec<_> = (0..20).map(|second| Some(f64::from(second) * 2.0)).collect();
        let check = |capacity: f64, expected: Option<f64>| {
            let trend = trend(&rising, capacity);
            let forecast = last_value(&trend.history, Timestamp::ZERO);
            let got = saturated_in(&trend, &forecast, slope(&trend.history));
            assert_eq!(got.map(|d| d.as_secs_f64()), expected, "{capacity}");
        };
        check(48.0, Some(5.0));
        check(38.0, Some(0.0));
        check(5000.0, None);
        check(0.0, None);
        check(f64::NAN, None);
    }

    #[test]
    fn the_spread_grows_with_the_horizon() {
        let noisy: Vec<_> = (0..30).map(|second| Some(50.0 + f64::from(second % 2))).collect();
        let forecast = last_value(&trend(&noisy, 100.0).history, Timestamp::ZERO);
        let width = |index: usize| {
            let quantiles = &forecast.horizons[index].quantiles;
            quantiles.at(0.95) - quantiles.at(0.05)
        };
        assert!(width(3) > 5.0 * width(0), "{} {}", width(3), width(0));
        let empty = last_value(&trend(&[], 1.0).history, Timestamp::ZERO);
        assert!(empty.horizons.is_empty());
    }
}
