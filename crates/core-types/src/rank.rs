//! What to give up first.

use std::cmp::Ordering;
use std::time::Duration;

use crate::units::{Bytes, Ratio};

/// What giving something up frees, and what that costs: the one ranking that every room uses,
/// whether the thing is a model, a cache's entries or a program's own memory.
///
/// Value = bytes freed ÷ (cost + probability of need × cost of return). The highest goes first.
/// It is the cost-benefit ranking of Cao and Irani, *Cost-Aware WWW Proxy Caching Algorithms*
/// (USITS 1997, GreedyDual-Size), with the probability of need in the place of its inflation
/// value.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::{Bytes, GiveUp, Ratio};
///
/// let idle = GiveUp {
///     bytes: Bytes::from_mib(100),
///     cost: Duration::from_millis(5),
///     need: Ratio::new(0.05)?,
///     return_cost: Duration::from_secs(2),
/// };
/// let busy = GiveUp { need: Ratio::new(0.9)?, ..idle };
/// assert!(idle.value() > busy.value());
/// # Ok::<(), plimsoll_core_types::RatioError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GiveUp {
    /// What it frees.
    pub bytes: Bytes,
    /// What it costs at once: to stop, to write back, to drain.
    pub cost: Duration,
    /// How probably it is wanted back before whoever it makes room for is done.
    pub need: Ratio,
    /// What its return costs then.
    pub return_cost: Duration,
}

impl GiveUp {
    /// Below this a cost is noise; it keeps the value of what costs nothing finite.
    const LEAST_COST: f64 = 1e-6;

    /// Bytes freed for each second that it is expected to cost.
    pub fn value(&self) -> f64 {
        let expected = self.need.min_one().get() * self.return_cost.as_secs_f64();
        self.bytes.as_f64() / (self.cost.as_secs_f64() + expected).max(Self::LEAST_COST)
    }

    /// Sorts the best to give up first.
    pub fn compare(&self, other: &Self) -> Ordering {
        other.value().total_cmp(&self.value())
    }
}
