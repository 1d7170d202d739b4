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
    /// Requests whose engine died under them twice, or never answered.
    pub failed: usize,
    /// Requests that were tried again because their engine died.
    pub retried: usize,
    /// Loads.
    pub loads: usize,
    /// Evictions.
    pub evictions: usize,
    /// Engines that died or were killed.
    pub deaths: usize,
    /// The most that was promised at once.
    pub peak_promised: ResourceVector,
    /// Memory promised over time, in byte-seconds.
    pub promised_byte_seconds: f64,
    /// Memory used by engines over time, in byte-seconds.
    pub used_byte_seconds: f64,
    /// Memory used, over the time in which the models that were asked for in the last minute
    /// would not fit together, in byte-seconds.
    pub pressed_used_byte_seconds: f64,
    /// How long that was, in seconds.
    pub pressed_seconds: f64,
    /// When the last thing happened.
    pub ended: Timestamp,
    /// How long each served request took, ascending.
    pub latencies: Vec<Duration>,
    /// How long each served request waited until it began, ascending.
    pub waits: Vec<Duration>,
    /// What went wrong, and how long it took to recover.
    pub recoveries: Vec<Recovery>,
    /// How many times the books were wrong.
    pub broken: usize,
    /// The first things that were wrong with the books, at most sixteen.
    pub findings: Vec<String>,
    /// How many events there were.
    pub events: u64,
}

/// A fault that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Which one of the scenario's faults.
    pub fault: usize,
    /// Which model it hit; the one in whose phase it came, for a thief.
    pub model: usize,
    /// When.
    pub at: Timestamp,
    /// How long it took until a request that came after it was served by the model; none where
    /// none was.
    pub after: Option<Duration>,
}

impl Outcome {
    /// Requests that were served.
    pub const fn served(&self) -> usize {
        self.warm + self.cold
    }

    /// Of the requests served, the share that found their model ready. Zero where none was.
    pub fn warm_hit_rate(&self) -> f64 {
        share(self.warm, self.served())
    }

    /// Failed and given up, as a share of all that could ever fit.
    pub fn error_rate(&self) -> f64 {
        share(self.timed_out + self.failed, self.requests - self.never_fit)
    }

    /// Of the requests that could ever fit, the share that waited longer than `wait` or was never
    /// served.
    pub fn late_share(&self, wait: Duration) -> f64 {
        let late = self.waits.len() - self.waits.partition_point(|waited| *waited <= wait);
        share(late + self.timed_out + self.failed, self.requests - self.never_fit)
    }

    /// Memory used as a share of `limit`'s, over the time in which there was more asked for than
    /// fits; none where that never was.
    pub fn pressed_utilization(&self, limit: &ResourceVector) -> Option<f64> {
        let budget = limit.memory().as_f64() * self.pressed_seconds;
        (budget > 0.0).then(|| self.pressed_used_byte_seconds / budget)
    }

    /// Memory used as a share of what was promised; none where nothing was.
    pub fn utilization(&self) -> Option<f64> {
        let promised = self.promised_byte_seconds;
        (promised > 0.0).then(|| self.used_byte_seconds / promised)
    }

    /// The latency that a `share` of the served requests did not exceed: the nearest rank. Zero
    /// where none was served.
    pub fn latency(&self, share: f64) -> Duration {
        quantile(&self.latencies, share)
    }

    /// The wait that a `share` of the served requests did not exceed: the nearest rank. Zero
    /// where none was served.
    pub fn wait(&self, share: f64) -> Duration {
        quantile(&self.waits, share)
    }

    /// Mean latency of the served requests. Zero where none was.
    pub fn mean_latency(&self) -> Duration {
        let count = u32::try_from(self.latencies.len()).unwrap_or(u32::MAX).max(1);
        self.latencies.iter().sum::<Duration>() / count
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn quantile(ascending: &[Duration], share: f64) -> Duration {
    let rank = (share * ascending.len() as f64).ceil() as usize;
    let index = rank.clamp(1, ascending.len().max(1)) - 1;
    ascending.get(index).copied().unwrap_or_default()
}
