//! How tight it is.

use plimsoll_core_types::{Dimension, PressureLevel, Ratio};

use super::Ledger;

/// How tight the tightest dimension is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pressure {
    /// How tight.
    pub level: PressureLevel,
    /// Where; none while nothing is promised.
    pub dimension: Option<Dimension>,
    /// What is promised there, as a share of the limit.
    pub promised: Ratio,
}

/// Shares from which a level holds. It ends a twentieth lower, so that it does not flicker.
const ELEVATED: f64 = 0.8;
const HIGH: f64 = 0.95;
const HYSTERESIS: f64 = 0.05;

impl Ledger {
    /// How tight it is, where it was `before`: elevated from 80% promised, high from 95%, critical
    /// where somebody waits for what is not there, or more is promised than there is.
    pub fn pressure(&self, before: PressureLevel) -> Pressure {
        let dominant = self.promised.dominant_share(&self.limit);
        let (dimension, promised) =
            dominant.map_or((None, Ratio::ZERO), |(dimension, share)| (Some(dimension), share));
        let share = promised.get();
        let holds =
            |level, from: f64| share >= if before >= level { from - HYSTERESIS } else { from };
        let level = if share > 1.0 || !self.line.is_empty() {
            PressureLevel::Critical
        } else if holds(PressureLevel::High, HIGH) {
            PressureLevel::High
        } else if holds(PressureLevel::Elevated, ELEVATED) {
            PressureLevel::Elevated
        } else {
            PressureLevel::Calm
        };
        Pressure { level, dimension, promised }
    }
}
