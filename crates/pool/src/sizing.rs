//! How large a pool should be.

mod bounded_wait;
mod erlang;

use std::fmt;
use std::time::Duration;

use plimsoll_core_types::{Dimension, PoolMetrics, Ratio, Reason};

pub use bounded_wait::BoundedWait;
pub use erlang::{ErlangC, wait_probability};

/// What a policy makes of a pool's metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeAdvice {
    /// How many there should be.
    pub size: usize,
    /// Why.
    pub reason: Reason,
}

/// Says how large a pool should be.
pub trait SizingPolicy: Send + Sync + fmt::Debug {
    /// The size that serves what `metrics` show.
    fn size(&self, metrics: &PoolMetrics) -> SizeAdvice;
}

/// Always this many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(pub usize);

impl SizingPolicy for Fixed {
    fn size(&self, _: &PoolMetrics) -> SizeAdvice {
        SizeAdvice { size: self.0, reason: Reason::Requested }
    }
}

/// As many as keep utilization at a target.
///
/// The rule of the Kubernetes horizontal pod autoscaler: `ceil(size × utilization ÷ target)`, left
/// alone within a tolerance. Whoever waits counts as use. Where requests were served and nothing was
/// seen out, the size stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UtilizationTarget {
    /// What utilization should be. Default 0.7.
    pub target: Ratio,
    /// Utilization this far off, as a share of the target, changes nothing. Default 0.1.
    pub tolerance: Ratio,
    /// The smallest size. Default 1.
    pub least: usize,
    /// The largest size. Default 1024.
    pub most: usize,
}

impl Default for UtilizationTarget {
    fn default() -> Self {
        Self {
            target: Ratio::saturating(0.7),
            tolerance: Ratio::saturating(0.1),
            least: 1,
            most: 1024,
        }
    }
}

impl SizingPolicy for UtilizationTarget {
    fn size(&self, metrics: &PoolMetrics) -> SizeAdvice {
        if metrics.utilization.get() == 0.0
            && let Some(reason) = unmeasured(metrics)
        {
            return SizeAdvice { size: clamp(metrics.size, self.least, self.most), reason };
        }
        let busy = metrics.utilization.get() * metrics.size as f64;
        let wanted = (busy + metrics.waiting as f64) / self.target.get().max(f64::EPSILON);
        let off = (wanted / metrics.size.max(1) as f64 - 1.0).abs();
        let (what, current) = ("utilization".to_owned(), metrics.utilization.get());
        if off <= self.tolerance.get() {
            let size = clamp(metrics.size, self.least, self.most);
            return SizeAdvice { size, reason: Reason::AsGood { what, current } };
        }
        // A float above what usize can hold becomes its largest value.
        let size = clamp(wanted.ceil() as usize, self.least, self.most);
        let candidate = busy / size.max(1) as f64;
        SizeAdvice { size, reason: Reason::Better { what, current, candidate } }
    }
}

/// `size` within the bounds; the lower bound wins where they cross.
fn clamp(size: usize, least: usize, most: usize) -> usize {
    size.min(most).max(least)
}

/// The reason of a size that demand asks for.
fn demand(size: usize) -> Reason {
    Reason::Demand { wanted: size as u64, dimension: Dimension::Slots }
}

/// The reason of a size that can't be told yet.
fn too_few(seen: u64, needed: usize) -> Reason {
    Reason::TooFewSamples { seen: usize::try_from(seen).unwrap_or(usize::MAX), needed }
}

/// The reason of a size that can't be told since requests were served, and yet nothing was ever
/// seen out: whoever looked, looked at the wrong moments, or not at all. None where that is not so.
fn unmeasured(metrics: &PoolMetrics) -> Option<Reason> {
    (metrics.served > 0 && metrics.mean_hold.is_zero()).then(|| too_few(0, 1))
}

/// Seconds, never zero.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::Timestamp;

    pub(super) fn metrics(size: usize, utilization: f64, waiting: usize) -> PoolMetrics {
        PoolMetrics {
            at: Timestamp::ZERO,
            window: Duration::from_secs(10),
            size,
            in_use: 0,
            idle: 0,
            waiting,
            arrivals: 1000,
            served: 1000,
            timed_out: 0,
            mean_hold: Duration::from_millis(100),
            mean_wait: Duration::ZERO,
            wait_p99: Duration::ZERO,
            mean_create: Duration::from_millis(5),
            utilization: Ratio::saturating(utilization),
        }
    }

    #[test]
    fn utilization_is_brought_to_its_target_and_left_there() {
        let policy = UtilizationTarget::default();
        let check = |size, utilization, waiting, expected| {
            assert_eq!(policy.size(&metrics(size, utilization, waiting)).size, expected);
        };
        check(10, 0.7, 0, 10);
        check(10, 0.75, 0, 10);
        check(10, 1.0, 0, 15);
        check(10, 1.0, 4, 20);
        check(10, 0.1, 0, 2);
        check(10, 0.0, 0, 1);
        check(0, 0.0, 3, 5);
        check(2000, 1.0, 0, 1024);
    }

    #[test]
    fn what_was_served_and_never_seen_out_changes_nothing() {
        let unseen = PoolMetrics { mean_hold: Duration::ZERO, ..metrics(10, 0.0, 0) };
        let erlang = ErlangC::default();
        for policy in [&UtilizationTarget::default() as &dyn SizingPolicy, &erlang] {
            let advice = policy.size(&unseen);
            assert_eq!(advice.size, 10, "{policy:?}");
            assert_eq!(advice.reason, Reason::TooFewSamples { seen: 0, needed: 1 }, "{policy:?}");
        }
        // The bounds hold all the same.
        assert_eq!(ErlangC { least: 12, ..erlang }.size(&unseen).size, 12);
        assert_eq!(ErlangC { most: 8, ..erlang }.size(&unseen).size, 8);
        // Nobody came, so that nothing had to be seen.
        let quiet = PoolMetrics { arrivals: 0, served: 0, ..unseen };
        assert_eq!(UtilizationTarget::default().size(&quiet).size, 1);
    }
}
