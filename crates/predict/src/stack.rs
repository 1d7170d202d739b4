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
    [index::FAST, index::SLOW, index::LONG, index::SEASONAL_NAIVE, index::WINTERS, index::SMOOTH];
const FORGET: f64 = 0.9985;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stack {
    coefficients: [f64; SIZE],
    covariance: [[f64; SIZE]; SIZE],
    scale: f64,
    rounds: u32,
}

impl Stack {
    pub(crate) fn new() -> Self {
        let mut covariance = [[0.0; SIZE]; SIZE];
        for (k, row) in covariance.iter_mut().enumerate() {
            row[k] = 1.0;
        }
        Self { coefficients: [1.0 / SIZE as f64; SIZE], covariance, scale: 0.0, rounds: 0 }
    }

    pub(crate) fn predict(&self, said: &Predictions) -> f32 {
        let last = said[index::LAST];
        let mut sum = 0.0;
        for (coefficient, k) in self.coefficients.iter().zip(USED) {
            sum += coefficient * f64::from(said[k] - last);
        }
        // It may go beyond what all of them say, but no further than they are apart.
        let (least, most) = USED
            .iter()
            .fold((last, last), |(least, most), k| (least.min(said[*k]), most.max(said[*k])));
        let span = most - least;
        (last + sum as f32).clamp(least - span, most + span)
    }

    pub(crate) fn learn(&mut self, said: &Predictions, truth: f32) {
        let last = said[index::LAST];
        let target = f64::from(truth - last);
        self.rounds = self.rounds.saturating_add(1);
        self.scale += (1.0 / f64::from(self.rounds)).max(0.02) * (target.abs() - self.scale);
        if self.scale <= f64::from(f32::MIN_POSITIVE) {
            return;
        }
        let unit = 1.0 / self.scale;
        let features = USED.map(|k| (f64::from(said[k] - last) * unit).clamp(-20.0, 20.0));
        let target = (target * unit).clamp(-20.0, 20.0);
        let fitted: f64 = self.coefficients.iter().zip(&features).map(|(c, f)| c * f).sum();
        let error = target - fitted;
        let weight = 1.0 / error.abs().max(0.2);
        let gain = self.covariance.map(|row| {
            row.iter().zip(&features).map(|(entry, feature)| entry * feature).sum::<f64>()
        });
        let along: f64 = gain.iter().zip(&features).map(|(gain, feature)| gain * feature).sum();
        let norm = 1.0 / weight + along;
        for (row, gain_row) in gain.iter().enumerate() {
            self.coefficients[row] += gain_row / norm * error;
            for (column, gain_column) in gain.iter().enumerate() {
                self.covariance[row][column] -= gain_row * gain_column / norm;
            }
        }
        // What is not excited must not be forgotten, or the covariance grows without bound.
        let trace: f64 = (0..SIZE).map(|k| self.covariance[k][k]).sum();
        if trace < SIZE as f64 {
            for row in &mut self.covariance {
                for entry in row {
                    *entry /= FORGET;
                }
            }
        }
    }
}
