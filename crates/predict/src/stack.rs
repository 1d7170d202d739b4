//! A linear combination of experts that is fitted, not voted: recursive least squares.
//!
//! Regresses what happened on what a few experts said, all as differences from the last value, by
//! recursive least squares with forgetting (Plackett, 1950; Haykin, *Adaptive Filter Theory*).
//! Each round is weighed by the inverse of its own error's size, so that the fit tends to that of
//! the least absolute error (iteratively reweighted least squares, one step a round). Unlike the
//! votes of [`Mix`](crate::mix::Mix), its coefficients may be negative or sum to more than one,
//! which is how it corrects what all experts get wrong alike.

use serde::{Deserialize, Serialize};

use crate::experts::{Predictions, index};

/// How many experts it combines.
const SIZE: usize = 6;
const USED: [usize; SIZE] =
    [index::SLOW, index::MEDIAN, index::LONG, index::WINTERS, index::SMOOTH, index::WEEKLY];
/// Rounds count less the older they are: about the last 330 matter.
const FORGET: f32 = 0.997;
/// Features and targets are cut here, in units of the mean move.
const CUT: f32 = 20.0;
/// An error below this, in the same unit, weighs no more than one of this size.
const CERTAIN: f32 = 0.3;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stack {
    coefficients: [f32; SIZE],
    /// The inverse of the features' second moments: symmetric, the lower half by rows.
    inverse: [f32; SIZE * (SIZE + 1) / 2],
    /// Mean absolute move from the last value.
    scale: f32,
    rounds: u32,
}

impl Stack {
    pub(crate) fn new() -> Self {
        let mut fresh = Self {
            coefficients: [1.0 / SIZE as f32; SIZE],
            inverse: [0.0; SIZE * (SIZE + 1) / 2],
            scale: 0.0,
            rounds: 0,
        };
        for k in 0..SIZE {
            fresh.inverse[place(k, k)] = 1.0;
        }
        fresh
    }

    pub(crate) fn predict(&self, said: &Predictions) -> f32 {
        let last = said[index::LAST];
        let mut sum = 0.0;
        let (mut least, mut most) = (last, last);
        for (coefficient, k) in self.coefficients.iter().zip(USED) {
            sum += coefficient * (said[k] - last);
            least = least.min(said[k]);
            most = most.max(said[k]);
        }
        // It may go beyond what all of them say, but no further than they are apart.
        let span = most - least;
        (last + sum).clamp(least - span, most + span)
    }

    pub(crate) fn learn(&mut self, said: &Predictions, truth: f32) {
        let last = said[index::LAST];
        let target = truth - last;
        self.rounds = self.rounds.saturating_add(1);
        self.scale += (1.0 / self.rounds as f32).max(0.02) * (target.abs() - self.scale);
        if self.scale <= f32::MIN_POSITIVE {
            return;
        }
        let features = USED.map(|k| ((said[k] - last) / self.scale).clamp(-CUT, CUT));
        let target = (target / self.scale).clamp(-CUT, CUT);
        let fitted: f32 = self.coefficients.iter().zip(&features).map(|(c, f)| c * f).sum();
        let error = target - fitted;
        let gain: [f32; SIZE] = std::array::from_fn(|row| {
            (0..SIZE).map(|column| self.inverse[place(row, column)] * features[column]).sum()
        });
        let along: f32 = gain.iter().zip(&features).map(|(gain, feature)| gain * feature).sum();
        // Weighing a round by 1/|error| is the same as adding |error| to the norm.
        let norm = error.abs().max(CERTAIN) + along.max(0.0);
        for row in 0..SIZE {
            self.coefficients[row] =
                (self.coefficients[row] + gain[row] / norm * error).clamp(-CUT, CUT);
            for column in 0..=row {
                self.inverse[place(row, column)] -= gain[row] * gain[column] / norm;
            }
        }
        self.forget();
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale_by(&mut self, by: f32) {
        self.scale *= by;
    }

    /// What is not excited must not be forgotten, or the inverse grows without bound.
    fn forget(&mut self) {
        let trace: f32 = (0..SIZE).map(|k| self.inverse[place(k, k)]).sum();
        if trace < SIZE as f32 {
            for entry in &mut self.inverse {
                *entry /= FORGET;
            }
        }
        // Rounding may in time eat the diagonal, which must stay positive.
        for k in 0..SIZE {
            let entry = &mut self.inverse[place(k, k)];
            *entry = entry.max(1e-6);
        }
    }
}

/// Where an entry of a symmetric matrix is kept.
const fn place(row: usize, column: usize) -> usize {
    let (row, column) = if row >= column { (row, column) } else { (column, row) };
    row * (row + 1) / 2 + column
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experts::COUNT;

    #[test]
    fn it_learns_a_combination_that_no_vote_can_be() {
        let mut stack = Stack::new();
        let said = |step: u32| {
            let mut said = [0.0; COUNT];
            for (place, k) in USED.iter().enumerate() {
                said[*k] = ((step * (place as u32 + 3)) as f32 * 0.7).sin();
            }
            said
        };
        for step in 0..3000 {
            let now = said(step);
            stack.learn(&now, 1.5 * now[USED[0]] - 0.8 * now[USED[3]]);
        }
        let now = said(3001);
        let truth = 1.5 * now[USED[0]] - 0.8 * now[USED[3]];
        assert!((stack.predict(&now) - truth).abs() < 0.05, "{} {truth}", stack.predict(&now));
    }
}
