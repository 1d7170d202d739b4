//! When to have a model warm.
//!
//! A model is worth being warm in a step when the expected cost of meeting it cold is more than that
//! of keeping it: `P(somebody asks) × cold > idle × step` (the ski-rental balance with a known
//! distribution; compare Shahrad and others, "Serverless in the wild", ATC 2020, whose histograms
//! answer the same question). What to do is decided a cold start ahead, and every decision is
//! compared with what came, beside keeping it warm always and never.

use std::time::Duration;

use plimsoll_core_types::{Ratio, Reason, Timestamp};
use serde::{Deserialize, Serialize};

use super::backtest::Pending;
use super::{COMPARED, steps_of};
use crate::config::ForecasterConfig;
use crate::demand::arrival_probability;
use crate::error::ConfigError;
use crate::forecaster::Forecaster;
use crate::gate::Intake;
use crate::recommend::Declined;

/// What being cold and being warm cost, in one unit of the caller's choice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrewarmCost {
    /// How long a start takes.
    pub cold_start: Duration,
    /// What it costs when somebody asks in a step and it is cold; from 1e-12 to 1e12.
    pub cold: f64,
    /// What it costs to be warm for a second; from 1e-12 to 1e12.
    pub idle: f64,
}

/// Says when to load a model, from the rate of its requests per second.
#[derive(Clone, Debug, PartialEq)]
pub struct Prewarmer {
    cost: PrewarmCost,
    forecaster: Forecaster,
    steps: usize,
    pending: Pending,
    compared: u64,
    own: f64,
    always: f64,
    never: f64,
}

/// When to begin to load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prewarm {
    /// Begin so long from the last sample.
    pub load_in: Duration,
    /// How probably somebody asks in the step for which it is ready.
    pub needed: Ratio,
    /// What decisions so far saved, as a share of the better of always warm and never warm.
    pub saved: f64,
    /// Why.
    pub reason: Reason,
}

impl Prewarmer {
    /// One that has seen nothing. The series is of requests per second.
    ///
    /// # Errors
    ///
    /// When a field is out of range, or a start takes longer than the season that there is memory
    /// for.
    pub fn new(series: ForecasterConfig, cost: PrewarmCost) -> Result<Self, ConfigError> {
        let forecaster = Forecaster::new(series)?;
        ConfigError::number("cold", cost.cold, 1e-12, 1e12)?;
        ConfigError::number("idle", cost.idle, 1e-12, 1e12)?;
        let steps = steps_of(cost.cold_start, series.interval);
        ConfigError::count("cold_start (in steps)", steps, 1, series.max_season)?;
        let pending = Pending::new(steps);
        Ok(Self {
            cost,
            forecaster,
            steps,
            pending,
            compared: 0,
            own: 0.0,
            always: 0.0,
            never: 0.0,
        })
    }

    /// Learns that requests came at `rate` per second at `at`.
    pub fn observe(&mut self, at: Timestamp, rate: Option<f64>) -> Intake {
        let before = self.forecaster.next_step();
        let intake = self.forecaster.observe(at, rate);
        let next = self.forecaster.next_step();
        if next == before {
            return intake;
        }
        let said = self.pending.take(next - 1);
        if let (Intake::Learnt, Some(rate), Some(warm)) = (intake, rate, said) {
            self.compare(rate > 0.0, warm > 0.0);
        }
        if let Some(needed) = self.needed(self.steps) {
            let warm = if self.worth(needed) { 1.0 } else { 0.0 };
            self.pending.note(next - 1 + self.steps as u64, warm);
        }
        intake
    }

    fn compare(&mut self, asked: bool, warm: bool) {
        let (idle, cold) = (self.idle_step(), if asked { self.cost.cold } else { 0.0 });
        self.compared += 1;
        self.own += if warm { idle } else { cold };
        self.always += idle;
        self.never += cold;
    }

    fn idle_step(&self) -> f64 {
        self.cost.idle * self.forecaster.config().interval.as_secs_f64()
    }

    /// How probably somebody asks in the step so far ahead.
    fn needed(&self, steps: usize) -> Option<Ratio> {
        let interval = self.forecaster.config().interval;
        Some(arrival_probability(&self.forecaster.forecast(steps)?, interval))
    }

    fn worth(&self, needed: Ratio) -> bool {
        needed.get() * self.cost.cold > self.idle_step()
    }

    /// What decisions so far saved, as a share of the better of always warm and never warm; negative
    /// where they cost more. None before the first.
    pub fn saved(&self) -> Option<f64> {
        let best = self.always.min(self.never);
        (self.compared > 0 && best > 0.0).then(|| 1.0 - self.own / best)
    }

    /// The next time within a season that it is worth being warm; none where there is none.
    ///
    /// # Errors
    ///
    /// When too little was seen, or decisions so far would have saved nothing over the better of
    /// keeping it warm always and never.
    pub fn next(&self) -> Result<Option<Prewarm>, Declined> {
        let seen = usize::try_from(self.forecaster.seen()).unwrap_or(usize::MAX);
        let early = Declined::TooFewSamples { seen, needed: seen.saturating_add(1) };
        let saved = self.saved().filter(|_| self.compared >= COMPARED).ok_or(early)?;
        if saved <= 0.0 {
            return Err(Declined::NoGain { waste_saved: saved });
        }
        let farthest = self.forecaster.tracked().into_iter().max().unwrap_or(self.steps);
        let interval = self.forecaster.config().interval;
        let found = (self.steps..=farthest.max(self.steps)).find_map(|steps| {
            let needed = self.needed(steps).filter(|needed| self.worth(*needed))?;
            // It must be ready when the step begins.
            let begins = interval.saturating_mul(u32::try_from(steps - 1).unwrap_or(u32::MAX));
            let load_in = begins.saturating_sub(self.cost.cold_start);
            let reason = Reason::Forecast { probability: needed, within: begins + interval };
            Some(Prewarm { load_in, needed, saved, reason })
        });
        Ok(found)
    }
}
