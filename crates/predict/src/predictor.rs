//! Many series behind the interface of [`ResourcePredictor`].

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{
    ForecastHealth, ForecastScore, HorizonForecast, Quantiles, Ratio, Reason, Recommendation,
    ResourceForecast, ResourcePredictor, ResourceUsage, Sample, SeriesKey, Timestamp, UsageHistory,
};
use serde::{Deserialize, Serialize};

use crate::config::ForecasterConfig;
use crate::error::ConfigError;
use crate::evaluate::pinball;
use crate::forecaster::Forecaster;
use crate::recommend::Cost;

/// The most horizons that a forecast may list.
const MOST_HORIZONS: usize = 64;

/// How a [`Predictor`] treats its series.
///
/// ```
/// use plimsoll_predict::{Predictor, PredictorConfig};
/// let predictor = Predictor::new(PredictorConfig { max_series: 100, ..PredictorConfig::default() })?;
/// # Ok::<(), plimsoll_predict::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictorConfig {
    /// How many series are kept, at about 8 KB each; 1 to 1,000,000, default 4,096. The one that
    /// was not asked for the longest makes room for a new one.
    pub max_series: usize,
    /// The longest season that is looked for, in steps; 4 to 8192, default 288.
    pub max_season: usize,
    /// The horizons of a [`ResourceForecast`], in steps, rising; default 1, 2, 3, 4, 6, 8, 12, 16,
    /// 24, 32, 48, 64, 96, 144 and 288. At least one, at most 64.
    pub horizons: Vec<usize>,
    /// What too little and too much cost, for [`ResourcePredictor::optimize`]. Default: too little
    /// costs 19 times as much, which asks for the quantile at 0.95; one step of lead.
    pub cost: Cost,
}

impl Default for PredictorConfig {
    fn default() -> Self {
        Self {
            max_series: 4096,
            max_season: 288,
            horizons: vec![1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 144, 288],
            cost: Cost { under: 19.0, over: 1.0, lead: Duration::ZERO },
        }
    }
}

impl PredictorConfig {
    fn check(&self) -> Result<(), ConfigError> {
        ConfigError::count("max_series", self.max_series, 1, 1_000_000)?;
        ConfigError::count("max_season", self.max_season, 4, 8192)?;
        ConfigError::count("horizons", self.horizons.len(), 1, MOST_HORIZONS)?;
        let mut least = 1;
        for horizon in &self.horizons {
            ConfigError::count("horizons", *horizon, least, 1_000_000)?;
            least = horizon + 1;
        }
        self.cost.check()
    }
}

/// Forecasts many series, told apart by their [`SeriesKey`], each by a [`Forecaster`].
///
/// It learns what is new in a history since it last saw that series, so that a call at each tick
/// costs the new samples only. It may be shared: calls take one short lock.
#[derive(Debug)]
pub struct Predictor {
    config: PredictorConfig,
    series: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    series: BTreeMap<SeriesKey, Tracked>,
    asked: u64,
}

#[derive(Debug)]
struct Tracked {
    forecaster: Forecaster,
    /// The latest sample that was learnt.
    last: Option<Sample>,
    score: Score,
    /// When it was last asked for.
    asked: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Score {
    scored: u64,
    own: f64,
    naive: f64,
    covered: f64,
    pinball: f64,
}

impl Predictor {
    /// A predictor that knows no series yet.
    ///
    /// # Errors
    ///
    /// When a field of `config` is out of range.
    pub fn new(config: PredictorConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, series: Mutex::default() })
    }

    /// How many series it knows.
    pub fn len(&self) -> usize {
        self.series.lock().series.len()
    }

    /// True when it knows none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets a series; says whether it was known.
    pub fn forget(&self, key: &SeriesKey) -> bool {
        self.series.lock().series.remove(key).is_some()
    }

    fn tracked<'a>(&self, kept: &'a mut Kept, history: &UsageHistory) -> Option<&'a mut Tracked> {
        kept.asked += 1;
        let asked = kept.asked;
        if !kept.series.contains_key(history.key()) {
            let config = ForecasterConfig {
                max_season: self.config.max_season,
                ..ForecasterConfig::new(history.interval())
            };
            // Only an interval of zero can fail here: such a series can't be forecast.
            let forecaster = Forecaster::new(config).ok()?;
            if kept.series.len() >= self.config.max_series {
                kept.drop_stalest();
            }
            let fresh = Tracked { forecaster, last: None, score: Score::default(), asked };
            kept.series.insert(history.key().clone(), fresh);
        }
        let tracked = kept.series.get_mut(history.key())?;
        tracked.asked = asked;
        Some(tracked)
    }

    fn horizons(&self, tracked: &Tracked) -> Vec<HorizonForecast> {
        let interval = tracked.forecaster.config().interval;
        let forecast = |steps: &usize| {
            let quantiles = tracked.forecaster.forecast(*steps)?;
            let horizon = interval.saturating_mul(u32::try_from(*steps).unwrap_or(u32::MAX));
            Some(HorizonForecast { horizon, quantiles })
        };
        self.config.horizons.iter().filter_map(forecast).collect()
    }
}

impl Kept {
    fn drop_stalest(&mut self) {
        let stalest = self.series.iter().min_by_key(|(_, tracked)| tracked.asked);
        if let Some(key) = stalest.map(|(key, _)| key.clone()) {
            self.series.remove(&key);
        }
    }
}

impl Tracked {
    fn learn(&mut self, history: &UsageHistory) {
        let from = self.last.map(|sample| sample.at);
        let known = |sample: &&Sample| from.is_none_or(|from| sample.at > from);
        let fresh = history.iter().rev().take_while(known).count();
        for sample in history.iter().skip(history.len() - fresh) {
            self.forecaster.observe(sample.at, sample.value);
            self.last = Some(*sample);
        }
    }

    fn score(&mut self, usage: &ResourceUsage) {
        let Some(last) = self.last.filter(|last| usage.at > last.at) else { return };
        let interval = self.forecaster.config().interval.as_nanos().max(1);
        let ahead = usage.at.saturating_since(last.at).as_nanos();
        let steps = usize::try_from((ahead + interval / 2) / interval).unwrap_or(usize::MAX).max(1);
        let (Some(said), Some(naive)) = (self.forecaster.forecast(steps), last.value) else {
            return;
        };
        self.score.learn(&said, naive, usage.value);
    }
}

impl Score {
    fn learn(&mut self, said: &Quantiles, naive: f64, truth: f64) {
        if !truth.is_finite() {
            return;
        }
        self.scored += 1;
        let rate = (1.0 / self.scored as f64).max(0.005);
        let covered = said.at(0.025) <= truth && truth <= said.at(0.975);
        self.own += rate * ((truth - said.median()).abs() - self.own);
        self.naive += rate * ((truth - naive).abs() - self.naive);
        self.covered += rate * (f64::from(u8::from(covered)) - self.covered);
        self.pinball += rate * (pinball(said, truth) - self.pinball);
    }
}

impl ResourcePredictor for Predictor {
    fn forecast(&self, history: &UsageHistory) -> ResourceForecast {
        let key = history.key().clone();
        let at = history.last().map_or(Timestamp::ZERO, |sample| sample.at);
        let mut kept = self.series.lock();
        let Some(tracked) = self.tracked(&mut kept, history) else {
            let health = ForecastHealth::Learning { seen: 0, needed: 1 };
            return ResourceForecast { key, at, horizons: Vec::new(), health, season: None };
        };
        tracked.learn(history);
        let interval = tracked.forecaster.config().interval;
        ResourceForecast {
            key,
            at,
            horizons: self.horizons(tracked),
            health: tracked.forecaster.health(),
            season: tracked.forecaster.season().map(|steps| interval * steps as u32),
        }
    }

    fn optimize(&self, forecast: &ResourceForecast) -> Recommendation {
        let cost = &self.config.cost;
        let decline = |reason| Recommendation {
            key: forecast.key.clone(),
            amount: None,
            headroom: Ratio::ZERO,
            confidence: Ratio::ZERO,
            reason,
        };
        match &forecast.health {
            ForecastHealth::FellBack { relative_error } => {
                return decline(Reason::NoSkill { relative_error: *relative_error });
            }
            ForecastHealth::Learning { seen, needed } => {
                return decline(Reason::TooFewSamples { seen: *seen, needed: *needed });
            }
            _ => {}
        }
        let Some(quantiles) = forecast.ahead(cost.lead) else {
            return decline(Reason::TooFewSamples { seen: 0, needed: 1 });
        };
        let level = cost.level();
        let (amount, median) = (quantiles.at(level), quantiles.median());
        let headroom = if median > 0.0 { (amount - median) / median } else { 0.0 };
        let probability = Ratio::saturating(level);
        Recommendation {
            key: forecast.key.clone(),
            amount: Some(amount),
            headroom: Ratio::saturating(headroom),
            confidence: probability,
            reason: Reason::Forecast { probability, within: cost.lead },
        }
    }

    fn validate(&self, usage: &ResourceUsage) -> ForecastScore {
        let mut kept = self.series.lock();
        let Some(tracked) = kept.series.get_mut(&usage.key) else {
            return ForecastScore {
                key: usage.key.clone(),
                scored: 0,
                relative_error: None,
                coverage95: None,
                pinball: None,
                health: ForecastHealth::Learning { seen: 0, needed: 1 },
            };
        };
        tracked.score(usage);
        let score = tracked.score;
        let some = score.scored > 0;
        ForecastScore {
            key: usage.key.clone(),
            scored: score.scored,
            relative_error: (some && score.naive > 0.0).then(|| score.own / score.naive),
            coverage95: some.then(|| Ratio::saturating(score.covered)),
            pinball: some.then_some(score.pinball),
            health: tracked.forecaster.health(),
        }
    }
}
