//! One series: what is new goes in, quantiles come out.

use std::time::Duration;

use plimsoll_core_types::{ForecastHealth, Quantiles, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::{ForecasterConfig, SeasonSpec};
use crate::error::ConfigError;
use crate::experts::{COUNT, Experts, index};
use crate::gate::{Grid, Intake, LARGEST, Place};
use crate::node::Node;
use crate::season::SeasonFinder;
use crate::spread::Spread;

const NODES: usize = 5;
/// A day, in nanoseconds.
const DAY: u128 = 86_400 * 1_000_000_000;
/// So many scored forecasts tell skill.
const NEEDED: usize = 24;
/// Relative error below this is skill.
const SKILL: f64 = 0.97;

/// Learns one series sample by sample, and forecasts it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecaster {
    config: ForecasterConfig,
    grid: Grid,
    /// The first value: all arithmetic is relative to it, for precision.
    origin: Option<f64>,
    step: u64,
    seen: u64,
    experts: Experts,
    finder: SeasonFinder,
    spread: Spread,
    nodes: [Node; NODES],
    found: Option<usize>,
}

impl Forecaster {
    /// A forecaster that has seen nothing.
    ///
    /// # Errors
    ///
    /// When a field of `config` is out of range.
    pub fn new(config: ForecasterConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let season = match config.season {
            SeasonSpec::Steps(steps) => Some(steps),
            SeasonSpec::Auto => day_of(&config),
            SeasonSpec::None => None,
        };
        let week = season.is_some() && season == day_of(&config);
        let scale = season.unwrap_or(config.max_season.min(144));
        Ok(Self {
            config,
            grid: Grid::new(config.interval),
            origin: None,
            step: 0,
            seen: 0,
            experts: Experts::new(config.max_season, season, week),
            finder: SeasonFinder::new(config.max_season),
            spread: Spread::new(),
            nodes: horizons(scale).map(Node::new),
            found: match config.season {
                SeasonSpec::Steps(steps) => Some(steps),
                _ => None,
            },
        })
    }

    /// Learns that the series was `value` at `at`; no value says that nothing was measured.
    pub fn observe(&mut self, at: Timestamp, value: Option<f64>) -> Intake {
        let intake = match value {
            None => Intake::Missing,
            Some(value) if !value.is_finite() || value.abs() > LARGEST => Intake::Implausible,
            Some(_) => Intake::Learnt,
        };
        let steps = match self.grid.place(at) {
            Place::Ahead(steps) => steps,
            Place::Duplicate => return Intake::Duplicate,
            Place::Stale => return Intake::Stale,
        };
        if self.origin.is_some() {
            self.skip(steps - 1);
        }
        let value = value.filter(|_| intake == Intake::Learnt);
        if let Some(value) = value {
            let origin = *self.origin.get_or_insert(value);
            self.advance(Some((value - origin) as f32));
        } else if self.origin.is_some() {
            self.advance(None);
        }
        intake
    }

    /// Lets `steps` pass in which nothing was measured.
    fn skip(&mut self, steps: u64) {
        let bound = self.config.max_season as u64;
        if steps > bound {
            // Whole cycles change nothing but the age of what is known.
            let cycle = self.experts.seasonal.season().unwrap_or(1) as u64 * 7;
            let whole = (steps - bound) / cycle * cycle;
            self.step += whole;
            self.experts.seasonal.jump(whole);
        }
        for _ in 0..steps.min(bound) {
            self.advance(None);
        }
    }

    fn advance(&mut self, value: Option<f32>) {
        if let Some(value) = value {
            self.seen += 1;
            self.settle(value);
        }
        let filled = value.unwrap_or_else(|| if self.seen == 0 { 0.0 } else { self.center(1) });
        let (ring, oldest) = self.experts.seasonal.ring();
        self.finder.learn(filled, ring, oldest);
        self.experts.learn(value, filled);
        self.find_season();
        for k in 0..NODES {
            if self.nodes[k].due_at(self.step) {
                let mut said = self.experts.predict(self.nodes[k].ahead);
                let node = &self.nodes[k];
                said[index::STACK] = node.stack.predict(&said);
                let point = node.point(&said);
                let factor = self.factor(self.nodes[k].ahead);
                self.nodes[k].register(self.step, &said, point, factor);
            }
        }
        self.step += 1;
    }

    /// Scores what was said of this step.
    fn settle(&mut self, value: f32) {
        let season = self.experts.seasonal.season();
        for node in &mut self.nodes {
            let usual = node.tails.scale();
            let Some(error) = node.settle(self.step, value) else { continue };
            if let (Some(season), true) = (season, usual > 0.0) {
                let phase = (self.step % season as u64) as usize;
                self.spread.learn(phase, season, error.abs() / usual);
            }
        }
    }

    /// How many times the usual an error `ahead` of the last step is expected to be.
    fn factor(&self, ahead: usize) -> f32 {
        let Some(season) = self.experts.seasonal.season() else { return 1.0 };
        let step = self.experts.seasonal.next_step() - 1 + ahead as u64;
        self.spread.factor((step % season as u64) as usize, season)
    }

    fn find_season(&mut self) {
        if self.config.season != SeasonSpec::Auto || !self.step.is_multiple_of(8) {
            return;
        }
        let found = self.finder.find();
        if let Some(day) = self.day() {
            // The calendar's season stays; a shorter one that is found besides gets its own expert.
            let daily = self.finder.stands_out(day);
            self.found = if daily { Some(day) } else { found };
            self.experts.seasonal.set_cycle(found);
            return;
        }
        let Some(found) = found else { return };
        let known = self.experts.seasonal.season();
        if known == Some(found) || known.is_some_and(|known| !self.finder.better(found, known)) {
            return;
        }
        self.found = Some(found);
        self.experts.seasonal.set_season(found);
        self.spread = Spread::new();
        for (node, ahead) in self.nodes.iter_mut().zip(horizons(found)) {
            if node.ahead != ahead {
                *node = Node::new(ahead);
            }
        }
    }

    /// What is expected `ahead` steps after the last one, relative to the origin.
    fn center(&self, ahead: usize) -> f32 {
        let (low, high, part) = self.bracket(ahead);
        let mut said = self.experts.predict(ahead);
        let (a, b) = (&self.nodes[low], &self.nodes[high]);
        said[index::STACK] = (1.0 - part) * a.stack.predict(&said) + part * b.stack.predict(&said);
        (1.0 - part) * a.point(&said) + part * b.point(&said)
    }

    /// The nodes around a horizon, and how far it is from the first to the second.
    fn bracket(&self, ahead: usize) -> (usize, usize, f32) {
        let above = self.nodes.partition_point(|node| node.ahead < ahead);
        if above == 0 {
            return (0, 0, 0.0);
        }
        if above == NODES {
            return (NODES - 1, NODES - 1, 0.0);
        }
        let (low, high) = (self.nodes[above - 1].ahead as f32, self.nodes[above].ahead as f32);
        (above - 1, above, (ahead as f32 / low).ln() / (high / low).ln())
    }

    /// The distribution `steps` steps (at least one) after the last sample; none before the first.
    pub fn forecast(&self, steps: usize) -> Option<Quantiles> {
        let origin = self.origin?;
        let steps = steps.max(1);
        let center = self.center(steps);
        let (low, high, part) = self.bracket(steps);
        let factor = self.factor(steps);
        let a = self.nodes[low].tails.offsets(factor);
        let b = self.nodes[high].tails.offsets(factor);
        let mut least = self.config.floor.unwrap_or(-f64::MAX);
        let values = std::array::from_fn(|k| {
            let offset = (1.0 - part) * a[k] + part * b[k];
            least = least.max(origin + f64::from(center + offset));
            least
        });
        Quantiles::new(values).ok()
    }

    /// The point forecast: the median of [`Self::forecast`].
    pub fn point(&self, steps: usize) -> Option<f64> {
        self.forecast(steps).map(|quantiles| quantiles.median())
    }

    /// Whether to trust the forecasts.
    pub fn health(&self) -> ForecastHealth {
        let scored = self.nodes[0].losses.scored as usize;
        let seen = usize::try_from(self.seen).unwrap_or(usize::MAX);
        if scored < NEEDED {
            return ForecastHealth::Learning { seen, needed: NEEDED + 1 };
        }
        let relative_error = self.relative_error().unwrap_or(1.0);
        if relative_error < SKILL {
            ForecastHealth::Skilled { relative_error }
        } else {
            ForecastHealth::FellBack { relative_error }
        }
    }

    /// Error relative to the last value's: the geometric mean over the horizons that have been
    /// scored enough.
    pub fn relative_error(&self) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0);
        for node in self.nodes.iter().filter(|node| node.losses.scored >= NEEDED as u64 / 2) {
            sum += node.losses.relative()?.max(1e-6).ln();
            count += 1;
        }
        (count > 0).then(|| (sum / f64::from(count)).exp())
    }

    /// The weight of each expert at each tracked horizon, by name: what adapts, made visible.
    pub fn weights(&self) -> impl Iterator<Item = (usize, [(&'static str, f32); COUNT])> {
        self.nodes.iter().map(|node| {
            let weights = node.mix.weights();
            (node.ahead, std::array::from_fn(|k| (index::NAMES[k], weights[k])))
        })
    }

    /// The season that was found or given, in steps.
    pub const fn season(&self) -> Option<usize> {
        self.found
    }

    /// A day in steps, where it is a season that there is memory for.
    pub(crate) fn day(&self) -> Option<usize> {
        day_of(&self.config)
    }

    /// How long one step is.
    pub const fn interval(&self) -> Duration {
        self.config.interval
    }

    /// The horizons for which weights and tails are learnt, in steps.
    pub fn tracked(&self) -> [usize; NODES] {
        std::array::from_fn(|k| self.nodes[k].ahead)
    }
}

/// A day in steps, where it is a season that fits.
fn day_of(config: &ForecasterConfig) -> Option<usize> {
    let interval = config.interval.as_nanos();
    let steps = usize::try_from((DAY + interval / 2) / interval).ok()?;
    (12..=config.max_season).contains(&steps).then_some(steps)
}

/// The tracked horizons for a season: 1, 4, 12, a sixth and a whole of it, made distinct.
fn horizons(season: usize) -> [usize; NODES] {
    let mut all = [1, 4, 12, (season / 6).max(1), season];
    all.sort_unstable();
    for k in 1..NODES {
        all[k] = all[k].max(all[k - 1] + 1);
    }
    all
}
