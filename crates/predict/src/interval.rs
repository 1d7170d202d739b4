//! Calibrated quantiles around a point: adaptive conformal tails.
//!
//! For each level the distance of its quantile from the point is tracked in units of a moving
//! scale: a value beyond it widens it, one within narrows it, in the proportion that balances at
//! the level's own probability (adaptive conformal inference, Gibbs & Candès, 2021; the
//! quantile tracker of Angelopoulos, Candès & Tibshirani, "Conformal PID control", 2023).
//! Coverage in the long run then holds whatever the series does. Steps are relative, so that a
//! tail of any weight is found in about as many misses.

use plimsoll_core_types::Quantiles;
use serde::{Deserialize, Serialize};

const COUNT: usize = Quantiles::LEVELS.len();
const MEDIAN: usize = COUNT / 2;
/// Distances of a Laplace distribution's quantiles in units of its mean deviation: where all
/// tails begin.
const START: [f32; COUNT] = [3.91, 3.0, 2.3, 1.61, 0.69, 0.0, 0.69, 1.61, 2.3, 3.0, 3.91];
const NARROWEST: f32 = 0.005;
const WIDEST: f32 = 200.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tails {
    /// Distance below (first half) or above the point; the middle is the signed bias.
    distance: [f32; COUNT],
    /// Mean absolute error.
    scale: f32,
    rounds: u32,
    rate: f32,
}

impl Tails {
    pub(crate) fn new(rate: f32) -> Self {
        Self { distance: START, scale: 0.0, rounds: 0, rate }
    }

    pub(crate) const fn scale(&self) -> f32 {
        self.scale
    }

    /// Learns an error (truth less point), which was expected to be `factor` times the usual.
    pub(crate) fn learn(&mut self, error: f32, factor: f32) {
        self.rounds = self.rounds.saturating_add(1);
        let unit = (self.scale * factor).max(f32::MIN_POSITIVE);
        let normal = error / unit;
        if self.rounds > 1 {
            for (index, distance) in self.distance.iter_mut().enumerate() {
                let level = Quantiles::LEVELS[index] as f32;
                if index == MEDIAN {
                    let step = if normal > *distance { 0.5 } else { -0.5 };
                    *distance = (*distance + 0.02 * step).clamp(-2.0, 2.0);
                    continue;
                }
                let (beyond, share) = if index < MEDIAN {
                    (normal < -*distance, level)
                } else {
                    (normal > *distance, 1.0 - level)
                };
                let step = if beyond { 1.0 - share } else { -share };
                *distance = (*distance * (1.0 + self.rate * step)).clamp(NARROWEST, WIDEST);
            }
        }
        let rate = (1.0 / self.rounds as f32).max(0.01);
        self.scale += rate * (error.abs() / factor - self.scale);
    }

    /// The distance of each level's quantile from the point, in the series' unit.
    pub(crate) fn offsets(&self, factor: f32) -> [f32; COUNT] {
        let unit = self.scale * factor;
        std::array::from_fn(|index| {
            let side = if index < MEDIAN { -unit } else { unit };
            side * self.distance[index]
        })
    }
}
