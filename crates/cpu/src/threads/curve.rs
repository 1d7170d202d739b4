//! How an engine's speed depends on the number of its threads.
//!
//! Four shapes, all of one family: Gunther's universal scalability law,
//! `X(n) = a·n / (1 + σ(n−1) + κ·n(n−1))`, with σ for what has to be done by one thread at a time
//! (Amdahl) and κ for what threads cost each other (which makes speed fall again); and the
//! roofline `X(n) = min(a·n, b)`, for work that a few threads saturate the memory bus with, as
//! token generation does.
//!
//! Sources: Gunther, *A General Theory of Computational Scalability Based on Rational Functions*
//! (2008); Amdahl (AFIPS 1967); Williams, Waterman, Patterson, *Roofline* (CACM 2009).

use serde::{Deserialize, Serialize};

/// How speed depends on threads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shape {
    /// Each thread adds as much as the first.
    Linear,
    /// A part of the work can't be divided.
    Amdahl {
        /// That part, 0 to 1.
        serial: f64,
    },
    /// Threads add until something that they share, mostly memory bandwidth, is used up.
    MemoryBound {
        /// How many threads use it up; more add nothing.
        saturated_at: f64,
    },
    /// Threads get into each other's way, and from some number on more of them are slower.
    Contended {
        /// The part that can't be divided, 0 to 1.
        serial: f64,
        /// What each pair of threads costs, as a part of the work.
        crosstalk: f64,
    },
}

/// An engine's speed by its number of threads.
///
/// ```
/// use plimsoll_cpu::threads::{Shape, SpeedCurve};
///
/// let curve = SpeedCurve::new(10.0, Shape::MemoryBound { saturated_at: 3.0 }).unwrap();
/// assert_eq!(curve.speed(2), 20.0);
/// assert_eq!(curve.speed(8), 30.0);
/// assert_eq!(curve.best_threads(8), 3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpeedCurve {
    single: f64,
    shape: Shape,
}

impl SpeedCurve {
    /// What is assumed of an engine before its speed was observed with two numbers of threads:
    /// nearly linear, so that it is tried with more.
    pub const ASSUMED: Self = Self { single: 1.0, shape: Shape::Amdahl { serial: 0.05 } };

    /// The curve of `shape` that does `single` units of work per second with one thread. `None`
    /// unless that is positive and finite, and the shape's numbers are in their ranges.
    pub fn new(single: f64, shape: Shape) -> Option<Self> {
        let part = |value: f64| (0.0..=1.0).contains(&value);
        let is_shape = match shape {
            Shape::Linear => true,
            Shape::Amdahl { serial } => part(serial),
            Shape::MemoryBound { saturated_at } => saturated_at >= 1.0,
            Shape::Contended { serial, crosstalk } => {
                part(serial) && crosstalk >= 0.0 && crosstalk.is_finite()
            }
        };
        (single > 0.0 && single.is_finite() && is_shape).then_some(Self { single, shape })
    }

    /// Work per second with one thread.
    pub const fn single(&self) -> f64 {
        self.single
    }

    /// Its shape.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    /// Work per second with `threads` threads; zero with none.
    pub fn speed(&self, threads: u32) -> f64 {
        self.single * self.speedup(threads)
    }

    /// Speed with `threads` threads ÷ speed with one.
    pub fn speedup(&self, threads: u32) -> f64 {
        let n = f64::from(threads);
        let universal = |serial: f64, crosstalk: f64| {
            n / (1.0 + serial * (n - 1.0) + crosstalk * n * (n - 1.0))
        };
        match self.shape {
            _ if threads == 0 => 0.0,
            Shape::Linear => n,
            Shape::Amdahl { serial } => universal(serial, 0.0),
            Shape::MemoryBound { saturated_at } => n.min(saturated_at),
            Shape::Contended { serial, crosstalk } => universal(serial, crosstalk),
        }
    }

    /// The fewest threads, up to `most`, with which it is as fast as it gets.
    pub fn best_threads(&self, most: u32) -> u32 {
        let mut best = (1, self.speedup(1));
        for threads in 2..=most {
            let speedup = self.speedup(threads);
            if speedup > best.1 * (1.0 + 1e-9) {
                best = (threads, speedup);
            }
        }
        best.0
    }

    /// The same shape, at another single-thread speed.
    pub(super) fn scaled_to(shape: Shape, threads: u32, speed: f64) -> Option<Self> {
        let unit = Self::new(1.0, shape)?;
        Self::new(speed / unit.speedup(threads.max(1)), shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_has_its_best_number() {
        let check = |shape: Shape, best: u32| {
            let curve = SpeedCurve::new(3.0, shape).unwrap();
            assert_eq!(curve.best_threads(16), best, "{shape:?}");
            assert_eq!(curve.speed(1), 3.0);
            assert_eq!(curve.speed(0), 0.0);
        };
        check(Shape::Linear, 16);
        check(Shape::Amdahl { serial: 0.5 }, 16);
        check(Shape::Amdahl { serial: 1.0 }, 1);
        check(Shape::MemoryBound { saturated_at: 3.5 }, 4);
        // The peak of the universal law is at √((1−σ)/κ).
        check(Shape::Contended { serial: 0.1, crosstalk: 0.025 }, 6);
        check(Shape::Contended { serial: 0.0, crosstalk: 9.0 }, 1);
    }

    #[test]
    fn what_is_no_curve_is_refused() {
        for (single, shape) in [
            (0.0, Shape::Linear),
            (f64::NAN, Shape::Linear),
            (1.0, Shape::Amdahl { serial: 1.5 }),
            (1.0, Shape::MemoryBound { saturated_at: 0.5 }),
            (1.0, Shape::Contended { serial: 0.1, crosstalk: f64::INFINITY }),
        ] {
            assert_eq!(SpeedCurve::new(single, shape), None);
        }
    }
}
