//! As many as keep utilization at a target.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::{PoolMetrics, Ratio, Timestamp};
use plimsoll_pool::sizing::{SizingPolicy, UtilizationTarget};

use crate::capacity::{PoolView, Sizer};

/// The horizontal autoscaler of Kubernetes: the pool's own [`UtilizationTarget`] at 70% over the
/// last minute, replicas that start counted, and shrinking only to the most that was advised in
/// the last five minutes.
#[derive(Clone, Debug)]
pub struct Reactive {
    policy: UtilizationTarget,
    minute: VecDeque<(Timestamp, f64)>,
    advised: VecDeque<(Timestamp, usize)>,
}

const WINDOW: Duration = Duration::from_mins(1);
const STABLE: Duration = Duration::from_mins(5);

impl Default for Reactive {
    fn default() -> Self {
        let most = usize::MAX;
        let policy = UtilizationTarget { most, ..UtilizationTarget::default() };
        Self { policy, minute: VecDeque::new(), advised: VecDeque::new() }
    }
}

impl Sizer for Reactive {
    fn size(&mut self, pool: &PoolView<'_>) -> usize {
        let now = pool.now;
        let old = |at: Timestamp, window| now.saturating_since(at) >= window;
        self.minute.push_back((now, pool.came));
        while self.minute.front().is_some_and(|(at, _)| old(*at, WINDOW.max(pool.spec.control))) {
            self.minute.pop_front();
        }
        let span = pool.spec.control.as_secs_f64() * self.minute.len() as f64;
        let rate = self.minute.iter().map(|(_, work)| work).sum::<f64>() / span;
        let size = pool.ready + pool.starting;
        let busy = rate / pool.spec.unit / size.max(1) as f64;
        let advice = self.policy.size(&metrics(pool, size, busy)).size;
        self.advised.push_back((now, advice));
        while self.advised.front().is_some_and(|(at, _)| old(*at, STABLE)) {
            self.advised.pop_front();
        }
        let most = self.advised.iter().map(|(_, advice)| *advice).max().unwrap_or(advice);
        if advice < size { most.min(size) } else { advice }
    }
}

fn metrics(pool: &PoolView<'_>, size: usize, busy: f64) -> PoolMetrics {
    PoolMetrics {
        at: pool.now,
        window: WINDOW,
        size,
        in_use: 0,
        idle: 0,
        waiting: 0,
        arrivals: 0,
        served: 0,
        timed_out: 0,
        mean_hold: Duration::ZERO,
        mean_wait: Duration::ZERO,
        wait_p99: Duration::ZERO,
        mean_create: pool.spec.lead,
        utilization: Ratio::saturating(busy),
    }
}
