//! Finds an engine's [`SpeedCurve`] from noisy observations of its speed.
//!
//! Observations are kept as one running mean of the logarithm for each thread count, because a
//! busy host makes speeds wrong by a factor, not by an amount, and because that bounds what is
//! kept. Old ones fade. The shapes are fitted to these means by least squares of relative errors;
//! in `n / X(n)` the universal law is linear in its three parameters, so that every fit has a
//! closed form. Between shapes decides the Bayesian information criterion: another parameter must
//! earn its place.
//!
//! Sources: Gunther (2008) for the linear form; Schwarz, *Estimating the Dimension of a Model*
//! (Annals of Statistics 1978).

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::curve::{Shape, SpeedCurve};

/// How many thread counts are remembered; the one that was seen longest ago makes room.
const MOST_COUNTS: usize = 64;

/// Speeds closer than a thousandth are not told apart, however many were seen.
const LEAST_VARIANCE: f64 = 1e-6;

/// Learns one engine's curve.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::Timestamp;
/// use plimsoll_cpu::threads::{CurveFitter, Shape};
///
/// let mut fitter = CurveFitter::new(Duration::from_mins(10));
/// for (threads, speed) in [(1, 10.0), (2, 20.0), (3, 24.0), (4, 24.0), (1, 10.0), (3, 24.0)] {
///     fitter.observe(threads, speed, Timestamp::ZERO);
/// }
/// let curve = fitter.fit(Timestamp::ZERO).unwrap().curve;
/// assert!(matches!(curve.shape(), Shape::MemoryBound { .. }));
/// assert!((curve.speed(4) - 24.0).abs() < 0.5);
/// ```
#[derive(Clone, Debug)]
pub struct CurveFitter {
    memory: Duration,
    cells: BTreeMap<u32, Cell>,
}

/// Observations with one number of threads.
#[derive(Clone, Copy, Debug)]
struct Cell {
    at: Timestamp,
    weight: f64,
    /// Mean of the logarithms, and the sum of squared deviations from it.
    mean: f64,
    deviation: f64,
}

/// A fitted curve, and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The curve.
    pub curve: SpeedCurve,
    /// How many observations it rests on, faded ones counted by what is left of them.
    pub observations: f64,
    /// With how many different numbers of threads; with one, the shape is assumed.
    pub counts: usize,
    /// The largest number of threads that was observed.
    pub most_threads: u32,
    /// Typical relative error of one observation.
    pub noise: f64,
}

impl CurveFitter {
    /// A fitter in which an observation has faded to a third after `memory`.
    pub fn new(memory: Duration) -> Self {
        Self { memory, cells: BTreeMap::new() }
    }

    /// Learns that with `threads` threads the engine did `speed` units of work per second of
    /// being busy. Anything but a positive, finite speed with at least one thread is ignored.
    pub fn observe(&mut self, threads: u32, speed: f64, now: Timestamp) {
        if threads == 0 || !(speed > 0.0 && speed.is_finite()) {
            return;
        }
        let memory = self.memory;
        let fresh = Cell { at: now, weight: 0.0, mean: 0.0, deviation: 0.0 };
        let cell = self.cells.entry(threads).or_insert(fresh);
        cell.fade(now, memory);
        cell.add(speed.ln());
        if self.cells.len() > MOST_COUNTS {
            let oldest = self.cells.iter().min_by_key(|(_, cell)| cell.at);
            if let Some(count) = oldest.map(|(count, _)| *count) {
                self.cells.remove(&count);
            }
        }
    }

    /// The curve that fits best. `None` before anything was observed.
    pub fn fit(&self, now: Timestamp) -> Option<Fit> {
        let points: Vec<Point> = self.points(now);
        let (first, last) = (points.first()?, points.last()?);
        let observations: f64 = points.iter().map(|point| point.weight).sum();
        let within: f64 = points.iter().map(|point| point.within).sum();
        let fit = |curve: SpeedCurve, error: f64| Fit {
            curve,
            observations,
            counts: points.len(),
            most_threads: last.threads,
            noise: ((error + within) / observations.max(1.0)).sqrt(),
        };
        if points.len() == 1 {
            return Some(fit(
                SpeedCurve::scaled_to(SpeedCurve::ASSUMED.shape(), first.threads, first.speed)?,
                0.0,
            ));
        }
        let mut best: Option<(f64, SpeedCurve, f64)> = None;
        for (curve, parameters) in candidates(&points) {
            let error = squared_error(&curve, &points);
            let variance = ((error + within) / observations).max(LEAST_VARIANCE);
            let count = observations.max(2.0);
            let criterion = count * variance.ln() + f64::from(parameters) * count.ln();
            // Candidates come simplest first: an equal one does not replace it.
            if best.as_ref().is_none_or(|(least, ..)| criterion < least - 1e-6) {
                best = Some((criterion, curve, error));
            }
        }
        best.map(|(_, curve, error)| fit(curve, error))
    }

    fn points(&self, now: Timestamp) -> Vec<Point> {
        let faded = self.cells.iter().map(|(threads, cell)| {
            let mut cell = *cell;
            cell.fade(now, self.memory);
            (*threads, cell)
        });
        // What has faded away says nothing any more, unless it is all that there is.
        let remembered = self.cells.len() == 1;
        faded
            .filter(|(_, cell)| remembered || cell.weight > 0.01)
            .map(|(threads, cell)| Point {
                threads,
                speed: cell.mean.exp(),
                weight: cell.weight,
                within: cell.deviation,
            })
            .collect()
    }
}

impl Cell {
    fn fade(&mut self, now: Timestamp, memory: Duration) {
        let age = now.saturating_since(self.at).as_secs_f64();
        let factor = (-age / memory.as_secs_f64().max(1e-9)).exp();
        self.weight *= factor;
        self.deviation *= factor;
        self.at = self.at.max(now);
    }

    fn add(&mut self, value: f64) {
        self.weight += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.weight;
        self.deviation += delta * (value - self.mean);
    }
}

#[derive(Clone, Copy, Debug)]
struct Point {
    threads: u32,
    speed: f64,
    weight: f64,
    within: f64,
}

fn squared_error(curve: &SpeedCurve, points: &[Point]) -> f64 {
    let error = |point: &Point| (curve.speed(point.threads) / point.speed).ln();
    points.iter().map(|point| point.weight * error(point).powi(2)).sum()
}

/// Every shape fitted to `points`, with its number of parameters, the simplest first.
fn candidates(points: &[Point]) -> Vec<(SpeedCurve, u32)> {
    let mut found = Vec::new();
    let mut add = |curve: Option<SpeedCurve>, parameters| {
        found.extend(curve.map(|curve| (curve, parameters)));
    };
    add(universal(points, [true, false, false]), 1);
    add(universal(points, [true, true, false]), 2);
    add(universal(points, [true, false, true]), 2);
    for split in 1..points.len() {
        add(roofline(points, split), 2);
    }
    add(universal(points, [true, true, true]), 3);
    found
}

/// The universal law with only the parameters in `used`, by weighted least squares of
/// `(β₀ + β₁(n−1) + β₂·n(n−1)) / (n/X) − 1`. `None` where a parameter would be negative.
fn universal(points: &[Point], used: [bool; 3]) -> Option<SpeedCurve> {
    let mut matrix = [[0.0; 4]; 3];
    for point in points {
        let n = f64::from(point.threads);
        let reciprocal = n / point.speed;
        let terms = [1.0, n - 1.0, n * (n - 1.0)].map(|term| term / reciprocal);
        for row in 0..3 {
            for column in 0..3 {
                matrix[row][column] += point.weight * terms[row] * terms[column];
            }
            matrix[row][3] += point.weight * terms[row];
        }
    }
    for index in 0..3 {
        if !used[index] {
            matrix[index] = [0.0; 4];
            (0..3).for_each(|row| matrix[row][index] = 0.0);
            matrix[index][index] = 1.0;
        }
    }
    let [first, second, third] = solve(matrix)?;
    let single = 1.0 / first;
    let (serial, crosstalk) = (second * single, third * single);
    let shape = match used {
        [_, false, false] => Shape::Linear,
        [_, true, false] => Shape::Amdahl { serial: serial.min(1.0) },
        _ => Shape::Contended { serial: serial.min(1.0), crosstalk },
    };
    let is_valid = first > 0.0 && serial >= 0.0 && crosstalk >= 0.0;
    if is_valid { SpeedCurve::new(single, shape) } else { None }
}

/// The roofline whose slope is fitted to the first `split` points and whose roof to the rest.
fn roofline(points: &[Point], split: usize) -> Option<SpeedCurve> {
    let mean = |points: &[Point], value: fn(&Point) -> f64| {
        let weights: f64 = points.iter().map(|point| point.weight).sum();
        let sum: f64 = points.iter().map(|point| point.weight * value(point).ln()).sum();
        (sum / weights).exp()
    };
    let (rising, flat) = points.split_at(split);
    let single = mean(rising, |point| point.speed / f64::from(point.threads));
    let roof = mean(flat, |point| point.speed);
    SpeedCurve::new(single, Shape::MemoryBound { saturated_at: roof / single })
}

/// Gaussian elimination with pivoting. `None` for a singular matrix.
fn solve(mut matrix: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    for column in 0..3 {
        let pivot = (column..3)
            .max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        matrix.swap(column, pivot);
        if matrix[column][column].abs() < 1e-12 {
            return None;
        }
        let pivot_row = matrix[column];
        for (row, values) in matrix.iter_mut().enumerate() {
            if row != column {
                let factor = values[column] / pivot_row[column];
                for (value, above) in values.iter_mut().zip(pivot_row).skip(column) {
                    *value -= factor * above;
                }
            }
        }
    }
    Some([0, 1, 2].map(|row| matrix[row][3] / matrix[row][row]))
}

#[cfg(test)]
mod tests;
