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
use crate::lanes::Four;
use crate::num::{exp_below_one, larger, share, smaller};

const SLOW: f32 = 0.1;
const MEDIAN: f32 = 0.03;
const HOLT_LEVEL: f32 = 0.5;
const HOLT_TREND: f32 = 0.1;
const HOLT_DAMP: f32 = 0.9;
const LN_HOLT_DAMP: f32 = -0.105_360_52;
/// The steps of a running median are cut at this share of the mean deviation.
const CUT: f32 = 0.5;
/// The same of each center: those of the average are not.
const CUTS: [f32; 4] = [f32::MAX, CUT, CUT, CUT];
/// A cut average moves less than an uncut one; the factor makes their memory alike.
const FASTER: [f32; 4] = [1.0, 2.0, 2.0, 2.0];

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Levels {
    seen: u32,
    last: f32,
    holt: f32,
    trend: f32,
    /// The average and the running medians, by [`AVERAGE`] and those after it.
    centers: [f32; 4],
    /// Mean deviations from them.
    spreads: [f32; 4],
}

/// Which of the centers is where.
const AVERAGE: usize = 0;
const SHORT: usize = 1;
const LONG: usize = 2;
const EVER: usize = 3;
/// At first, all are plain averages.
const PLAIN: f32 = 0.5;

impl Levels {
    #[inline(always)]
    pub(crate) fn learn(&mut self, value: f32, season: usize) {
        self.seen = self.seen.saturating_add(1);
        let start = share(self.seen, 1e-6);
        let cycle = 1.0 / season as f32;
        self.last = value;
        let mut rates = [0.0; 4];
        rates[AVERAGE] = SLOW;
        rates[SHORT] = MEDIAN;
        rates[LONG] = smaller(larger(cycle, 0.001), 0.02);
        rates[EVER] = 0.2 * cycle;
        let rates = Four::new(rates).max(Four::all(start));
        let centers = Four::new(self.centers);
        let off = Four::all(value) - centers;
        let spreads = Four::new(self.spreads);
        let spreads = spreads + rates * (off.abs() - spreads);
        let step = if start >= PLAIN {
            rates * off
        } else {
            let cut = spreads * Four::new(CUTS);
            rates * Four::new(FASTER) * off.max(Four::all(0.0) - cut).min(cut)
        };
        (self.centers, self.spreads) = ((centers + step).array(), spreads.array());
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
        said[index::SLOW] = self.centers[AVERAGE];
        said[index::MEDIAN] = self.centers[SHORT];
        said[index::LONG] = self.centers[LONG];
        said[index::CYCLE] = self.centers[EVER];
        said[index::HOLT] = self.holt + damped * self.trend;
    }
}

impl Levels {
    pub(crate) fn check(&self) -> Checked {
        check::values("levels.last", &[self.last])?;
        check::values("levels.holt", &[self.holt])?;
        check::values("levels.trend", &[self.trend])?;
        check::values("levels.centers", &self.centers)?;
        check::sizes("levels.spreads", &self.spreads)
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale(&mut self, by: f32) {
        let levels = [&mut self.last, &mut self.holt, &mut self.trend];
        for value in levels.into_iter().chain(&mut self.centers).chain(&mut self.spreads) {
            *value *= by;
        }
    }
}
