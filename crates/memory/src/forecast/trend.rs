//! The plain rule that stands where there is no predictor, or none with skill.
//!
//! **Slope.** The median of the slopes between pairs of samples (Theil 1950, Sen 1968): a third of
//! the samples may be wrong before it moves. A series counts as rising only when three quarters of
//! the pairs rise, so that noise around a level has no slope.
//!
//! **Quantiles.** What the series did over the same time before: the changes over each stretch as
//! long as the horizon, added to the last value. Where the history is too short for that, changes
//! between neighbours, widened by the square root of the number of steps as those of a random walk
//! are.

use std::time::Duration;

use plimsoll_core_types::{HorizonForecast, Quantiles, UsageHistory};

/// At most so many samples enter the slope: 64 make 2016 pairs.
const SLOPE_SAMPLES: usize = 64;
/// Fewer than this tell no trend.
const LEAST_SAMPLES: usize = 8;
/// A trend is drawn on for so many times as long as it was seen: a load that fills memory for ten
/// seconds is no leak of an hour.
const DRAWN_ON: f64 = 4.0;
/// Fewer changes than this tell no quantiles.
const LEAST_CHANGES: usize = 8;

/// The direction of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// Change per second, in the series' unit.
    pub slope: f64,
    /// True where at least three quarters of the pairs of samples rise.
    pub rising: bool,
    /// Over which time it was seen.
    pub span: Duration,
}

impl Trend {
    /// The trend of `history`; none where too little was measured.
    pub fn of(history: &UsageHistory) -> Option<Self> {
        let points = points(history);
        if points.len() < LEAST_SAMPLES {
            return None;
        }
        let step = points.len().div_ceil(SLOPE_SAMPLES);
        // Counted from the latest, so that it is always among them.
        let thinned: Vec<_> = points.iter().rev().step_by(step).collect();
        let mut slopes = Vec::with_capacity(thinned.len() * thinned.len() / 2);
        for (index, later) in thinned.iter().enumerate() {
            for earlier in &thinned[index + 1..] {
                slopes.push((later.1 - earlier.1) / (later.0 - earlier.0));
            }
        }
        slopes.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| slopes[((slopes.len() - 1) as f64 * share) as usize];
        let span = Duration::from_secs_f64(points[points.len() - 1].0 - points[0].0);
        Some(Self { slope: at(0.5), rising: at(0.25) > 0.0, span })
    }

    /// How long it takes from `value` to `limit`; none where it does not rise, or takes longer
    /// than four times what was seen of it.
    pub fn reaches(&self, value: f64, limit: f64) -> Option<Duration> {
        if value >= limit {
            return Some(Duration::ZERO);
        }
        if !self.rising || self.slope <= 0.0 {
            return None;
        }
        let seconds = (limit - value) / self.slope;
        (seconds <= self.span.as_secs_f64() * DRAWN_ON).then(|| Duration::from_secs_f64(seconds))
    }
}

/// The distribution of `history` at each of `horizons`, which should rise; empty where too little
/// was measured.
pub fn outlook(history: &UsageHistory, horizons: &[Duration]) -> Vec<HorizonForecast> {
    let points = points(history);
    let Some(last) = points.last().map(|point| point.1) else { return Vec::new() };
    if points.len() < LEAST_SAMPLES {
        return Vec::new();
    }
    let steps = changes(&points, 0.0);
    let mean_step = (points[points.len() - 1].0 - points[0].0) / (points.len() - 1) as f64;
    let forecast = |horizon: &Duration| {
        let ahead = horizon.as_secs_f64();
        let over = changes(&points, ahead);
        let quantiles = if over.len() >= LEAST_CHANGES {
            spread(last, &over, 1.0)
        } else {
            spread(last, &steps, (ahead / mean_step).max(1.0).sqrt())
        };
        Some(HorizonForecast { horizon: *horizon, quantiles: quantiles? })
    };
    horizons.iter().filter_map(forecast).collect()
}

/// Seconds since the first sample, and the value, of everything that was measured.
fn points(history: &UsageHistory) -> Vec<(f64, f64)> {
    let Some(first) = history.iter().next().map(|sample| sample.at) else { return Vec::new() };
    let point = |sample: &plimsoll_core_types::Sample| {
        let value = sample.value.filter(|value| value.is_finite())?;
        Some((sample.at.saturating_since(first).as_secs_f64(), value))
    };
    history.iter().filter_map(point).collect()
}

/// The changes over stretches of at least `ahead` seconds, sorted; of neighbours where that is
/// zero.
fn changes(points: &[(f64, f64)], ahead: f64) -> Vec<f64> {
    let mut later = 0;
    let mut out = Vec::with_capacity(points.len());
    for (index, earlier) in points.iter().enumerate() {
        later = later.max(index + 1);
        while later < points.len() && points[later].0 - earlier.0 < ahead {
            later += 1;
        }
        let Some(reached) = points.get(later) else { break };
        out.push(reached.1 - earlier.1);
    }
    out.sort_unstable_by(f64::total_cmp);
    out
}

/// `last` and the quantiles of `changes`, `wider` times as wide around their median; use is never
/// below zero.
fn spread(last: f64, changes: &[f64], wider: f64) -> Option<Quantiles> {
    if changes.is_empty() {
        return None;
    }
    let at = |level: f64| {
        let place = (changes.len() - 1) as f64 * level;
        let (low, part) = (place.floor() as usize, place.fract());
        let high = (low + 1).min(changes.len() - 1);
        changes[low] + part * (changes[high] - changes[low])
    };
    let middle = at(0.5);
    let value = |level: f64| (last + middle + wider * (at(level) - middle)).max(0.0);
    Quantiles::new(Quantiles::LEVELS.map(value)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::{ConsumerId, Dimension, Metric, Sample, SeriesKey, Timestamp};
    use proptest::prelude::*;

    fn history(values: impl IntoIterator<Item = f64>) -> UsageHistory {
        let key = SeriesKey {
            subject: ConsumerId::new("host").unwrap(),
            metric: Metric::Used(Dimension::Memory),
        };
        let mut history = UsageHistory::new(key, Duration::from_secs(1), 1000);
        for (second, value) in values.into_iter().enumerate() {
            let at = Timestamp::from_secs_f64(second as f64);
            history.push(Sample { at, value: Some(value) });
        }
        history
    }

    #[test]
    fn a_rise_reaches_the_limit_and_outliers_do_not_bend_it() {
        let mut values: Vec<f64> = (0..100).map(|second| 10.0 * f64::from(second)).collect();
        for outlier in [5, 20, 50, 80] {
            values[outlier] = 1e6;
        }
        let trend = Trend::of(&history(values)).unwrap();
        assert!((trend.slope - 10.0).abs() < 0.2, "{trend:?}");
        let left = trend.reaches(990.0, 1990.0).unwrap();
        assert!((left.as_secs_f64() - 100.0).abs() < 2.0, "{left:?}");
        assert_eq!(trend.reaches(5.0, 5.0), Some(Duration::ZERO));
        assert_eq!(trend.reaches(0.0, 1e6), None, "not from 100 s to 28 hours");
    }

    #[test]
    fn noise_around_a_level_never_runs_out() {
        let noise = (0..200).map(|second| 500.0 + f64::from((second * 7919) % 101));
        let trend = Trend::of(&history(noise)).unwrap();
        assert!(!trend.rising, "{trend:?}");
        assert_eq!(trend.reaches(550.0, 1000.0), None);
        let falling = Trend::of(&history((0..50).map(|s| 100.0 - f64::from(s)))).unwrap();
        assert_eq!(falling.reaches(50.0, 1000.0), None);
    }

    #[test]
    fn quantiles_repeat_what_was_seen() {
        // Rises by 1 a second with a sawtooth of 10: over 20 s it is ±10 around +20.
        let wave = |second: u32| f64::from(second) + 10.0 * f64::from(second % 2);
        let told = outlook(&history((0..300).map(wave)), &[Duration::from_secs(20)]);
        let quantiles = told[0].quantiles;
        let last = wave(299);
        assert!((quantiles.median() - (last + 20.0)).abs() <= 10.0, "{quantiles:?}");
        assert!(quantiles.at(0.99) <= last + 30.0);
        // Too far for the history: wider than the nearer one.
        let both = [Duration::from_secs(20), Duration::from_secs(5000)];
        let told = outlook(&history((0..300).map(|s| f64::from((s * 7919) % 101))), &both);
        let width = |f: &HorizonForecast| f.quantiles.at(0.9) - f.quantiles.at(0.1);
        assert!(width(&told[1]) > width(&told[0]));
    }

    #[test]
    fn too_little_tells_nothing() {
        assert_eq!(Trend::of(&history([1.0; 7])), None);
        assert!(outlook(&history([1.0; 7]), &[Duration::from_secs(1)]).is_empty());
        assert!(outlook(&history([]), &[Duration::from_secs(1)]).is_empty());
    }

    proptest! {
        #[test]
        fn any_series_is_answered(values in prop::collection::vec(-1e18_f64..1e18, 0..200), ahead in 0_u64..10_000) {
            let history = history(values);
            if let Some(trend) = Trend::of(&history) {
                let _ = trend.reaches(0.0, 1e18);
            }
            for forecast in outlook(&history, &[Duration::from_secs(ahead)]) {
                prop_assert!(forecast.quantiles.values()[0] >= 0.0);
            }
        }
    }
}
