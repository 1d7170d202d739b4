//! Sums of one evaluation, and what is told of them.

use std::time::Duration;

use plimsoll_core_types::{Better, Quantiles, Row};
use serde::{Deserialize, Serialize};

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The season that was used, in steps.
    pub season: usize,
    /// The time of one step.
    pub interval: Duration,
    /// The forecaster first (`plimsoll`), then the baselines.
    pub models: Vec<ModelScore>,
}

/// How one model did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelScore {
    /// Its name.
    pub model: String,
    /// At each horizon, the nearest first.
    pub horizons: Vec<HorizonScore>,
    /// Share of values within the 95% interval along whole paths of one season; none where it was
    /// not measured.
    pub path_coverage95: Option<f64>,
    /// Mean absolute error along those paths relative to the last value's.
    pub path_relative: Option<f64>,
}

/// How one model did at one horizon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HorizonScore {
    /// How many steps ahead.
    pub ahead: usize,
    /// How many forecasts were scored.
    pub scored: u64,
    /// Mean absolute error of the median, in the series' unit.
    pub mae: f64,
    /// The same, relative to that of the last value; none where that is zero.
    pub relative: Option<f64>,
    /// Weighted quantile loss: twice the pinball loss, averaged over the levels, relative to the
    /// mean absolute value. None where all values are zero.
    pub wql: Option<f64>,
    /// Share of values within the 95% interval.
    pub coverage95: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Tally {
    name: String,
    sums: Vec<Sums>,
    path: (u64, u64),
    path_error: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    ahead: usize,
    scored: u64,
    error: f64,
    pinball: f64,
    size: f64,
    covered: u64,
}

impl Tally {
    pub(super) fn new(name: &str, horizons: &[usize]) -> Self {
        let sums = horizons.iter().map(|ahead| Sums { ahead: *ahead, ..Sums::default() });
        Self { name: name.to_owned(), sums: sums.collect(), path: (0, 0), path_error: 0.0 }
    }

    pub(super) fn add(&mut self, index: usize, truth: f64, said: &Quantiles) {
        let sums = &mut self.sums[index];
        sums.scored += 1;
        sums.error += (truth - said.median()).abs();
        sums.size += truth.abs();
        sums.covered += u64::from(covers(said, truth));
        sums.pinball += pinball(said, truth);
    }

    pub(super) fn add_path(
        &mut self,
        path: &[Option<f64>],
        forecast: impl Fn(usize) -> Option<Quantiles>,
    ) {
        for (index, truth) in path.iter().enumerate() {
            let (Some(truth), Some(said)) = (truth, forecast(index + 1)) else { continue };
            self.path.0 += u64::from(covers(&said, *truth));
            self.path.1 += 1;
            self.path_error += (said.median() - truth).abs();
        }
    }
}

fn covers(said: &Quantiles, truth: f64) -> bool {
    let values = said.values();
    // Levels 0.025 and 0.975; equality counts, up to rounding of what is kept in less precision.
    let slack = 1e-6 * truth.abs().max(values[9].abs()).max(values[1].abs());
    (values[1] - slack..=values[9] + slack).contains(&truth)
}

/// Mean pinball loss over the levels.
pub(crate) fn pinball(said: &Quantiles, truth: f64) -> f64 {
    let levels = Quantiles::LEVELS;
    let loss = |(level, value): (&f64, &f64)| {
        let off = truth - value;
        (level * off).max((level - 1.0) * off)
    };
    levels.iter().zip(said.values()).map(loss).sum::<f64>() / levels.len() as f64
}

impl Evaluation {
    pub(super) fn new(season: usize, interval: Duration, tallies: Vec<Tally>) -> Self {
        let naive: Vec<f64> = tallies
            .iter()
            .find(|tally| tally.name == "naive")
            .map_or(Vec::new(), |tally| tally.sums.iter().map(|sums| sums.error).collect());
        let path = tallies.iter().find(|tally| tally.name == "naive").map_or(0.0, |t| t.path_error);
        let models = tallies.into_iter().map(|tally| tally.finish(&naive, path)).collect();
        Self { season, interval, models }
    }

    /// The score of `model` at `ahead`.
    pub fn get(&self, model: &str, ahead: usize) -> Option<&HorizonScore> {
        let model = self.models.iter().find(|scores| scores.model == model)?;
        model.horizons.iter().find(|score| score.ahead == ahead)
    }

    /// As rows of a report: `rel_mae`, `coverage95` and `wql`, labelled by model and horizon.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for scores in &self.models {
            for score in scores.horizons.iter().filter(|score| score.scored > 0) {
                let mut push = |name: &str, value: f64, better| {
                    let row = Row::new(name, value, "ratio", better);
                    let horizon = score.ahead.to_string();
                    rows.push(row.label("model", &scores.model).label("horizon", &horizon));
                };
                if let Some(relative) = score.relative {
                    push("rel_mae", relative, Better::Lower);
                }
                push("coverage95", score.coverage95, Better::Higher);
                if let Some(wql) = score.wql {
                    push("wql", wql, Better::Lower);
                }
            }
        }
        rows
    }
}

impl Tally {
    fn finish(self, naive: &[f64], naive_path: f64) -> ModelScore {
        let horizons = self.sums.iter().enumerate().map(|(index, sums)| {
            let scored = sums.scored.max(1) as f64;
            let base = naive.get(index).copied().unwrap_or_default();
            HorizonScore {
                ahead: sums.ahead,
                scored: sums.scored,
                mae: sums.error / scored,
                relative: (base > 0.0).then(|| sums.error / base),
                wql: (sums.size > 0.0).then(|| 2.0 * sums.pinball / sums.size),
                coverage95: sums.covered as f64 / scored,
            }
        });
        let (covered, all) = self.path;
        ModelScore {
            model: self.name,
            horizons: horizons.collect(),
            path_relative: (naive_path > 0.0).then(|| self.path_error / naive_path),
            path_coverage95: (all > 0).then(|| covered as f64 / all as f64),
        }
    }
}
