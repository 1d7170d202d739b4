//! One series: what is new goes in, quantiles come out.

mod ahead;
mod health;
mod prior;
mod season;
mod state;

use plimsoll_core_types::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{ForecasterConfig, SeasonSpec};
use crate::drift::Drift;
use crate::error::ConfigError;
use crate::experts::Experts;
use crate::gate::{Grid, Intake, LARGEST, Outage, Place};
use crate::node::{NODES, Node};
use crate::season::SeasonFinder;
use crate::spread::{self, Spread};

pub use health::Skill;
pub use state::{STATE_VERSION, SavedForecaster, StateError};

/// Learns one series sample by sample, and forecasts it.
///
/// [`observe`](Self::observe) takes constant time and allocates nothing, so that it can stand in a
/// control loop over thousands of series. State is of a fixed size ([`Self::state_bytes`]).
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::Timestamp;
/// use plimsoll_predict::{Forecaster, ForecasterConfig};
///
/// let mut forecaster = Forecaster::new(ForecasterConfig::new(Duration::from_secs(1)))?;
/// for second in 0..200_u64 {
///     // A burst of three seconds each twenty.
///     let value = if second % 20 < 3 { 50.0 } else { 1.0 };
///     forecaster.observe(Timestamp::from_nanos(second * 1_000_000_000), Some(value));
/// }
/// assert_eq!(forecaster.season(), Some(20));
/// let quiet = forecaster.forecast(5).ok_or("nothing was seen")?;
/// let burst = forecaster.forecast(2).ok_or("nothing was seen")?;
/// assert!(quiet.median() < 5.0 && burst.median() > 40.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
// What these derive is private, and checked by what `state` offers.
#[serde(remote = "Self")]
pub struct Forecaster {
    config: ForecasterConfig,
    grid: Grid,
    outage: Outage,
    /// The first value: all arithmetic is relative to it, for precision.
    origin: Option<f64>,
    /// The step that comes next.
    step: u64,
    seen: u64,
    experts: Experts,
    finder: SeasonFinder,
    spread: Spread,
    drift: Drift,
    /// The step of the last alarm.
    drifted: Option<u64>,
    nodes: [Node; NODES],
    found: Option<usize>,
}

/// Jumps end here, which leaves steps one by one more than anybody has time for.
const LAST_STEP: u64 = 1 << 62;

/// The two-sided test alarms past this sum of normalised errors.
const ALARM: f32 = 25.0;

impl Forecaster {
    /// A forecaster that has seen nothing.
    ///
    /// # Errors
    ///
    /// When a field of `config` is out of range.
    pub fn new(config: ForecasterConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let day = season::day_of(&config);
        let (season, given) = match config.season {
            SeasonSpec::Steps(steps) => (Some(steps), Some(steps)),
            SeasonSpec::Auto => (day, day),
            SeasonSpec::None => (None, None),
        };
        let week = season.is_some() && season == day;
        let scale = season.unwrap_or_else(|| season::scale(&config));
        let ahead = season::horizons(scale);
        Ok(Self {
            config,
            grid: Grid::new(config.interval),
            outage: Outage::default(),
            origin: None,
            step: 0,
            seen: 0,
            experts: Experts::new(config.max_season, season, week),
            finder: SeasonFinder::new(config.max_season, given),
            spread: Spread::new(),
            drift: Drift::default(),
            drifted: None,
            nodes: std::array::from_fn(|place| Node::new(place, ahead[place])),
            found: match config.season {
                SeasonSpec::Steps(steps) => Some(steps),
                _ => None,
            },
        })
    }

    /// Learns that the series was `value` at `at`; no value says that nothing was measured.
    ///
    /// Any input is safe: what can't be learnt from is left out, and the answer says why. Samples
    /// belong to steps of the nominal interval; a step without one is missing, not zero.
    pub fn observe(&mut self, at: Timestamp, value: Option<f64>) -> Intake {
        let steps = match self.grid.place(at) {
            Place::Ahead(steps) => steps,
            Place::Duplicate => return Intake::Duplicate,
            Place::Stale => return Intake::Stale,
        };
        let (value, intake) = self.admit(value);
        if self.origin.is_some() {
            self.skip(steps - 1);
        }
        if let Some(value) = value {
            let origin = *self.origin.get_or_insert(value);
            self.advance(Some((value - origin) as f32));
        } else if self.origin.is_some() {
            self.advance(None);
        }
        intake
    }

    fn admit(&mut self, value: Option<f64>) -> (Option<f64>, Intake) {
        let Some(value) = value else { return (None, Intake::Missing) };
        if !value.is_finite() || value.abs() > LARGEST {
            return (None, Intake::Implausible);
        }
        let value = value.max(self.config.floor.unwrap_or(-LARGEST));
        if self.outage.suspects(value) {
            return (None, Intake::SuspectedOutage);
        }
        (Some(value), Intake::Learnt)
    }

    /// Lets `steps` pass in which nothing was measured.
    fn skip(&mut self, steps: u64) {
        let bound = self.config.max_season as u64;
        let mut left = steps;
        if steps > bound {
            // Whole weeks change nothing but the age of what is known.
            let cycle = self.experts.seasonal.season().unwrap_or(1) as u64 * 7;
            let whole = (steps - bound) / cycle * cycle;
            left = (steps - whole).min(bound + cycle);
            // A clock that runs wild may jump again and again; phase is all that is kept then.
            if let Some(step) = self.step.checked_add(whole).filter(|step| *step <= LAST_STEP) {
                self.step = step;
                self.experts.seasonal.jump(whole);
            }
        }
        for _ in 0..left {
            self.advance(None);
        }
    }

    fn advance(&mut self, value: Option<f32>) {
        if let Some(value) = value {
            self.seen += 1;
            self.settle(value);
        }
        let filled = value.unwrap_or_else(|| self.next());
        if self.config.season == SeasonSpec::Auto {
            self.finder.learn(filled);
        }
        self.experts.learn(value, filled);
        if self.looks_for_season() {
            self.find_season();
        }
        for k in 0..NODES {
            if self.nodes[k].is_due(self.step) {
                let reach = self.nodes[k].reach;
                let said = self.experts.predict(reach);
                let factor = self.factor(reach.ahead);
                self.nodes[k].register(self.step, said, factor);
            }
        }
        self.step += 1;
    }

    /// Scores what was said of this step.
    #[inline(always)]
    fn settle(&mut self, value: f32) {
        let cycle = self.experts.seasonal.cycle();
        let bin = cycle.map(|cycle| spread::bin(cycle, cycle.at(1)));
        let factor = bin.map_or(1.0, |bin| self.spread.factor(bin));
        let mut changed = false;
        for place in 0..NODES {
            let (nearer, farther) = self.nodes.split_at_mut(place);
            let nearer = nearer.last().filter(|node| node.is_far()).map(Node::weights);
            let outcome = farther[0].settle(self.step, value, factor, nearer);
            let Some(outcome) = outcome.filter(|outcome| outcome.usual > 0.0) else { continue };
            let normal = outcome.error / outcome.usual;
            if let Some(bin) = bin {
                self.spread.learn(bin, normal.abs());
            }
            if place == NODES - 2 {
                changed = self.drift.learn(normal, ALARM);
            }
        }
        if changed {
            self.doubt();
        }
    }

    /// The series has changed.
    #[cold]
    fn doubt(&mut self) {
        self.drifted = Some(self.step);
        self.nodes.iter_mut().for_each(Node::doubt);
    }

    /// How many times the usual an error `ahead` of the last step is expected to be.
    #[inline(always)]
    fn factor(&self, ahead: usize) -> f32 {
        let cycle = self.experts.seasonal.cycle();
        cycle.map_or(1.0, |cycle| self.spread.factor(spread::bin(cycle, cycle.at(ahead))))
    }

    /// The size of its state, in bytes, on the stack and on the heap; it never grows.
    pub fn state_bytes(&self) -> usize {
        let nodes: usize = self.nodes.iter().map(Node::heap).sum();
        size_of::<Self>() + self.experts.seasonal.heap() + self.finder.heap() + nodes
    }

    /// What it was told when it was made.
    pub const fn config(&self) -> &ForecasterConfig {
        &self.config
    }

    /// The step that comes next.
    pub(crate) const fn next_step(&self) -> u64 {
        self.step
    }

    /// How many values were learnt.
    pub const fn seen(&self) -> u64 {
        self.seen
    }
}
