//! How good the forecasts have been, beside those of shadows that cost nothing.

use serde::{Deserialize, Serialize};

/// Mean absolute errors of one horizon, the latest counting most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Losses {
    pub(crate) scored: u64,
    pub(crate) own: f32,
    pub(crate) naive: f32,
    pub(crate) seasonal: f32,
}

impl Losses {
    pub(crate) fn learn(&mut self, truth: f32, own: f32, naive: f32, seasonal: f32) {
        self.scored += 1;
        let rate = (1.0 / self.scored as f32).max(0.005);
        for (mean, said) in
            [(&mut self.own, own), (&mut self.naive, naive), (&mut self.seasonal, seasonal)]
        {
            *mean += rate * ((truth - said).abs() - *mean);
        }
    }

    /// Error relative to the last value's.
    pub(crate) fn relative(&self) -> Option<f64> {
        if self.scored == 0 {
            return None;
        }
        if self.naive <= f32::MIN_POSITIVE {
            return Some(if self.own <= f32::MIN_POSITIVE { 1.0 } else { 2.0 });
        }
        Some(f64::from(self.own / self.naive).min(1e6))
    }
}
