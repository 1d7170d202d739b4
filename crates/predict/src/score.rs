//! How good the forecasts have been, beside those of shadows that cost nothing.

use serde::{Deserialize, Serialize};

use crate::check::{self, Checked};
use crate::lanes::Four;
use crate::num::{larger, share};

/// Losses are compared after so many scores.
pub(crate) const NEEDED: u32 = 12;
/// The least share of a new loss: about the last two hundred count.
const RATE: f32 = 0.005;
/// Fall back when worse than a shadow by the first factor, and come back when within the second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    fall: f32,
    back: f32,
}

/// Of near horizons.
pub(crate) const NEAR: Bounds = Bounds { fall: 1.25, back: 1.0 };
/// Of far ones, where few errors are known and these alike: what is a little worse for a while is as
/// often better soon, so that only what is clearly worse may stand aside.
pub(crate) const FAR: Bounds = Bounds { fall: 1.5, back: 1.4 };

/// A forecast that costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shadow {
    Naive,
    Seasonal,
}

/// What was said of one moment, by the mixture and by what it is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) own: f32,
    pub(crate) naive: f32,
    pub(crate) seasonal: f32,
    pub(crate) constant: f32,
}

/// Mean absolute errors of one horizon, the latest counting most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Losses {
    pub(crate) scored: u32,
    own: f32,
    naive: f32,
    seasonal: f32,
    constant: f32,
    /// How often the 95% interval that was given out did not hold.
    missed: f32,
    /// Mean pinball loss of its ends and of the point.
    pinball: f32,
    fallen: Option<Shadow>,
}

impl Losses {
    pub(crate) fn check(&self) -> Checked {
        let means = [self.own, self.naive, self.seasonal, self.constant];
        check::sizes("losses (own, naive, seasonal, constant)", &means)?;
        check::within("losses.missed", &[self.missed], 0.0, 1.0)?;
        check::within("losses.pinball", &[self.pinball], 0.0, f32::MAX)
    }

    /// Learns that what was said should have been `truth`.
    #[inline(always)]
    pub(crate) fn learn(&mut self, truth: f32, said: Said, bounds: Bounds) {
        self.scored = self.scored.saturating_add(1);
        let rate = share(self.scored, RATE);
        let said = Four::new([said.own, said.naive, said.seasonal, said.constant]);
        let means = Four::new([self.own, self.naive, self.seasonal, self.constant]);
        let means = means + ((Four::all(truth) - said).abs() - means) * rate;
        [self.own, self.naive, self.seasonal, self.constant] = means.array();
        self.judge(bounds);
    }

    /// Learns that `error` was met where the interval reached from `low` to `high`; after
    /// [`Self::learn`] of the same round.
    #[inline(always)]
    pub(crate) fn learn_interval(&mut self, error: f32, low: f32, high: f32) {
        let rate = share(self.scored.max(1), RATE);
        let missed = if error < low || error > high { 1.0 } else { 0.0 };
        self.missed += rate * (missed - self.missed);
        let loss = |level: f32, off: f32| larger(level * off, (level - 1.0) * off);
        let sum = loss(0.025, error - low) + loss(0.5, error) + loss(0.975, error - high);
        self.pinball += rate * (sum / 3.0 - self.pinball);
    }

    /// Share of values within the 95% interval.
    pub(crate) fn coverage(&self) -> f64 {
        1.0 - f64::from(self.missed)
    }

    /// Mean pinball loss.
    pub(crate) fn pinball(&self) -> f64 {
        f64::from(self.pinball)
    }

    #[inline(always)]
    fn judge(&mut self, bounds: Bounds) {
        let (shadow, best) = if self.seasonal < self.naive {
            (Shadow::Seasonal, self.seasonal)
        } else {
            (Shadow::Naive, self.naive)
        };
        let enough = self.scored >= NEEDED;
        if self.own < bounds.back * best {
            self.fallen = None;
        } else if self.fallen.is_some() || (enough && self.own > bounds.fall * best) {
            // Whichever shadow is the better one by now.
            self.fallen = Some(shadow);
        }
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale(&mut self, by: f32) {
        let Self { own, naive, seasonal, constant, pinball, .. } = self;
        for mean in [own, naive, seasonal, constant, pinball] {
            *mean *= by;
        }
    }

    /// The series has changed: what was lost before counts little from here on.
    pub(crate) fn doubt(&mut self) {
        self.scored = self.scored.min(NEEDED);
    }

    /// The shadow that stands in, where the mixture has been worse than it.
    pub(crate) const fn fallback(&self) -> Option<Shadow> {
        self.fallen
    }

    /// Error relative to the last value's.
    pub(crate) fn relative(&self) -> Option<f64> {
        relative(self.scored, self.own, self.naive)
    }

    /// Error relative to that of one season ago.
    pub(crate) fn relative_to_seasonal(&self) -> Option<f64> {
        relative(self.scored, self.own, self.seasonal)
    }

    /// Error relative to that of a constant, the running median of about a season.
    pub(crate) fn relative_to_constant(&self) -> Option<f64> {
        relative(self.scored, self.own, self.constant)
    }
}

fn relative(scored: u32, own: f32, shadow: f32) -> Option<f64> {
    if scored == 0 {
        return None;
    }
    if shadow <= f32::MIN_POSITIVE {
        // Nothing is better than no error.
        return Some(if own <= f32::MIN_POSITIVE { 1.0 } else { 1e6 });
    }
    Some(f64::from(own / shadow).min(1e6))
}
