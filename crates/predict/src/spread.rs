//! How far values scatter at each phase of the season.
//!
//! Errors are rarely alike around the day: where bursts come they are large, at night small. The
//! size of each error relative to what is usual at its horizon is averaged in bins over the
//! season, and shrunk towards one as long as a bin has seen little (an empirical-Bayes mean with a
//! prior worth a few errors). Intervals are stretched by it before they are calibrated.

use serde::{Deserialize, Serialize};

/// The most bins.
const BINS: usize = 32;
/// How many errors the prior of one is worth.
const PRIOR: f32 = 0.3;
/// Older errors count less: the weight of a bin never exceeds this.
const MEMORY: f32 = 60.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    mean: [f32; BINS],
    weight: [f32; BINS],
}

impl Spread {
    pub(crate) const fn new() -> Self {
        Self { mean: [1.0; BINS], weight: [0.0; BINS] }
    }

    /// Learns that an error was `ratio` times the usual at `phase` of `season`.
    pub(crate) fn learn(&mut self, phase: usize, season: usize, ratio: f32) {
        let bin = bin(phase, season);
        let weight = (self.weight[bin] + 1.0).min(MEMORY);
        self.weight[bin] = weight;
        self.mean[bin] += (ratio.min(20.0) - self.mean[bin]) / weight;
    }

    /// How many times the usual errors are at `phase` of `season`.
    pub(crate) fn factor(&self, phase: usize, season: usize) -> f32 {
        let bin = bin(phase, season);
        let (mean, weight) = (self.mean[bin], self.weight[bin]);
        ((mean * weight + PRIOR) / (weight + PRIOR)).clamp(0.02, 20.0)
    }
}

const fn bin(phase: usize, season: usize) -> usize {
    if season <= BINS { phase } else { phase * BINS / season }
}
