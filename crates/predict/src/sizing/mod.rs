//! Right-sizing: how much to provide, controlled by what was lost, with the gain that it would have
//! had so far.
//!
//! A quantile says how *often* demand may be beyond what is provided; who provides cares for how
//! *much* of it. The distance between the median and the upper tail is therefore stretched by a
//! factor that the loss itself controls: each step in which less is lost than is allowed shrinks it
//! a little, each loss widens it in proportion to its size. In the long run the share of demand that
//! is lost is the one allowed, whatever the series does (online conformal risk control; after
//! Angelopoulos and others, "Conformal risk control", 2022, and the tracker of Gibbs & Candès,
//! 2021).
//!
//! Every amount is noted when it is said, and compared with the truth when that comes: the backtest
//! is the record itself and knows no hindsight.

mod backtest;
mod prewarm;

use std::time::Duration;

use plimsoll_core_types::{Bytes, Millicores, Ratio, Reason, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::ForecasterConfig;
use crate::error::ConfigError;
use crate::forecaster::Forecaster;
use crate::gate::Intake;
use crate::recommend::Declined;

use backtest::Pending;
pub use backtest::{Backtest, Gain};
pub use prewarm::{Prewarm, PrewarmCost, Prewarmer};

/// The level whose distance from the median is stretched.
const UPPER: f64 = 0.99;
/// How fast the stretch answers: a step without loss shrinks it by this share.
const PACE: f64 = 0.001;
/// The stretch, in distances from the median to [`UPPER`].
const STRETCH: (f64, f64) = (0.05, 20.0);
/// It begins wide: who has lost nothing yet knows little of what can be lost.
const CAUTIOUS: f64 = 3.0;
/// What is provided is at most so many times the highest demand so far.
const MOST: f64 = 1.2;
/// Nothing is recommended before so many amounts were compared with the truth.
const COMPARED: u64 = 24;

/// How a [`Sizer`] provides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizingConfig {
    /// The series.
    pub series: ForecasterConfig,
    /// How long it takes until what is decided now has effect.
    pub lead: Duration,
    /// The share of all demand that may be beyond what is provided; from 1e-6 to 0.5.
    pub most_lost: f64,
    /// What is provided without a forecast, as a share beyond the highest demand so far: the static
    /// rule that gains are told against. From 0 to 10.
    pub static_headroom: f64,
}

impl SizingConfig {
    /// A thousandth may be lost, one step of lead, and the static rule is the highest demand so far.
    pub const fn new(series: ForecasterConfig) -> Self {
        Self { series, lead: series.interval, most_lost: 0.001, static_headroom: 0.0 }
    }
}

/// Says how much of a resource to provide, and what that has been worth.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::{Bytes, Timestamp};
/// use plimsoll_predict::{ForecasterConfig, Sizer, SizingConfig};
///
/// let series = ForecasterConfig::new(Duration::from_secs(1));
/// let mut sizer = Sizer::new(SizingConfig { most_lost: 0.01, ..SizingConfig::new(series) })?;
/// for second in 0..400_u64 {
///     // 5 GB for three seconds of each twenty, else 1 GB.
///     let used = if second % 20 < 3 { 5e9 } else { 1e9 };
///     sizer.observe(Timestamp::from_nanos(second * 1_000_000_000), Some(used));
/// }
/// // At 0:06:40 comes a burst.
/// let sizing = sizer.size()?;
/// assert!(sizing.memory() >= Bytes::new(4_900_000_000));
/// assert!(sizing.gain.waste_saved > 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sizer {
    config: SizingConfig,
    forecaster: Forecaster,
    steps: usize,
    stretch: f64,
    pending: Pending,
    backtest: Backtest,
}

/// How much to provide.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sizing {
    /// In the series' unit.
    pub amount: f64,
    /// How much of it is beyond the median forecast.
    pub headroom: f64,
    /// How often amounts like it sufficed, of those that were compared with the truth.
    pub confidence: Ratio,
    /// What it has been worth so far.
    pub gain: Gain,
    /// Why.
    pub reason: Reason,
}

impl Sizing {
    /// The amount as bytes, of a series of bytes, rounded up.
    pub fn memory(&self) -> Bytes {
        Bytes::from_f64(self.amount.ceil())
    }

    /// The amount as CPU time, of a series of cores, rounded up to a thousandth.
    pub fn cpu(&self) -> Millicores {
        Millicores::from_f64((self.amount * 1000.0).ceil())
    }

    /// How many replicas carry the amount where each carries `of_one`; at least one, none where
    /// `of_one` is not above zero.
    pub fn replicas(&self, of_one: f64) -> Option<u32> {
        let replicas = (self.amount / of_one).ceil().max(1.0);
        (of_one > 0.0 && replicas <= f64::from(u32::MAX)).then_some(replicas as u32)
    }
}

impl Sizer {
    /// One that has seen nothing.
    ///
    /// # Errors
    ///
    /// When a field of `config` is out of range, or the lead is longer than the season that there
    /// is memory for.
    pub fn new(config: SizingConfig) -> Result<Self, ConfigError> {
        let forecaster = Forecaster::new(config.series)?;
        Self::resume(config, forecaster)
    }

    /// One that goes on with what `forecaster` knows, as after a restart; its own series counts
    /// instead of that of `config`. The backtest begins anew.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn resume(mut config: SizingConfig, forecaster: Forecaster) -> Result<Self, ConfigError> {
        config.series = *forecaster.config();
        ConfigError::number("most_lost", config.most_lost, 1e-6, 0.5)?;
        ConfigError::number("static_headroom", config.static_headroom, 0.0, 10.0)?;
        let steps = steps_of(config.lead, config.series.interval);
        ConfigError::count("lead (in steps)", steps, 1, config.series.max_season)?;
        Ok(Self {
            forecaster,
            steps,
            stretch: CAUTIOUS,
            pending: Pending::new(steps),
            backtest: Backtest::default(),
            config,
        })
    }

    /// Learns that `value` was used at `at`.
    pub fn observe(&mut self, at: Timestamp, value: Option<f64>) -> Intake {
        let before = self.forecaster.next_step();
        let intake = self.forecaster.observe(at, value);
        let next = self.forecaster.next_step();
        if next == before {
            return intake;
        }
        let said = self.pending.take(next - 1);
        if let (Intake::Learnt, Some(used)) = (intake, value) {
            let provided = said.unwrap_or(f64::NAN);
            if let Some(lost) = self.backtest.learn(used, provided, self.config.static_headroom) {
                self.control(lost);
            }
        }
        if let Some(amount) = self.amount() {
            self.pending.note(next - 1 + self.steps as u64, amount);
        }
        intake
    }

    /// `lost` is the share of a usual step's demand; one loss counts no more than all of that.
    fn control(&mut self, lost: f64) {
        let times = lost.min(1.0) / self.config.most_lost;
        self.stretch = (self.stretch * (PACE * (times - 1.0)).exp()).clamp(STRETCH.0, STRETCH.1);
    }

    /// The amount for the moment that a decision made now has effect, whether or not a forecast is
    /// worth anything; none before the first sample.
    pub fn amount(&self) -> Option<f64> {
        let said = self.forecaster.forecast(self.steps)?;
        let median = said.median();
        let most = (MOST * self.backtest.peak).max(median);
        Some((median + self.stretch * (said.at(UPPER) - median)).min(most))
    }

    /// How much to provide for the moment that a decision made now has effect.
    ///
    /// # Errors
    ///
    /// When forecasts are worth nothing here: too little was seen, they are no better than the last
    /// value or a constant, or they would have wasted no less than the static rule.
    pub fn size(&self) -> Result<Sizing, Declined> {
        self.forecaster.forecastable(self.steps)?;
        let seen = usize::try_from(self.forecaster.seen()).unwrap_or(usize::MAX);
        let early = Declined::TooFewSamples { seen, needed: seen.saturating_add(1) };
        let gain = self.backtest.gain().filter(|gain| gain.compared >= COMPARED).ok_or(early)?;
        if gain.waste_saved <= 0.0 {
            return Err(Declined::NoGain { waste_saved: gain.waste_saved });
        }
        let (amount, median) = (self.amount().ok_or(early)?, self.forecaster.point(self.steps));
        let probability = gain.sufficed;
        Ok(Sizing {
            amount,
            headroom: amount - median.unwrap_or(amount),
            confidence: probability,
            gain,
            reason: Reason::Forecast { probability, within: self.config.lead },
        })
    }

    /// What the amounts have been worth so far.
    pub const fn backtest(&self) -> &Backtest {
        &self.backtest
    }

    /// The forecasts that it goes by.
    pub const fn forecaster(&self) -> &Forecaster {
        &self.forecaster
    }
}

/// Whole steps that cover `lead`; at least one.
fn steps_of(lead: Duration, interval: Duration) -> usize {
    let steps = lead.as_nanos().div_ceil(interval.as_nanos().max(1));
    usize::try_from(steps).unwrap_or(usize::MAX).max(1)
}
