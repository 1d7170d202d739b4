//! Calibrated quantiles around a point: adaptive conformal tails.
//!
//! For each level the distance of its quantile from the point is tracked in units of a moving
//! scale: a value beyond it widens it, one within narrows it, in the proportion that balances at
//! the level's own probability (adaptive conformal inference, Gibbs & Candès, 2021; the quantile
//! tracker of Angelopoulos, Candès & Tibshirani, "Conformal PID control", 2023). Coverage in the
//! long run then holds whatever the series does. Steps are relative, so that a tail of any weight
//! is found in about as many misses.
//!
//! Errors of forecasts far ahead come in runs. A tracker that is judged by its present distance
//! sees a run's first error only and believes the rest covered; the ends of the 95% interval are
//! therefore moved by whether the interval that was *given out* held, and all trackers are slower
//! the farther the horizon.

use plimsoll_core_types::Quantiles;
use serde::{Deserialize, Serialize};

use crate::check::{self, Checked};
use crate::lanes::{Four, array, each, twelve};
use crate::num::{larger, share, smaller};

pub(crate) const COUNT: usize = Quantiles::LEVELS.len();
const MEDIAN: usize = COUNT / 2;
/// The places of the 95% interval's ends, each the second of four.
pub(crate) const LOW: usize = 1;
pub(crate) const HIGH: usize = COUNT - 2;
const _: () = assert!(LOW % 4 == 1 && HIGH % 4 == 1 && HIGH / 4 == 2);
/// Distances of a Laplace distribution's quantiles in units of its mean deviation: where all
/// tails begin.
pub(crate) const LAPLACE: [f32; COUNT] =
    [3.91, 3.0, 2.3, 1.61, 0.69, 0.0, 0.69, 1.61, 2.3, 3.0, 3.91];
/// The levels, filled up to three registers of four.
const LANES: usize = 12;
type Lanes = [f32; LANES];
/// Which way each level lies from the point.
const SIDE: Lanes = [-1.0, -1.0, -1.0, -1.0, -1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
/// The same for what is said, where the median's distance has a sign of its own.
const TOWARDS: Lanes = {
    let mut towards = SIDE;
    towards[MEDIAN] = 1.0;
    towards
};
/// How often a value is to lie beyond each level.
const SHARE: Lanes = {
    let mut share = [0.5; LANES];
    let mut k = 0;
    while k < COUNT {
        let level = Quantiles::LEVELS[k];
        share[k] = if k < MEDIAN { level as f32 } else { (1.0 - level) as f32 };
        k += 1;
    }
    share
};
const NARROWEST: f32 = 0.005;
const WIDEST: f32 = 200.0;
/// The median is corrected by no more than this.
const MOST_BIAS: f32 = 2.0;

/// How fast the ends of the interval that was given out move, per error.
const GIVEN: f32 = 0.16;
/// They move at most so far (in logarithm) until what moved them is answered: all errors that wait
/// for their truth at a far horizon may have the same cause.
const ANSWERED: f32 = 2.0;

/// How fast the trackers of one horizon move, per error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Of all levels.
    tracked: f32,
    /// Of the ends of the interval that was given out.
    given: f32,
    /// Of the correction of the median; none at far horizons, where it would answer an error of
    /// long ago.
    bias: f32,
}

impl Pace {
    /// For a horizon `ahead` steps away, of which `waiting` forecasts wait for their truth.
    pub(crate) fn new(ahead: usize, waiting: u32, far: bool) -> Self {
        let given = GIVEN.min(ANSWERED / waiting.max(1) as f32);
        if far {
            return Self { tracked: 0.03, given, bias: 0.0 };
        }
        let ahead = ahead as f32;
        Self { tracked: 0.15 / ahead, given, bias: 0.015 / ahead.sqrt() }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tails {
    /// Distance below (first half) or above the point; the middle is the signed bias.
    distance: Lanes,
    /// Mean absolute error.
    scale: f32,
    rounds: u32,
}

impl Tails {
    pub(crate) const fn new() -> Self {
        let mut distance = [1.0; LANES];
        let mut k = 0;
        while k < COUNT {
            distance[k] = LAPLACE[k];
            k += 1;
        }
        Self { distance, scale: 0.0, rounds: 0 }
    }

    pub(crate) fn check(&self) -> Checked {
        let (below, above) = (&self.distance[..MEDIAN], &self.distance[MEDIAN + 1..]);
        check::within("tails.distance", below, NARROWEST, WIDEST)?;
        check::within("tails.distance", above, NARROWEST, WIDEST)?;
        check::within("tails.distance", &[self.distance[MEDIAN]], -MOST_BIAS, MOST_BIAS)?;
        check::sizes("tails.scale", &[self.scale])
    }

    pub(crate) const fn scale(&self) -> f32 {
        self.scale
    }

    /// Learns an error (truth less point) that was expected to be `factor` times the usual, and
    /// whether it was beyond the low and the high end that were given out.
    #[inline(always)]
    pub(crate) fn learn(&mut self, error: f32, factor: f32, missed: [bool; 2], pace: Pace) {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds > 1 {
            let normal = error / larger(self.scale * factor, f32::MIN_POSITIVE);
            self.track(normal, missed, pace);
        }
        self.scale += share(self.rounds, 0.01) * (error.abs() / factor - self.scale);
    }

    #[inline(always)]
    fn track(&mut self, normal: f32, missed: [bool; 2], pace: Pace) {
        let bias = self.distance[MEDIAN];
        let aside = if normal > bias { 0.5 * pace.bias } else { -0.5 * pace.bias };
        let (distance, side) = (twelve(&self.distance), twelve(&SIDE));
        let beyond = each(|part| (side[part] * normal).above(distance[part]));
        // The ends are judged by what was given out. Each is the second of its part.
        let [low, high] = missed.map(|missed| f32::from(u8::from(missed)));
        let end = |beyond: Four, missed: f32| {
            beyond * Four::new([1.0, 0.0, 1.0, 1.0]) + Four::new([0.0, missed, 0.0, 0.0])
        };
        let beyond = [end(beyond[0], low), beyond[1], end(beyond[2], high)];
        let (tracked, given) = (pace.tracked, pace.given);
        let outer = Four::new([tracked, given, tracked, tracked]);
        let rate = [outer, Four::all(tracked), outer];
        let share = twelve(&SHARE);
        // The exponential to second order: in its logarithm, the distance is a sum of steps, which
        // for a bounded distance balance in the long run.
        let one = Four::all(1.0);
        self.distance = array(each(|part| {
            let by = rate[part] * (beyond[part] - share[part]);
            (distance[part] * (one + by * (one + by * 0.5))).cut(NARROWEST, WIDEST)
        }));
        self.distance[MEDIAN] = smaller(larger(bias + aside, -MOST_BIAS), MOST_BIAS);
    }

    /// The distance of each level's quantile from the point, in the series' unit; negative below.
    #[inline(always)]
    pub(crate) fn offsets(&self, factor: f32) -> [f32; COUNT] {
        let unit = self.scale * factor;
        let (distance, towards) = (twelve(&self.distance), twelve(&TOWARDS));
        let all = array(each(|part| towards[part] * distance[part] * unit));
        std::array::from_fn(|k| all[k])
    }

    /// The two ends of the 95% interval alone.
    #[inline(always)]
    pub(crate) fn ends(&self, factor: f32) -> (f32, f32) {
        let unit = self.scale * factor;
        (-unit * self.distance[LOW], unit * self.distance[HIGH])
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale_by(&mut self, by: f32) {
        self.scale *= by;
    }

    /// The series has changed: the scale is learnt anew.
    pub(crate) fn doubt(&mut self) {
        self.rounds = self.rounds.min(20);
    }
}
