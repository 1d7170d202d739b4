//! Has the series changed its level?
//!
//! The two-sided test of Page and Hinkley (E. S. Page, "Continuous inspection schemes",
//! *Biometrika* 41, 1954): the sum of normalised errors less what is tolerated, held at zero from
//! below, alarms when it passes a threshold. Errors are those of a far horizon, where a new level
//! shows as a run of one sign; a near one follows it at once and shows nothing.

use serde::{Deserialize, Serialize};

use crate::check::{self, Checked};

/// What is tolerated, in mean absolute errors.
const TOLERATED: f32 = 1.0;
/// One error counts at most this much.
const CUT: f32 = 4.0;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drift {
    above: f32,
    below: f32,
}

impl Drift {
    pub(crate) fn check(self, threshold: f32) -> Checked {
        check::within("drift.above", &[self.above], 0.0, threshold)?;
        check::within("drift.below", &[self.below], 0.0, threshold)
    }

    /// Learns a normalised error; true when the series has changed.
    #[inline(always)]
    pub(crate) fn learn(&mut self, normal: f32, threshold: f32) -> bool {
        let normal = normal.clamp(-CUT, CUT);
        self.above = (self.above + normal - TOLERATED).max(0.0);
        self.below = (self.below - normal - TOLERATED).max(0.0);
        if self.above.max(self.below) < threshold {
            return false;
        }
        *self = Self::default();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_alarms_soon_and_noise_does_not() {
        let mut drift = Drift::default();
        let noise = |step: u32| 2.5 * ((step * 7919) as f32 * 0.13).sin();
        assert!((0..5000).all(|step| !drift.learn(noise(step), 15.0)));
        let late = (0..100).position(|step| drift.learn(noise(step) + 3.0, 15.0));
        assert!(late.is_some_and(|late| late < 20), "{late:?}");
    }
}
