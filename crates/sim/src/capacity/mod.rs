//! One pool of like replicas over time: how many there are, and who waits.
//!
//! A replica does so much work per second, holds so many bytes, and takes a lead time to start,
//! during which it holds its bytes already. Requests are served in the order in which they came,
//! by all replicas together. A [`Sizer`] says each control interval how many there should be.
//!
//! **Promised** is what replicas hold, those that start included; **used** is the part of it that
//! was at work. Utilization is used ÷ promised, over the time after the warm-up. A request is late
//! when it waits longer than the bound, and fails when it waits longer than it would.
//!
//! Left out: a request runs on all of the pool rather than on one replica, so that its service
//! ends a little early; and stopping takes no time.

mod demand;
mod oracle;
mod outcome;
mod policy;
mod world;

use std::time::Duration;

use plimsoll_core_types::{Bytes, Timestamp};

use crate::trace::{Content, Trace};

pub use demand::{Demand, Parcel, Work};
pub use oracle::{Oracle, fixed_with_wait};
pub use outcome::{Point, PoolOutcome};
pub use policy::{Forecasting, ForecastingConfig, Reactive, StaticPeak, Vpa};

/// A pool and the rules by which it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolSpec {
    /// Work that a replica does per second.
    pub unit: f64,
    /// What a replica holds.
    pub bytes: Bytes,
    /// How long a replica takes to start.
    pub lead: Duration,
    /// A request that waits longer than this is late.
    pub wait: Duration,
    /// A request that waits longer than this has failed.
    pub give_up: Duration,
    /// How often the size is decided on; above zero.
    pub control: Duration,
    /// The most replicas; at least one.
    pub most: usize,
    /// How many there are at the beginning.
    pub start: usize,
    /// What comes before this is served, and counts for nobody.
    pub warm_up: Duration,
}

/// A pool as sizers see it.
#[derive(Clone, Copy, Debug)]
pub struct PoolView<'a> {
    /// The pool.
    pub spec: &'a PoolSpec,
    /// When.
    pub now: Timestamp,
    /// Replicas that serve.
    pub ready: usize,
    /// Replicas that start.
    pub starting: usize,
    /// Work that came in the control interval that has ended.
    pub came: f64,
    /// Work that waits.
    pub backlog: f64,
    /// The part of the interval's work that was late or failed.
    pub late: f64,
}

/// Says how many replicas there should be.
pub trait Sizer {
    /// How many there should be, those that start included.
    fn size(&mut self, pool: &PoolView<'_>) -> usize;

    /// What it expects to need at the end of the lead time, in work per second, where it forecasts.
    fn forecast(&self) -> Option<f64> {
        None
    }

    /// What there is to be said about the run.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Why a pool makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}; it must be {allowed}")]
pub struct PoolSpecError {
    field: &'static str,
    value: f64,
    allowed: &'static str,
}

impl PoolSpec {
    /// A pool for `demand`: forty replicas carry the mean of it; each holds 16 GiB and starts in
    /// two minutes; ten seconds are a bearable wait, and a minute is not; the size is decided on
    /// every ten seconds. It begins as large as the peak demands, and the first sixth of the time,
    /// at most a day, counts for nobody.
    pub fn of(demand: &Demand) -> Self {
        let unit = (demand.mean() / 40.0).max(f64::MIN_POSITIVE);
        let start = (demand.peak(Duration::from_secs(10)) / unit).ceil() as usize;
        Self {
            unit,
            bytes: Bytes::from_gib(16),
            lead: Duration::from_mins(2),
            wait: Duration::from_secs(10),
            give_up: Duration::from_mins(1),
            control: Duration::from_secs(10),
            most: start.saturating_mul(4).max(1),
            start: start.max(1),
            warm_up: (demand.span / 6).min(Duration::from_hours(24)),
        }
    }

    /// The same for `trace`. Where it tells rates over windows rather than requests, nothing
    /// shorter than a window can be seen in it: a replica then starts in ten minutes, the size is
    /// decided on each minute, and a wait is bearable for a minute, after which the request is
    /// lost.
    pub fn for_trace(trace: &Trace, demand: &Demand) -> Self {
        let spec = Self::of(demand);
        match trace.content {
            Content::Requests(_) => spec,
            Content::Rates { .. } => Self {
                lead: Duration::from_mins(10),
                wait: Duration::from_mins(1),
                control: Duration::from_mins(1),
                ..spec
            },
        }
    }

    /// Serves `demand` with as many replicas as `sizer` says.
    ///
    /// # Errors
    ///
    /// When a field of the pool is out of its bounds.
    pub fn run(
        &self,
        demand: &Demand,
        sizer: &mut dyn Sizer,
    ) -> Result<PoolOutcome, PoolSpecError> {
        self.check()?;
        Ok(world::World::new(self, demand).run(sizer))
    }

    fn check(&self) -> Result<(), PoolSpecError> {
        let wrong = |field, value, allowed| Err(PoolSpecError { field, value, allowed });
        if !(self.unit.is_finite() && self.unit > 0.0) {
            return wrong("unit", self.unit, "finite and above 0");
        }
        if self.control.is_zero() {
            return wrong("control", 0.0, "above 0 s");
        }
        if self.most == 0 {
            return wrong("most", 0.0, "at least 1");
        }
        Ok(())
    }
}
