//! What came of a run.

use std::time::Duration;

use plimsoll_core_types::{ResourceVector, Timestamp};

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Requests that came.
    pub requests: usize,
    /// Of those served, how many found their model ready.
    pub warm: usize,
    /// Of those served, how many had to wait for a load.
    pub cold: usize,
    /// Requests for models that can never fit.
    pub never_fit: usize,
    /// Requests that were given up.
    pub timed_out: usize,
    /// Loads.
    pub loads: usize,
    /// Evictions.
    pub evictions: usize,
    /// The most that was promised at once.
    pub peak_promised: ResourceVector,
    /// Memory promised over time, in byte-seconds.
    pub promised_byte_seconds: f64,
    /// When the last thing happened.
    pub ended: Timestamp,
    /// How long each served request took, ascending.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    /// Of the requests served, the share that found their model ready. Zero where none was.
    pub fn warm_hit_rate(&self) -> f64 {
        let served = self.warm + self.cold;
        if served == 0 { 0.0 } else { self.warm as f64 / served as f64 }
    }

    /// The latency that a `share` of the served requests did not exceed: the nearest rank. Zero
    /// where none was served.
    pub fn latency(&self, share: f64) -> Duration {
        let rank = (share * self.latencies.len() as f64).ceil() as usize;
        let index = rank.clamp(1, self.latencies.len().max(1)) - 1;
        self.latencies.get(index).copied().unwrap_or_default()
    }

    /// Mean latency of the served requests. Zero where none was.
    pub fn mean_latency(&self) -> Duration {
        let count = u32::try_from(self.latencies.len()).unwrap_or(u32::MAX).max(1);
        self.latencies.iter().sum::<Duration>() / count
    }
}
