//! A series on a grid of equal steps.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

use crate::gate::{Grid, Place};

/// The longest series that is evaluated, in steps.
const LONGEST: usize = 10_000_000;

/// The values of a series, one for each step; none where nothing was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    interval: Duration,
    values: Vec<Option<f64>>,
}

/// Why samples make no series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// There are too few moments to tell the interval.
    #[error("{samples} samples at distinct times; it takes at least 2")]
    TooFew {
        /// How many there are.
        samples: usize,
    },
    /// The series spans too many steps.
    #[error("more than {LONGEST} steps of {interval:?}")]
    TooLong {
        /// The interval that was found.
        interval: Duration,
    },
}

impl Series {
    /// Puts samples, in order of time, on a grid whose step is the median time between them. Of
    /// several samples in a step the first counts; samples that go back in time are left out.
    ///
    /// # Errors
    ///
    /// When there are too few samples, or they span too many steps.
    pub fn from_samples(samples: &[(Timestamp, Option<f64>)]) -> Result<Self, SeriesError> {
        let mut gaps: Vec<_> = samples
            .windows(2)
            .map(|pair| pair[1].0.saturating_since(pair[0].0))
            .filter(|gap| !gap.is_zero())
            .collect();
        if gaps.is_empty() {
            return Err(SeriesError::TooFew { samples: samples.len() });
        }
        gaps.sort_unstable();
        let interval = gaps[gaps.len() / 2];
        let mut grid = Grid::new(interval);
        let mut values = Vec::new();
        for (at, value) in samples {
            let Place::Ahead(steps) = grid.place(*at) else { continue };
            let steps = if values.is_empty() { 1 } else { steps };
            let length = (values.len() as u64).saturating_add(steps);
            if length > LONGEST as u64 {
                return Err(SeriesError::TooLong { interval });
            }
            values.resize(length as usize - 1, None);
            values.push(value.filter(|value| value.is_finite()));
        }
        Ok(Self { interval, values })
    }

    /// A series of such values, one each `interval`.
    pub const fn new(interval: Duration, values: Vec<Option<f64>>) -> Self {
        Self { interval, values }
    }

    /// The time between steps.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// The values, oldest first.
    pub fn values(&self) -> &[Option<f64>] {
        &self.values
    }
}
