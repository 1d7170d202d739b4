//! Forecasters that everybody knows, as a measure.

use plimsoll_core_types::Quantiles;

use super::Contender;

/// Quantiles of the normal distribution at [`Quantiles::LEVELS`].
const NORMAL: [f64; 11] =
    [-2.3263, -1.96, -1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449, 1.96, 2.3263];

/// Which baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BaselineKind {
    /// The last value.
    Naive,
    /// The value of one season ago.
    SeasonalNaive,
    /// Exponentially weighted moving average, α = 0.3.
    Ewma,
    /// Holt's damped trend: α = 0.3, β = 0.1, φ = 0.9.
    Holt,
}

impl BaselineKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Naive, Self::SeasonalNaive, Self::Ewma, Self::Holt];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::SeasonalNaive => "seasonal-naive",
            Self::Ewma => "ewma",
            Self::Holt => "holt",
        }
    }
}

/// A baseline with normal intervals as wide as its own past errors at each horizon.
#[derive(Clone, Debug)]
pub struct Baseline {
    kind: BaselineKind,
    season: usize,
    values: Vec<f64>,
    level: f64,
    trend: f64,
    errors: Vec<Errors>,
}

#[derive(Clone, Debug)]
struct Errors {
    ahead: usize,
    said: Vec<f64>,
    squares: f64,
    count: f64,
}

impl Baseline {
    /// A baseline that has seen nothing, for these horizons.
    pub fn new(kind: BaselineKind, season: usize, horizons: &[usize]) -> Self {
        let errors =
            |ahead: &usize| Errors { ahead: *ahead, said: Vec::new(), squares: 0.0, count: 0.0 };
        Self {
            kind,
            season,
            values: Vec::new(),
            level: 0.0,
            trend: 0.0,
            errors: horizons.iter().map(errors).collect(),
        }
    }

    fn point(&self, ahead: usize) -> f64 {
        let last = self.values.last().copied().unwrap_or_default();
        match self.kind {
            BaselineKind::Naive => last,
            BaselineKind::SeasonalNaive => {
                let back = ahead.div_ceil(self.season) * self.season - ahead;
                let index = self.values.len().checked_sub(back + 1);
                index.map_or(last, |index| self.values[index])
            }
            BaselineKind::Ewma => self.level,
            BaselineKind::Holt => {
                let left = 0.9_f64.powi(i32::try_from(ahead).unwrap_or(i32::MAX));
                let damped = 0.9 * (1.0 - left) / 0.1;
                self.level + damped * self.trend
            }
        }
    }

    fn smooth(&mut self, value: f64) {
        if self.values.is_empty() {
            self.level = value;
        }
        let expected = match self.kind {
            BaselineKind::Holt => self.level + 0.9 * self.trend,
            _ => self.level,
        };
        let level = expected + 0.3 * (value - expected);
        self.trend = 0.9 * self.trend + 0.1 * (level - self.level - 0.9 * self.trend);
        self.level = level;
    }
}

impl Contender for Baseline {
    fn observe(&mut self, _: u64, value: Option<f64>) {
        let step = self.values.len();
        if let Some(value) = value {
            for errors in &mut self.errors {
                if let Some(made) = step.checked_sub(errors.ahead) {
                    errors.squares += (value - errors.said[made]).powi(2);
                    errors.count += 1.0;
                }
            }
            self.smooth(value);
        }
        let filled = value.unwrap_or_else(|| match self.kind {
            // A gap is a gap: the last known value stays the last.
            BaselineKind::SeasonalNaive if step >= self.season => self.values[step - self.season],
            _ => self.values.last().copied().unwrap_or_default(),
        });
        self.values.push(filled);
        for index in 0..self.errors.len() {
            let said = self.point(self.errors[index].ahead);
            self.errors[index].said.push(said);
        }
    }

    fn forecast(&self, ahead: usize) -> Option<Quantiles> {
        let nearest = self.errors.iter().find(|errors| errors.ahead >= ahead);
        let errors = nearest.or(self.errors.last())?;
        if self.values.is_empty() {
            return None;
        }
        let point = self.point(ahead);
        let sigma = (errors.squares / errors.count.max(1.0)).sqrt();
        Quantiles::new(NORMAL.map(|z| point + z * sigma)).ok()
    }
}
