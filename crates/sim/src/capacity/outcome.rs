//! What came of a pool.

use std::time::Duration;

use plimsoll_core_types::{Bytes, Timestamp};

/// What came of a pool, after the warm-up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolOutcome {
    /// Requests that came.
    pub requests: f64,
    /// Of those, the ones that waited longer than the bound, or failed.
    pub late: f64,
    /// Of those, the ones that failed.
    pub failed: f64,
    /// Replica-seconds that were promised.
    pub promised: f64,
    /// Replica-seconds that were at work.
    pub used: f64,
    /// The most replicas at once, those that started included.
    pub peak: usize,
    /// Replicas that were started.
    pub loads: usize,
    /// How often the wanted size changed.
    pub decisions: usize,
    /// What a replica holds.
    pub bytes: Bytes,
    /// How long requests waited, ascending, with how many they were.
    pub(super) waits: Vec<(f32, f32)>,
    /// What there was at each control interval, warm-up included.
    pub points: Vec<Point>,
    /// What the sizer had to say.
    pub notes: Vec<String>,
}

/// What there was at one moment, in replicas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When.
    pub at: Timestamp,
    /// Replicas that served.
    pub capacity: f64,
    /// Replicas that held memory.
    pub promised: f64,
    /// Replicas that were at work, over the interval.
    pub used: f64,
    /// What was expected to be needed, where that was forecast, at the moment that it was meant
    /// for.
    pub forecast: Option<f64>,
}

impl PoolOutcome {
    /// Used as a share of promised; zero where nothing was.
    pub fn utilization(&self) -> f64 {
        if self.promised > 0.0 { self.used / self.promised } else { 0.0 }
    }

    /// Byte-seconds that were promised and not used.
    pub fn waste(&self) -> f64 {
        (self.promised - self.used).max(0.0) * self.bytes.as_f64()
    }

    /// The share of requests that were late or failed; zero where none came.
    pub fn late_share(&self) -> f64 {
        if self.requests > 0.0 { self.late / self.requests } else { 0.0 }
    }

    /// The share of requests that failed; zero where none came.
    pub fn error_rate(&self) -> f64 {
        if self.requests > 0.0 { self.failed / self.requests } else { 0.0 }
    }

    /// The wait that a `share` of the requests did not exceed.
    pub fn wait(&self, share: f64) -> Duration {
        let total: f64 = self.waits.iter().map(|(_, count)| f64::from(*count)).sum();
        let mut sum = 0.0;
        for (wait, count) in &self.waits {
            sum += f64::from(*count);
            if sum >= share * total {
                return Duration::from_secs_f32(*wait);
            }
        }
        Duration::ZERO
    }

    pub(super) fn waited(&mut self, wait: Duration, requests: f64) {
        self.waits.push((wait.as_secs_f32(), requests as f32));
    }

    pub(super) fn finish(&mut self) {
        self.waits.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    }
}
