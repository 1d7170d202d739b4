//! What a forecaster says of the future.

use plimsoll_core_types::{Quantiles, Ratio, Reason};

use crate::config::SeasonSpec;
use crate::experts::{Reach, index};
use crate::gate::LARGEST;
use crate::interval::COUNT as LEVELS;
use crate::lanes::Dozen;
use crate::node::NODES;
use crate::num::ln_near;
use crate::recommend::{Advice, Cost, Declined};

use super::Forecaster;

impl Forecaster {
    /// The distribution `steps` steps (at least one) after the last sample; none before the first.
    ///
    /// Beyond the farthest tracked horizon, one season, its weights and tails are used.
    pub fn forecast(&self, steps: usize) -> Option<Quantiles> {
        let origin = self.origin?;
        let steps = steps.max(1);
        let (center, offsets) = self.said_of(steps);
        // A finite bound, so that nothing that is said can be infinite.
        let mut least = self.config.floor.unwrap_or(-2.0 * LARGEST);
        let mut values = [0.0; LEVELS];
        for (value, offset) in values.iter_mut().zip(offsets) {
            let said = origin + f64::from(center + offset);
            // Levels may cross where one has just moved; a distribution's do not fall.
            least = if said > least { said } else { least };
            *value = if least < 2.0 * LARGEST { least } else { 2.0 * LARGEST };
        }
        Quantiles::new(values).ok()
    }

    /// The distributions of the next `steps` steps, the nearest first; empty before the first
    /// sample.
    pub fn path(&self, steps: usize) -> impl Iterator<Item = Quantiles> {
        (1..=steps).map_while(|step| self.forecast(step))
    }

    /// The point forecast: the median of [`Self::forecast`].
    pub fn point(&self, steps: usize) -> Option<f64> {
        self.forecast(steps).map(|quantiles| quantiles.median())
    }

    /// The value that is not exceeded with probability `level` (0 to 1), also beyond the levels of
    /// [`Quantiles`]: the tail there falls off as between the last two of them (an exponential
    /// tail, the domain of most of what is measured; Pickands, 1975).
    pub fn quantile(&self, steps: usize, level: f64) -> Option<f64> {
        let quantiles = self.forecast(steps)?;
        let (levels, values) = (Quantiles::LEVELS, quantiles.values());
        if level.is_nan() || level <= levels[LEVELS - 1] {
            return Some(quantiles.at(level));
        }
        let beyond = (1.0 - level).max(1e-9);
        let (inner, outer) = (1.0 - levels[LEVELS - 2], 1.0 - levels[LEVELS - 1]);
        let slope = (values[LEVELS - 1] - values[LEVELS - 2]) / (inner / outer).ln();
        Some((values[LEVELS - 1] + slope * (outer / beyond).ln()).min(2.0 * LARGEST))
    }

    /// How much to provide for the moment that a decision made now has effect.
    ///
    /// # Errors
    ///
    /// When the series can't be forecast: too little was seen, or what is said at that horizon is
    /// no better than the last value or a constant. The error says so; a static rule is better then.
    pub fn recommend(&self, cost: &Cost) -> Result<Advice, Declined> {
        let interval = self.config.interval.as_nanos().max(1);
        let steps = usize::try_from(cost.lead.as_nanos().div_ceil(interval)).unwrap_or(usize::MAX);
        let steps = steps.clamp(1, self.tracked()[NODES - 1]);
        self.forecastable(steps)?;
        self.advise(steps, cost).ok_or(Declined::TooFewSamples { seen: 0, needed: 1 })
    }

    /// The advice, whether or not the series can be forecast.
    pub(crate) fn advise(&self, steps: usize, cost: &Cost) -> Option<Advice> {
        let quantiles = self.forecast(steps)?;
        let level = cost.level();
        let amount = self.quantile(steps, level)?;
        let confidence = Ratio::saturating(level);
        let (expected_waste, expected_loss) = crate::recommend::expected(&quantiles, amount);
        Some(Advice {
            amount,
            headroom: amount - quantiles.median(),
            confidence,
            expected_waste,
            expected_loss,
            reason: Reason::Forecast { probability: confidence, within: cost.lead },
        })
    }

    /// What is expected `ahead` steps after the last one, relative to the origin.
    #[inline(always)]
    fn center(&self, ahead: usize) -> f32 {
        let (low, high, part) = self.bracket(ahead);
        let near = &self.nodes[low];
        let reach = if near.ahead() == ahead { near.reach } else { Reach::new(ahead) };
        let said = self.experts.predict(reach);
        let (last, seasonal) = (said[index::LAST], said[index::SEASONAL_NAIVE]);
        let given = |place: usize| {
            let (_, mixed) = self.nodes[place].mixed(Dozen::new(&said), last);
            self.nodes[place].given(mixed, last, seasonal)
        };
        if part == 0.0 { given(low) } else { (1.0 - part) * given(low) + part * given(high) }
    }

    /// What is expected of the next step, relative to the origin.
    #[inline(never)]
    pub(super) fn next(&self) -> f32 {
        self.center(1)
    }

    /// The center and each level's distance from it.
    #[inline(always)]
    fn said_of(&self, ahead: usize) -> (f32, [f32; LEVELS]) {
        let (low, high, part) = self.bracket(ahead);
        let factor = self.factor(ahead);
        let mut offsets = self.nodes[low].tails.offsets(factor);
        if part > 0.0 {
            let far = self.nodes[high].tails.offsets(factor);
            for (offset, far) in offsets.iter_mut().zip(far) {
                *offset += part * (far - *offset);
            }
        }
        (self.center(ahead), offsets)
    }

    /// The nodes around a horizon, and how far it is from the first to the second, by logarithm.
    #[inline(always)]
    fn bracket(&self, ahead: usize) -> (usize, usize, f32) {
        let above = self.nodes.partition_point(|node| node.ahead() < ahead);
        if above == NODES {
            return (NODES - 1, NODES - 1, 0.0);
        }
        if above == 0 || self.nodes[above].ahead() == ahead {
            return (above, above, 0.0);
        }
        let (low, high) = (self.nodes[above - 1].ahead() as f32, self.nodes[above].ahead() as f32);
        (above - 1, above, ln_near(ahead as f32 / low) / ln_near(high / low))
    }

    /// True when the season is looked for rather than given.
    pub const fn finds_season(&self) -> bool {
        matches!(self.config.season, SeasonSpec::Auto)
    }
}
