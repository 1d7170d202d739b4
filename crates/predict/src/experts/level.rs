//! Experts that know no season: the last value, a moving average, running medians, damped trend.
//!
//! The average is Brown's exponential smoothing (1959), the trend is the damped one of Gardner
//! and others ("Forecasting trends in time series", 1985). A running median is an average whose
//! every step is cut to a share of the mean deviation (Huber's M-estimator by stochastic
//! approximation), so that it follows where most values lie and not where the bursts are: where
//! the loss is the absolute error, that is the better constant.

use serde::{Deserialize, Serialize};

use super::{Predictions, index};
use crate::check::{self, Checked};
use crate::num::{exp_below_one, larger, share, smaller};

const SLOW: f32 = 0.1;
const MEDIAN: f32 = 0.03;
const HOLT_LEVEL: f32 = 0.5;
const HOLT_TREND: f32 = 0.1;
const HOLT_DAMP: f32 = 0.9;
const LN_HOLT_DAMP: f32 = -0.105_360_52;
/// The steps of a running median are cut at this share of the mean deviation.
const CUT: f32 = 0.5;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Levels {
    seen: u32,
    last: f32,
    slow: f32,
    median: Median,
    long: Median,
    ever: Median,
    holt: f32,
    trend: f32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Median {
    center: f32,
    spread: f32,
}

impl Levels {
    #[inline(always)]
    pub(crate) fn learn(&mut self, value: f32, season: usize) {
        self.seen = self.seen.saturating_add(1);
        let start = share(self.seen, 1e-6);
        let cycle = 1.0 / season as f32;
        self.last = value;
        self.slow += larger(SLOW, start) * (value - self.slow);
        self.median.learn(value, larger(MEDIAN, start));
        self.long.learn(value, larger(cycle.clamp(0.001, 0.02), start));
        self.ever.learn(value, larger(0.2 * cycle, start));
        let expected = self.holt + HOLT_DAMP * self.trend;
        let before = self.holt;
        self.holt = expected + larger(HOLT_LEVEL, start) * (value - expected);
        if self.seen > 1 {
            let moved = self.holt - before;
            self.trend = HOLT_DAMP * self.trend + HOLT_TREND * (moved - HOLT_DAMP * self.trend);
        }
    }

    /// The sum of damped trends: φ + φ² + … + φ^h.
    pub(crate) fn damped(ahead: usize) -> f32 {
        HOLT_DAMP / (1.0 - HOLT_DAMP) * (1.0 - exp_below_one(LN_HOLT_DAMP * ahead as f32))
    }

    #[inline(always)]
    pub(crate) fn predict(&self, damped: f32, said: &mut Predictions) {
        said[index::LAST] = self.last;
        said[index::SLOW] = self.slow;
        said[index::MEDIAN] = self.median.center;
        said[index::LONG] = self.long.center;
        said[index::CYCLE] = self.ever.center;
        said[index::HOLT] = self.holt + damped * self.trend;
    }
}

impl Levels {
    pub(crate) fn check(&self) -> Checked {
        let medians = [&self.median, &self.long, &self.ever];
        check::values("levels.last", &[self.last])?;
        check::values("levels.slow", &[self.slow])?;
        check::values("levels.holt", &[self.holt])?;
        check::values("levels.trend", &[self.trend])?;
        check::values("levels.center", &medians.map(|median| median.center))?;
        check::sizes("levels.spread", &medians.map(|median| median.spread))
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale(&mut self, by: f32) {
        for value in [&mut self.last, &mut self.slow, &mut self.holt, &mut self.trend] {
            *value *= by;
        }
        for median in [&mut self.median, &mut self.long, &mut self.ever] {
            median.center *= by;
            median.spread *= by;
        }
    }
}

impl Median {
    #[inline(always)]
    fn learn(&mut self, value: f32, rate: f32) {
        let off = value - self.center;
        self.spread += rate * (off.abs() - self.spread);
        let cut = CUT * self.spread;
        // A cut average moves less than an uncut one; the factor makes their memory alike.
        let step =
            if rate >= 0.5 { rate * off } else { 2.0 * rate * smaller(larger(off, -cut), cut) };
        self.center += step;
    }
}
