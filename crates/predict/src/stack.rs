//! A linear combination of experts that is fitted, not voted: recursive least squares.
//!
//! Regresses what happened on what a few experts said, all as differences from the last value, by
//! recursive least squares with forgetting (Plackett, 1950; Haykin, *Adaptive Filter Theory*).
//! Each round is weighed by the inverse of its own error's size, so that the fit tends to that of
//! the least absolute error (iteratively reweighted least squares, one step a round). Unlike the
//! votes of [`Mix`](crate::mix::Mix), its coefficients may be negative or sum to more than one,
//! which is how it corrects what all experts get wrong alike.

use serde::{Deserialize, Serialize};

use crate::check::{self, Checked, ensure};
use crate::lanes::{Dozen, Four};
use crate::num::{larger, share, smaller};

/// How many experts it combines: the first ones.
const SIZE: usize = 6;
/// Four of them are done at once, and the others beside them.
const WIDE: usize = 4;
const REST: usize = SIZE - WIDE;

/// One number for each of the experts that it combines.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Features {
    wide: [f32; WIDE],
    rest: [f32; REST],
}

/// Rounds count less the older they are: about the last 330 matter.
const FORGET: f32 = 0.997;
/// The inverse may grow no larger than this, which is where it begins: what is not excited must not
/// be forgotten.
const LARGEST: f32 = SIZE as f32;
/// Rounding may in time eat the diagonal, which must stay positive.
const LEAST: f32 = 1e-6;
/// Features and targets are cut here, in units of the mean move.
const CUT: f32 = 20.0;
/// An error below this, in the same unit, weighs no more than one of this size.
const CERTAIN: f32 = 0.3;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stack {
    coefficients: Features,
    inverse: Inverse,
    /// Mean absolute move from the last value.
    scale: f32,
    rounds: u32,
}

/// The inverse of the features' second moments. It is symmetric: what is beside the square of the
/// wide ones is kept once, by rows, so that each step is one of whole rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inverse {
    square: [[f32; WIDE]; WIDE],
    beside: [[f32; WIDE]; REST],
    /// The entries of the rest: the first's own, that of both, the second's own.
    corner: [f32; 3],
}

/// Features on their way through registers.
#[derive(Clone, Copy, Debug)]
struct Vector {
    wide: Four,
    rest: [f32; REST],
}

impl Features {
    #[inline(always)]
    fn load(self) -> Vector {
        Vector { wide: Four::new(self.wide), rest: self.rest }
    }
}

impl Vector {
    /// What is made of each expert, from the last value.
    #[inline(always)]
    fn moves(said: Dozen, last: f32) -> Self {
        let last = Four::all(last);
        let [wide, rest, _] = said.parts();
        let [first, second, ..] = (rest - last).array();
        Self { wide: wide - last, rest: [first, second] }
    }

    #[inline(always)]
    fn times(self, by: f32) -> Self {
        Self { wide: self.wide * by, rest: self.rest.map(|value| value * by) }
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        let rest = [self.rest[0] + other.rest[0], self.rest[1] + other.rest[1]];
        Self { wide: self.wide + other.wide, rest }
    }

    #[inline(always)]
    fn cut(self) -> Self {
        let rest = self.rest.map(|value| smaller(larger(value, -CUT), CUT));
        Self { wide: self.wide.cut(-CUT, CUT), rest }
    }

    #[inline(always)]
    fn dot(self, other: Self) -> f32 {
        let rest = self.rest[0] * other.rest[0] + self.rest[1] * other.rest[1];
        (self.wide * other.wide).sum() + rest
    }

    #[inline(always)]
    fn store(self) -> Features {
        Features { wide: self.wide.array(), rest: self.rest }
    }
}

/// What keeps the diagonal of the square above zero, and leaves the rest as it is.
const FLOOR: [[f32; WIDE]; WIDE] = {
    let mut floor = [[f32::MIN; WIDE]; WIDE];
    let mut k = 0;
    while k < WIDE {
        floor[k][k] = LEAST;
        k += 1;
    }
    floor
};

impl Inverse {
    /// The product with a vector.
    #[inline(always)]
    fn times(&self, vector: Vector) -> Vector {
        let [first, second] = vector.rest;
        let beside = self.beside.map(Four::new);
        let [a, b, c, d] = vector.wide.array();
        let [row_a, row_b, row_c, row_d] = self.square.map(Four::new);
        let wide = (row_a * a + row_b * b)
            + (row_c * c + row_d * d)
            + (beside[0] * first + beside[1] * second);
        let [own, both, other] = self.corner;
        let rest = [
            (beside[0] * vector.wide).sum() + (own * first + both * second),
            (beside[1] * vector.wide).sum() + (both * first + other * second),
        ];
        Vector { wide, rest }
    }

    #[inline(always)]
    fn trace(&self) -> f32 {
        let [a, b, c, d] = self.square;
        ((a[0] + b[1]) + (c[2] + d[3])) + (self.corner[0] + self.corner[2])
    }

    /// Takes the square of `half` off, which keeps it symmetric to the last bit, and forgets a
    /// little.
    #[inline(always)]
    fn shrink(&mut self, half: Vector) {
        let grown = if self.trace() - half.dot(half) < LARGEST { 1.0 / FORGET } else { 1.0 };
        let [first, second] = half.rest;
        let rows = self.square.iter_mut().zip(half.wide.array());
        for ((row, by), floor) in rows.zip(FLOOR) {
            let less = (Four::new(*row) - half.wide * by) * grown;
            *row = less.max(Four::new(floor)).array();
        }
        for (row, by) in self.beside.iter_mut().zip(half.rest) {
            *row = ((Four::new(*row) - half.wide * by) * grown).array();
        }
        let [own, both, other] = self.corner;
        self.corner = [
            larger((own - first * first) * grown, LEAST),
            (both - first * second) * grown,
            larger((other - second * second) * grown, LEAST),
        ];
    }

    fn check(&self) -> Checked {
        let at = |row: usize, column: usize| self.square[row][column];
        let symmetric = |row: usize| (0..row).all(|column| at(row, column) == at(column, row));
        ensure("stack.inverse.square", (0..WIDE).all(symmetric))?;
        // The trace grows no further once it is there.
        let most = 1.01 * LARGEST / FORGET;
        check::within("stack.inverse.square", self.square.as_flattened(), -most, most)?;
        check::within("stack.inverse.beside", self.beside.as_flattened(), -most, most)?;
        check::within("stack.inverse.corner", &self.corner, -most, most)?;
        let least = 0.99 * LEAST;
        ensure("stack.inverse.square", (0..WIDE).all(|k| at(k, k) >= least))?;
        ensure("stack.inverse.corner", self.corner[0] >= least && self.corner[2] >= least)
    }
}

impl Stack {
    pub(crate) fn new() -> Self {
        let share = 1.0 / SIZE as f32;
        let mut square = [[0.0; WIDE]; WIDE];
        for (k, row) in square.iter_mut().enumerate() {
            row[k] = 1.0;
        }
        Self {
            coefficients: Features { wide: [share; WIDE], rest: [share; REST] },
            inverse: Inverse { square, beside: [[0.0; WIDE]; REST], corner: [1.0, 0.0, 1.0] },
            scale: 0.0,
            rounds: 0,
        }
    }

    pub(crate) fn check(&self) -> Checked {
        check::within("stack.coefficients.wide", &self.coefficients.wide, -CUT, CUT)?;
        check::within("stack.coefficients.rest", &self.coefficients.rest, -CUT, CUT)?;
        self.inverse.check()?;
        check::sizes("stack.scale", &[self.scale])
    }

    #[inline(always)]
    pub(crate) fn predict(&self, said: Dozen, last: f32) -> f32 {
        let moves = Vector::moves(said, last);
        // From the last value, which is itself one of what is said.
        let [first, second] = moves.rest;
        let ends = Four::new([first, second, 0.0, 0.0]);
        let (least, most) = (moves.wide.min(ends).least(), moves.wide.max(ends).largest());
        // It may go beyond what all of them say, but no further than they are apart.
        let span = most - least;
        let sum = self.coefficients.load().dot(moves);
        last + smaller(larger(sum, least - span), most + span)
    }

    #[inline(always)]
    pub(crate) fn learn(&mut self, said: Dozen, last: f32, truth: f32) {
        let target = truth - last;
        self.rounds = self.rounds.saturating_add(1);
        self.scale += share(self.rounds, 0.02) * (target.abs() - self.scale);
        if self.scale <= f32::MIN_POSITIVE {
            return;
        }
        let unit = 1.0 / self.scale;
        let features = Vector::moves(said, last).times(unit).cut();
        let coefficients = self.coefficients.load();
        let error = smaller(larger(target * unit, -CUT), CUT) - coefficients.dot(features);
        let gain = self.inverse.times(features);
        let along = gain.dot(features);
        // Weighing a round by 1/|error| is the same as adding |error| to the norm.
        let norm = 1.0 / (larger(error.abs(), CERTAIN) + larger(along, 0.0));
        self.coefficients = coefficients.plus(gain.times(norm * error)).cut().store();
        self.inverse.shrink(gain.times(norm.sqrt()));
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale_by(&mut self, by: f32) {
        self.scale *= by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experts::{COUNT, Predictions};

    #[test]
    fn it_learns_a_combination_that_no_vote_can_be() {
        let mut stack = Stack::new();
        let said = |step: u32| {
            let mut said: Predictions = [0.0; COUNT];
            for (place, said) in said[..SIZE].iter_mut().enumerate() {
                *said = ((step * (place as u32 + 3)) as f32 * 0.7).sin();
            }
            said
        };
        for step in 0..3000 {
            let now = said(step);
            stack.learn(Dozen::new(&now), 0.0, 1.5 * now[0] - 0.8 * now[3]);
        }
        let now = said(3001);
        let truth = 1.5 * now[0] - 0.8 * now[3];
        let near = stack.predict(Dozen::new(&now), 0.0);
        assert!((near - truth).abs() < 0.05, "{near} {truth}");
    }
}
