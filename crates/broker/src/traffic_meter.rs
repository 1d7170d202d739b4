//! What came in and went out since it was last asked for.

use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use plimsoll_core_types::{LoadMetrics, Timestamp};

/// Latencies above this are counted as this.
const LONGEST: Duration = Duration::from_mins(10);

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With an answer.
    Well,
    /// With an error that is not the client's.
    Failed,
    /// Refused: it can never fit, or there is no room for it now.
    Refused,
}

/// Counts requests and their latencies over a window that ends whenever it is asked for.
#[derive(Debug)]
pub(crate) struct TrafficMeter {
    window: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    begun: Timestamp,
    completed: u64,
    failed: u64,
    shed: u64,
    latencies: Histogram<u32>,
}

/// A histogram of microseconds up to [`LONGEST`], to three digits.
pub(crate) fn latency_histogram() -> Histogram<u32> {
    Histogram::new_with_max(LONGEST.as_micros() as u64, 3).expect("constant bounds are valid")
}

impl Default for TrafficMeter {
    fn default() -> Self {
        let latencies = latency_histogram();
        let begun = Timestamp::ZERO;
        Self { window: Mutex::new(Window { begun, completed: 0, failed: 0, shed: 0, latencies }) }
    }
}

impl TrafficMeter {
    pub(crate) fn count(&self, ended: Ended, latency: Duration) {
        let mut window = self.window.lock();
        match ended {
            Ended::Well => {
                window.completed += 1;
                window.latencies.saturating_record(latency.as_micros() as u64);
            }
            Ended::Failed => window.failed += 1,
            Ended::Refused => window.shed += 1,
        }
    }

    /// The window's figures; a new one begins. None for a window of no length.
    pub(crate) fn take(
        &self,
        now: Timestamp,
        in_progress: usize,
        queued: usize,
    ) -> Option<LoadMetrics> {
        let mut window = self.window.lock();
        let length = now.saturating_since(window.begun);
        if length.is_zero() {
            return None;
        }
        let latency = |at| Duration::from_micros(window.latencies.value_at_quantile(at));
        let metrics = LoadMetrics {
            at: now,
            window: length,
            arrivals: window.completed + window.failed + window.shed,
            completed: window.completed,
            failed: window.failed,
            shed: window.shed,
            in_progress,
            queued,
            latency_p50: latency(0.5),
            latency_p99: latency(0.99),
        };
        window.begun = now;
        (window.completed, window.failed, window.shed) = (0, 0, 0);
        window.latencies.reset();
        Some(metrics)
    }
}
