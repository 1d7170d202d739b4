//! What time leaves of something that halves every so often.

use std::time::Duration;

/// Remembers its last answer: all models are looked at equally often, so that the next one is
/// mostly the same.
#[derive(Debug)]
pub(crate) struct Fade {
    half_life: f64,
    elapsed: f64,
    left: f64,
}

impl Fade {
    pub(crate) const fn new(half_life: Duration) -> Self {
        Self { half_life: half_life.as_secs_f64(), elapsed: 0.0, left: 1.0 }
    }

    /// The share that is left after so many seconds.
    pub(crate) fn left_after(&mut self, elapsed: f64) -> f64 {
        if elapsed != self.elapsed {
            (self.elapsed, self.left) = (elapsed, 0.5_f64.powf(elapsed / self.half_life));
        }
        self.left
    }
}
