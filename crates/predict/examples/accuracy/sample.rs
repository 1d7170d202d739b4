//! A few origins of each series, at which batch models are affordable.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

use plimsoll_core_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Case;

/// The most origins of a series.
pub(crate) const ORIGINS: usize = 32;

#[derive(Debug, Serialize)]
pub(crate) struct Task<'a> {
    series: Vec<TaskSeries<'a>>,
}

#[derive(Debug, Serialize)]
struct TaskSeries<'a> {
    name: &'a str,
    season: usize,
    values: &'a [Option<f64>],
    origins: Vec<usize>,
}

/// A horizon, the median there, and the ends of the 95% interval.
type At = (usize, Option<f64>, Option<f64>, Option<f64>);

#[derive(Debug, Deserialize)]
struct Said {
    model: String,
    series: String,
    origin: usize,
    #[serde(rename = "said")]
    horizons: Vec<At>,
}

/// Errors of one model at one of four horizons (the last is the season), by series.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    /// By series: sum of absolute errors, that of the last value, and how many.
    pub(crate) sums: BTreeMap<String, (f64, f64, u32)>,
    pub(crate) covered: u32,
    pub(crate) judged: u32,
    /// Forecasts that are no finite number.
    pub(crate) failed: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) models: BTreeMap<String, [Errors; 4]>,
}

/// Origins over the second half, evenly spread but for a step that walks through the phases.
fn origins(case: &Case) -> Vec<usize> {
    let values = case.series.values();
    let (first, last) = (values.len() / 2, values.len().saturating_sub(case.found.season + 1));
    let span = last.saturating_sub(first);
    let mut origins: Vec<usize> =
        (0..ORIGINS).map(|k| first + (2 * k + 1) * span / (2 * ORIGINS)).collect();
    origins.dedup();
    origins.retain(|origin| values.get(*origin).is_some_and(Option::is_some));
    origins
}

pub(crate) fn task(cases: &[Case]) -> Task<'_> {
    let series = cases.iter().map(|case| TaskSeries {
        name: &case.name,
        season: case.found.season,
        values: case.series.values(),
        origins: origins(case),
    });
    Task { series: series.collect() }
}

/// Scores what the peers said, and what Plimsoll says at the same origins.
pub(crate) fn score(cases: &[Case], forecasts: &str) -> Result<Sampled, Box<dyn Error>> {
    let mut said: Vec<Said> = serde_json::from_str(forecasts)?;
    let mut sampled = Sampled::default();
    for case in cases {
        let chosen: BTreeSet<usize> = origins(case).into_iter().collect();
        said.extend(own(case, &chosen));
        for said in
            said.iter().filter(|said| said.series == case.name && chosen.contains(&said.origin))
        {
            sampled.learn(case, said);
        }
    }
    Ok(sampled)
}

impl Sampled {
    fn learn(&mut self, case: &Case, said: &Said) {
        let values = case.series.values();
        let Some(last) = values[said.origin] else { return };
        for (place, ahead) in [1, 4, 12, case.found.season].into_iter().enumerate() {
            let Some(truth) = values.get(said.origin + ahead).copied().flatten() else { continue };
            let errors = &mut self.models.entry(said.model.clone()).or_default()[place];
            let at = said.horizons.iter().find(|at| at.0 == ahead);
            let Some((_, Some(point), low, high)) =
                at.filter(|at| at.1.is_some_and(f64::is_finite))
            else {
                errors.failed += 1;
                continue;
            };
            let sums = errors.sums.entry(case.name.clone()).or_default();
            sums.0 += (truth - point).abs();
            sums.1 += (truth - last).abs();
            sums.2 += 1;
            if let (Some(low), Some(high)) = (low, high) {
                errors.judged += 1;
                errors.covered += u32::from((*low..=*high).contains(&truth));
            }
        }
    }

    /// The geometric mean of errors relative to the last value's, over the series that `among` has
    /// forecast too, and how many those are; at `place` of the four horizons.
    pub(crate) fn relative(&self, model: &str, among: &str, place: usize) -> Option<(f64, usize)> {
        let known = &self.models.get(among)?[place].sums;
        let sums = &self.models.get(model)?[place].sums;
        let logs: Vec<f64> = sums
            .iter()
            .filter(|(name, (own, naive, _))| known.contains_key(*name) && own.min(*naive) > 0.0)
            .map(|(_, (own, naive, _))| (own / naive).ln())
            .collect();
        let mean = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
        (!logs.is_empty()).then(|| (mean.exp(), logs.len()))
    }

    /// On what share of series the model is at least as good as the best of the others, which is
    /// known in hindsight only.
    pub(crate) fn best_share(&self, model: &str, place: usize) -> f64 {
        let mine = self.models.get(model).map(|errors| &errors[place].sums);
        let others = self.models.iter().filter(|(name, _)| *name != model);
        let others: Vec<_> = others.map(|(_, errors)| &errors[place].sums).collect();
        let (mut won, mut all) = (0_u32, 0_u32);
        for (name, (own, _, _)) in mine.into_iter().flatten() {
            all += 1;
            won += u32::from(others.iter().filter_map(|sums| sums.get(name)).all(|o| *own <= o.0));
        }
        f64::from(won) / f64::from(all.max(1))
    }
}

fn own(case: &Case, origins: &BTreeSet<usize>) -> Vec<Said> {
    let Ok(mut forecaster) = case.forecaster() else { return Vec::new() };
    let interval = case.series.interval().as_nanos() as u64;
    let mut all = Vec::new();
    for (step, value) in case.series.values().iter().enumerate() {
        forecaster.observe(Timestamp::from_nanos((step as u64 + 1) * interval), *value);
        if !origins.contains(&step) {
            continue;
        }
        let mut horizons: Vec<_> = [1, 4, 12, case.found.season]
            .iter()
            .filter_map(|ahead| {
                let said = forecaster.forecast(*ahead)?;
                Some((*ahead, Some(said.median()), Some(said.at(0.025)), Some(said.at(0.975))))
            })
            .collect();
        horizons.dedup_by_key(|said| said.0);
        let (model, series) = ("plimsoll".to_owned(), case.name.clone());
        all.push(Said { model, series, origin: step, horizons });
    }
    all
}
