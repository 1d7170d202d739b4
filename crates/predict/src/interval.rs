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

pub(crate) const COUNT: usize = Quantiles::LEVELS.len();
const MEDIAN: usize = COUNT / 2;
/// The places of the 95% interval's ends.
pub(crate) const LOW: usize = 1;
pub(crate) const HIGH: usize = COUNT - 2;
/// Distances of a Laplace distribution's quantiles in units of its mean deviation: where all
/// tails begin.
pub(crate) const LAPLACE: [f32; COUNT] =
    [3.91, 3.0, 2.3, 1.61, 0.69, 0.0, 0.69, 1.61, 2.3, 3.0, 3.91];
const NARROWEST: f32 = 0.005;
const WIDEST: f32 = 200.0;

/// How fast the ends of the interval that was given out move, per error.
const GIVEN: f32 = 0.16;
/// They move at most so far (in logarithm) until what moved them is answered: all errors that wait
/// for their truth at a far horizon may have the same cause.
const ANSWERED: f32 = 2.0;

/// How fast the trackers of one horizon move, per error.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    distance: [f32; COUNT],
    /// Mean absolute error.
    scale: f32,
    rounds: u32,
}

impl Tails {
    pub(crate) const fn new() -> Self {
        Self { distance: LAPLACE, scale: 0.0, rounds: 0 }
    }

    pub(crate) const fn scale(&self) -> f32 {
        self.scale
    }

    /// Learns an error (truth less point) that was expected to be `factor` times the usual, and
    /// whether it was beyond the low and the high end that were given out.
    pub(crate) fn learn(&mut self, error: f32, factor: f32, missed: [bool; 2], pace: Pace) {
        self.rounds = self.rounds.saturating_add(1);
        let normal = error / (self.scale * factor).max(f32::MIN_POSITIVE);
        if self.rounds > 1 {
            for (index, distance) in self.distance.iter_mut().enumerate() {
                if index == MEDIAN {
                    let step = if normal > *distance { 0.5 } else { -0.5 };
                    *distance = (*distance + pace.bias * step).clamp(-2.0, 2.0);
                    continue;
                }
                let level = Quantiles::LEVELS[index] as f32;
                let below = index < MEDIAN;
                let share = if below { level } else { 1.0 - level };
                let (beyond, rate) = match index {
                    LOW => (missed[0], pace.given),
                    HIGH => (missed[1], pace.given),
                    _ if below => (normal < -*distance, pace.tracked),
                    _ => (normal > *distance, pace.tracked),
                };
                let step = if beyond { 1.0 - share } else { -share };
                // The exponential to second order: in its logarithm, the distance is a sum of
                // steps, which for a bounded distance balance in the long run.
                let by = rate * step;
                *distance = (*distance * (1.0 + by * (1.0 + 0.5 * by))).clamp(NARROWEST, WIDEST);
            }
        }
        let rate = (1.0 / self.rounds as f32).max(0.01);
        self.scale += rate * (error.abs() / factor - self.scale);
    }

    /// The distance of each level's quantile from the point, in the series' unit; negative below.
    pub(crate) fn offsets(&self, factor: f32) -> [f32; COUNT] {
        let unit = self.scale * factor;
        std::array::from_fn(|index| {
            let side = if index < MEDIAN { -unit } else { unit };
            side * self.distance[index]
        })
    }

    /// The two ends of the 95% interval alone.
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
