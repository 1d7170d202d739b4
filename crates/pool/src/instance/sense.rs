//! What a pool learns of itself between two looks at it.

use std::time::Duration;

use plimsoll_core_types::{OptimizeError, PoolMetrics, Ratio, Timestamp};

use super::core::{Counts, WaitHistogram};
use super::{Manager, Shared, SizeChange};
use plimsoll_core_types::Reason;

/// What was seen since the last look.
#[derive(Debug, Default)]
pub(super) struct Sense {
    at: Timestamp,
    counts: Counts,
    waits: WaitHistogram,
    /// How many were out, summed over the looks at that.
    in_use: f64,
    looks: u32,
    creates: u32,
    creating: Duration,
    /// The mean of the last window that had any: what is known of creation outlasts a window.
    mean_create: Duration,
}

impl Sense {
    pub(super) fn note_create(&mut self, took: Duration) {
        self.creates += 1;
        self.creating += took;
        self.mean_create = self.creating / self.creates.max(1);
    }

    pub(super) fn note_in_use(&mut self, in_use: usize) {
        self.in_use += in_use as f64;
        self.looks += 1;
    }
}

impl<M: Manager> Shared<M> {
    pub(super) fn measure(&self) -> PoolMetrics {
        let (sizes, (counts, waits)) = (self.core.sizes(), self.core.history());
        let now = self.now();
        self.core.time_closely();
        let mut sense = self.sense.lock();
        let in_use = sizes.size.saturating_sub(sizes.idle + sizes.creating);
        sense.note_in_use(in_use);
        let window = now.saturating_since(sense.at);
        let before = sense.counts;
        let begun = |counts: &Counts| counts.hits + counts.waited;
        let ended = begun(&counts) - begun(&before);
        let gave_up = counts.gave_up - before.gave_up;
        let served = ended.saturating_sub(gave_up);
        let mean_in_use = sense.in_use / f64::from(sense.looks);
        let seconds = mean_in_use * window.as_secs_f64() / served.max(1) as f64;
        let waited = waits.since(&sense.waits);
        let metrics = PoolMetrics {
            at: now,
            window,
            size: sizes.max,
            in_use,
            idle: sizes.idle,
            waiting: sizes.waiting,
            arrivals: ended + counts.refused - before.refused,
            served,
            timed_out: counts.timed_out - before.timed_out,
            mean_hold: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
            mean_wait: waited.mean().mul_f64(waited.count() as f64 / ended.max(1) as f64),
            wait_p99: overall_p99(&waited, ended),
            mean_create: sense.mean_create,
            utilization: Ratio::saturating(mean_in_use / sizes.max as f64),
        };
        let mean_create = sense.mean_create;
        *sense = Sense { at: now, counts, waits, mean_create, ..Sense::default() };
        metrics
    }

    pub(super) fn optimize(&self, metrics: &PoolMetrics) -> Result<SizeChange, OptimizeError> {
        metrics.check()?;
        let sizes = self.core.sizes();
        if sizes.closed {
            return Err(OptimizeError::Closed);
        }
        let from = sizes.max;
        let Some(sizing) = &self.sizing else {
            let (what, current) = ("utilization".to_owned(), metrics.utilization.get());
            return Ok(SizeChange { from, to: from, reason: Reason::AsGood { what, current } });
        };
        let advice = sizing.size(metrics);
        let to = advice.size.clamp(1, super::core::MOST - self.config.surge);
        if to != from {
            self.finish(self.core.resize(to));
        }
        Ok(SizeChange { from, to, reason: advice.reason })
    }
}

/// The wait that one in a hundred of all requests exceeds: most of them did not wait at all.
fn overall_p99(waited: &WaitHistogram, requests: u64) -> Duration {
    let exceeding = 0.01 * requests.max(waited.count()) as f64;
    let share = exceeding / waited.count().max(1) as f64;
    if share >= 1.0 { Duration::ZERO } else { waited.quantile(1.0 - share) }
}
