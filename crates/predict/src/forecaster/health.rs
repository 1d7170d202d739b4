//! Whether a forecaster's forecasts are worth anything.

use std::time::Duration;

use plimsoll_core_types::ForecastHealth;
use serde::{Deserialize, Serialize};

use crate::experts::{COUNT, index};
use crate::recommend::Declined;
use crate::score::NEEDED;

use super::Forecaster;

/// Relative error below this is skill.
const SKILL: f64 = 0.97;
/// A series counts as drifting for so many steps after the alarm.
const DRIFTING: u64 = 12;
/// The nearest horizon must have been scored so often.
const SCORED: usize = 24;

/// How good the forecasts at one horizon have been, as kept online: mean absolute errors of about
/// the last two hundred, relative to those of forecasts that cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    /// How many steps ahead.
    pub ahead: usize,
    /// How many forecasts were scored.
    pub scored: u64,
    /// Relative to the last value; below one is skill.
    pub to_naive: f64,
    /// Relative to the value of one season ago: the mean absolute scaled error (Hyndman & Koehler,
    /// 2006), its scale measured on the same steps.
    pub to_seasonal: f64,
    /// Relative to a constant, the running median of about a season: near one, the series wanders
    /// around a level and nothing more can be said of it.
    pub to_constant: f64,
    /// Share of values within the 95% interval that was given out.
    pub coverage95: f64,
    /// Mean pinball loss at the levels 0.025, 0.5 and 0.975, in the series' unit.
    pub pinball: f64,
    /// True when one of the first two stands in for the forecasts.
    pub fell_back: bool,
}

impl Forecaster {
    /// Whether to trust the forecasts.
    pub fn health(&self) -> ForecastHealth {
        let ago = self.drifted.map(|at| self.step.saturating_sub(at));
        if let Some(ago) = ago.filter(|ago| *ago <= DRIFTING) {
            return ForecastHealth::Drifting { samples_ago: ago as usize };
        }
        let scored = self.nodes[0].losses.scored as usize;
        let seen = usize::try_from(self.seen).unwrap_or(usize::MAX);
        if scored < SCORED {
            return ForecastHealth::Learning { seen, needed: SCORED + 1 };
        }
        let relative_error = self.relative_error().unwrap_or(1.0);
        if relative_error < SKILL {
            ForecastHealth::Skilled { relative_error }
        } else {
            ForecastHealth::FellBack { relative_error }
        }
    }

    /// Error relative to the last value's: the geometric mean over the horizons that have been
    /// scored enough. None before that.
    pub fn relative_error(&self) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0);
        for node in self.nodes.iter().filter(|node| node.losses.scored >= NEEDED) {
            sum += node.losses.relative()?.max(1e-6).ln();
            count += 1;
        }
        (count > 0).then(|| (sum / f64::from(count)).exp())
    }

    /// How good the forecasts have been at each tracked horizon that was ever scored.
    pub fn skill(&self) -> impl Iterator<Item = Skill> {
        self.nodes.iter().filter_map(|node| {
            Some(Skill {
                ahead: node.ahead(),
                scored: u64::from(node.losses.scored),
                to_naive: node.losses.relative()?,
                to_seasonal: node.losses.relative_to_seasonal()?,
                to_constant: node.losses.relative_to_constant()?,
                coverage95: node.losses.coverage(),
                pinball: node.losses.pinball(),
                fell_back: node.losses.fallback().is_some(),
            })
        })
    }

    /// Whether a forecast `steps` ahead says more than the last value and a constant do.
    ///
    /// # Errors
    ///
    /// When it does not, or too little was seen to tell.
    pub fn forecastable(&self, steps: usize) -> Result<(), Declined> {
        let node = self.nodes.iter().find(|node| node.ahead() >= steps);
        let node = node.unwrap_or(&self.nodes[self.nodes.len() - 1]);
        let needed = (SCORED as u32).min(NEEDED * 2);
        if node.losses.scored < needed {
            let seen = usize::try_from(self.seen).unwrap_or(usize::MAX);
            let needed = seen.max(node.ahead()) + 1;
            return Err(Declined::TooFewSamples { seen, needed });
        }
        let to_naive = node.losses.relative().unwrap_or(1.0);
        let to_constant = node.losses.relative_to_constant().unwrap_or(1.0);
        let relative_error = to_naive.max(to_constant);
        if relative_error < SKILL { Ok(()) } else { Err(Declined::NoSkill { relative_error }) }
    }

    /// How long ago the series was last found to have changed its level; none when it never was.
    pub fn drifted(&self) -> Option<Duration> {
        let steps = self.step.saturating_sub(self.drifted?);
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        Some(self.config.interval.saturating_mul(steps))
    }

    /// The weight of each expert at each tracked horizon, by name: what adapts, made visible.
    pub fn weights(&self) -> impl Iterator<Item = (usize, [(&'static str, f32); COUNT])> {
        self.nodes.iter().map(|node| {
            let weights = node.weights();
            (node.ahead(), std::array::from_fn(|k| (index::NAMES[k], weights[k])))
        })
    }
}
