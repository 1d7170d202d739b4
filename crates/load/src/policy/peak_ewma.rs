//! Peak EWMA, as in Finagle, linkerd2-proxy and tower: of two at random, the one with the smaller
//! product of recent latency and requests in progress. A latency above the mean counts at once, one
//! below it moves the mean slowly. What fails fast looks fast to it.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::{Candidate, Dice, PerPlace, Policy};
use crate::balance::Work;

/// Of two backends at random, the one with the smaller latency times requests in progress.
#[derive(Clone, Debug)]
pub struct PeakEwma {
    decay: f64,
    unknown: f64,
    means: PerPlace<Mean>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    /// Nanoseconds; zero before the first answer.
    latency: f64,
    at: Timestamp,
}

impl Default for PeakEwma {
    /// tower's example: a decay of 10 s, and 30 ms before the first answer.
    fn default() -> Self {
        Self::new(Duration::from_secs(10), Duration::from_millis(30))
    }
}

impl PeakEwma {
    /// Forgets with the time constant `decay`, and takes a backend that never answered to take
    /// `unknown`.
    pub fn new(decay: Duration, unknown: Duration) -> Self {
        let nanos = |duration: Duration| (duration.as_nanos() as f64).max(1.0);
        Self { decay: nanos(decay), unknown: nanos(unknown), means: PerPlace::default() }
    }

    fn cost(&mut self, candidate: &Candidate, now: Timestamp) -> f64 {
        let mean = *self.means.get(candidate.place);
        let idle = now.saturating_since(mean.at).as_nanos() as f64;
        let latency = if mean.latency == 0.0 {
            self.unknown
        } else {
            mean.latency * (-idle / self.decay).exp()
        };
        latency * (candidate.in_progress as f64 + 1.0)
    }
}

impl Policy for PeakEwma {
    fn name(&self) -> &'static str {
        "peak-ewma"
    }

    fn pick(&mut self, open: &[Candidate], _: &Work, random: &mut Dice, now: Timestamp) -> usize {
        let (a, b) = random.two_below(open.len());
        if self.cost(&open[b], now) < self.cost(&open[a], now) { b } else { a }
    }

    fn ended(&mut self, place: usize, latency: Duration, _: bool, now: Timestamp) {
        let decay = self.decay;
        let mean = self.means.get(place);
        let latency = latency.as_nanos() as f64;
        if latency > mean.latency {
            mean.latency = latency;
        } else {
            let keeps = (-(now.saturating_since(mean.at).as_nanos() as f64) / decay).exp();
            mean.latency = mean.latency * keeps + latency * (1.0 - keeps);
        }
        mean.at = now;
    }

    fn replaced(&mut self, place: usize) {
        self.means.reset(place);
    }
}
