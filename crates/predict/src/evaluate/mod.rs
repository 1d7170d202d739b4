//! Rolling-origin evaluation of a series: what would the forecasts have been worth?
//!
//! The series is replayed once. After each sample every contender says the distribution at each
//! horizon, and is scored when the truth arrives; nothing is ever fitted on what comes later.
//! Scores count origins after the warm-up only (half of the series by default), and only where all
//! contenders had something to say and the truth is known. See [`evaluate`].

mod baseline;
mod csv;
mod score;
mod series;

use serde::{Deserialize, Serialize};

use plimsoll_core_types::{Quantiles, Timestamp};

use crate::config::{ForecasterConfig, SeasonSpec};
use crate::error::ConfigError;
use crate::forecaster::Forecaster;

pub use baseline::{Baseline, BaselineKind};
pub use csv::{CsvError, read_csv};
pub use score::{Evaluation, HorizonScore, ModelScore};
pub use series::{Series, SeriesError};

use score::Tally;
pub(crate) use score::pinball;

/// How [`evaluate`] goes about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluateOptions {
    /// The season of the series, for the seasonal baseline and the longest horizon. Default
    /// [`SeasonSpec::Auto`]: a day where the interval divides it, else what the forecaster finds.
    pub season: SeasonSpec,
    /// The share of the series that is learnt from before the first score. Default a half.
    pub warm_up: f64,
    /// The share of the series after which scoring ends. Default all of it.
    pub until: f64,
    /// Coverage of paths is measured at each so manyth origin; zero leaves it out. Default 13.
    pub path_stride: usize,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self { season: SeasonSpec::Auto, warm_up: 0.5, until: 1.0, path_stride: 13 }
    }
}

/// Whoever forecasts in an evaluation.
trait Contender {
    fn observe(&mut self, step: u64, value: Option<f64>);
    fn forecast(&self, ahead: usize) -> Option<Quantiles>;
}

/// The forecaster under evaluation, and the time that its steps stand for.
struct Plimsoll(Forecaster);

impl Contender for Plimsoll {
    fn observe(&mut self, step: u64, value: Option<f64>) {
        let interval = self.0.config().interval.as_nanos() as u64;
        self.0.observe(Timestamp::from_nanos((step + 1).saturating_mul(interval)), value);
    }

    fn forecast(&self, ahead: usize) -> Option<Quantiles> {
        self.0.forecast(ahead)
    }
}

/// Replays `series`, and scores the forecaster beside the built-in baselines.
///
/// # Errors
///
/// When the season of `options` does not fit, or its shares are no shares.
pub fn evaluate(series: &Series, options: &EvaluateOptions) -> Result<Evaluation, ConfigError> {
    ConfigError::number("warm_up", options.warm_up, 0.0, 1.0)?;
    ConfigError::number("until", options.until, options.warm_up, 1.0)?;
    let config = config_for(series, options);
    let forecaster = Forecaster::new(config)?;
    let season = season_of(series, options, &forecaster);
    let mut horizons = vec![1, 4, 12, season];
    horizons.sort_unstable();
    horizons.dedup();

    let mut contenders: Vec<(&str, Box<dyn Contender>)> =
        vec![("plimsoll", Box::new(Plimsoll(forecaster)))];
    for kind in BaselineKind::ALL {
        contenders.push((kind.name(), Box::new(Baseline::new(kind, season, &horizons))));
    }
    let values = series.values();
    let first = (values.len() as f64 * options.warm_up) as usize;
    let end = (values.len() as f64 * options.until) as usize;
    let mut tallies: Vec<Tally> =
        contenders.iter().map(|(name, _)| Tally::new(name, &horizons)).collect();
    for (step, value) in values.iter().enumerate() {
        for (_, contender) in &mut contenders {
            contender.observe(step as u64, *value);
        }
        if step + 1 < first {
            continue;
        }
        for (index, ahead) in horizons.iter().enumerate() {
            let Some(Some(truth)) = values[..end].get(step + ahead) else { continue };
            let said: Vec<_> = contenders.iter().map(|(_, c)| c.forecast(*ahead)).collect();
            if said.iter().any(Option::is_none) {
                continue;
            }
            for (tally, said) in tallies.iter_mut().zip(said.into_iter().flatten()) {
                tally.add(index, *truth, &said);
            }
        }
        if options.path_stride > 0 && step % options.path_stride == 0 && step + season < end {
            let path = &values[step + 1..=step + season];
            for (tally, (_, contender)) in tallies.iter_mut().zip(&contenders) {
                tally.add_path(path, |ahead| contender.forecast(ahead));
            }
        }
    }
    Ok(Evaluation::new(season, series.interval(), tallies))
}

fn config_for(series: &Series, options: &EvaluateOptions) -> ForecasterConfig {
    let mut config = ForecasterConfig::new(series.interval());
    config.season = options.season;
    if let SeasonSpec::Steps(steps) = options.season {
        config.max_season = config.max_season.max(steps);
    }
    if series.values().iter().flatten().any(|value| *value < 0.0) {
        config.floor = None;
    }
    config
}

fn season_of(series: &Series, options: &EvaluateOptions, fresh: &Forecaster) -> usize {
    if let SeasonSpec::Steps(steps) = options.season {
        return steps;
    }
    if let Some(day) = fresh.day() {
        return day;
    }
    let mut scout = Plimsoll(fresh.clone());
    for (step, value) in series.values().iter().enumerate() {
        scout.observe(step as u64, *value);
    }
    scout.0.season().unwrap_or(12)
}
