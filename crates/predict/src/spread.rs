//! How far values scatter at each phase of the season.
//!
//! Errors are rarely alike around the day: where bursts come they are large, at night small. The
//! size of each error relative to what is usual at its horizon is averaged in bins over the
//! season, and shrunk towards one as long as a bin has seen little (an empirical-Bayes mean with a
//! prior worth a part of an error). Intervals are stretched by it before they are calibrated.

use serde::{Deserialize, Serialize};

/// The most bins.
const BINS: usize = 32;
/// How many errors the prior of one is worth.
const PRIOR: f32 = 0.3;
/// Older errors count less: a bin's mean is never over more than this.
const MEMORY: u8 = 60;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    mean: [f32; BINS],
    seen: [u8; BINS],
}

impl Spread {
    pub(crate) const fn new() -> Self {
        Self { mean: [1.0; BINS], seen: [0; BINS] }
    }

    /// Learns that an error was `ratio` times the usual at `phase` of `season`.
    pub(crate) fn learn(&mut self, phase: usize, season: usize, ratio: f32) {
        let bin = bin(phase, season);
        self.seen[bin] = (self.seen[bin] + 1).min(MEMORY);
        self.mean[bin] += (ratio.min(20.0) - self.mean[bin]) / f32::from(self.seen[bin]);
    }

    /// How many times the usual errors are at `phase` of `season`.
    pub(crate) fn factor(&self, phase: usize, season: usize) -> f32 {
        let bin = bin(phase, season);
        let seen = f32::from(self.seen[bin]);
        ((self.mean[bin] * seen + PRIOR) / (seen + PRIOR)).clamp(0.02, 20.0)
    }
}

const fn bin(phase: usize, season: usize) -> usize {
    if season <= BINS { phase } else { phase * BINS / season }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_scatters_less_is_found() {
        let mut spread = Spread::new();
        assert_eq!(spread.factor(3, 10), 1.0);
        for _ in 0..20 {
            spread.learn(3, 10, 0.1);
            spread.learn(4, 10, f32::INFINITY);
        }
        assert!((spread.factor(3, 10) - 0.1).abs() < 0.03);
        assert!(spread.factor(4, 10) > 15.0);
        assert_eq!(spread.factor(5, 10), 1.0);
    }
}
