//! Cold start: what a new series may take over from the one that it is a part of.

use crate::error::ConfigError;
use crate::gate::LARGEST;

use super::Forecaster;

/// How many times as wide a part's errors are taken to be, relative to its size, as the whole's: what
/// cancels out in a sum does not in its parts. Its own errors replace this soon.
const WIDER: f32 = 2.0;

impl Forecaster {
    /// A forecaster of a part of this series, which is taken to behave as the whole does, `share` of
    /// its size: seasons, profiles, weights and tails are those of the whole, scores begin anew, and
    /// intervals are twice as wide, relative to the part, until its own errors say otherwise.
    ///
    /// All that is learnt is linear in the series, so that the medians are those of a forecaster that
    /// has seen the whole series times `share`.
    ///
    /// # Errors
    ///
    /// When `share` is not from 1e-9 to 1.
    pub fn part(&self, share: f64) -> Result<Self, ConfigError> {
        ConfigError::number("share", share, 1e-9, 1.0)?;
        let mut part = self.clone();
        let by = share as f32;
        part.origin = self.origin.map(|origin| (origin * share).clamp(-LARGEST, LARGEST));
        part.config.floor = self.config.floor.map(|floor| (floor * share).clamp(-LARGEST, LARGEST));
        part.outage.scale(by);
        part.experts.levels.scale(by);
        part.experts.seasonal.scale(by);
        part.finder.scale(by);
        part.seen = 0;
        for node in &mut part.nodes {
            node.scale(by);
            node.renew(WIDER);
        }
        Ok(part)
    }
}
