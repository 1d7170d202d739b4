//! How far values scatter at each phase of the season.
//!
//! Errors are rarely alike around the day: where bursts come they are large, at night small. The
//! size of each error relative to what is usual at its horizon is averaged in bins over the
//! season, and shrunk towards one as long as a bin has seen little (an empirical-Bayes mean with a
//! prior worth a part of an error). Intervals are stretched by it before they are calibrated.

use serde::{Deserialize, Serialize};

use crate::check::{self, Checked, ensure};
use crate::experts::{Cycle, Spot};
use crate::num::smaller;

/// The most bins.
const BINS: usize = 32;
/// How many errors the prior of one is worth.
const PRIOR: f32 = 0.3;
/// Older errors count less: a bin's mean is never over more than this.
const MEMORY: u8 = 60;
/// An error counts no more than so many usual ones.
const LARGEST: f32 = 20.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    mean: [f32; BINS],
    seen: [u8; BINS],
}

impl Spread {
    pub(crate) const fn new() -> Self {
        Self { mean: [1.0; BINS], seen: [0; BINS] }
    }

    pub(crate) fn check(&self) -> Checked {
        ensure("spread.seen", self.seen.iter().all(|seen| *seen <= MEMORY))?;
        check::within("spread.mean", &self.mean, 0.0, LARGEST)
    }

    /// Learns that an error was `ratio` times the usual in `bin`.
    #[inline(always)]
    pub(crate) fn learn(&mut self, bin: usize, ratio: f32) {
        self.seen[bin] = (self.seen[bin] + 1).min(MEMORY);
        self.mean[bin] += (smaller(ratio, LARGEST) - self.mean[bin]) / f32::from(self.seen[bin]);
    }

    /// How many times the usual errors are in `bin`.
    #[inline(always)]
    pub(crate) fn factor(&self, bin: usize) -> f32 {
        let seen = f32::from(self.seen[bin]);
        ((self.mean[bin] * seen + PRIOR) / (seen + PRIOR)).clamp(0.02, LARGEST)
    }
}

/// The bin of a moment of the season.
#[inline(always)]
pub(crate) fn bin(cycle: Cycle, spot: Spot) -> usize {
    cycle.part(spot, BINS).min(BINS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_that_scatters_less_is_found() {
        let mut spread = Spread::new();
        assert_eq!(spread.factor(3), 1.0);
        for _ in 0..20 {
            spread.learn(3, 0.1);
            spread.learn(4, f32::INFINITY);
        }
        assert!((spread.factor(3) - 0.1).abs() < 0.03);
        assert!(spread.factor(4) > 15.0);
        assert_eq!(spread.factor(5), 1.0);
    }
}
