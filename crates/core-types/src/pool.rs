//! The interface of whoever hands resources out.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{ConsumerId, LeaseId, TenantId, TicketId};
use crate::priority::Priority;
use crate::reason::{Lacking, NeverFits, Reason};
use crate::request::ResourceRequest;
use crate::resource::{ReleaseError, Resource};
use crate::units::Ratio;
use crate::vector::ResourceVector;

/// Hands out resources against requests, and is the only owner of what is promised.
#[async_trait]
pub trait ResourcePool: Send + Sync + std::fmt::Debug {
    /// Grants `request` as soon as there is room and it is its turn.
    ///
    /// # Errors
    ///
    /// At once when it can never fit or the line is full; at its deadline when it has one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; a grant that crossed with it goes back.
    async fn allocate(&self, request: ResourceRequest) -> Result<Resource, AllocateError>;

    /// Takes `resource` back. Dropping it does the same.
    ///
    /// # Errors
    ///
    /// When the lease had ended before, or belongs to another pool.
    async fn release(&self, resource: Resource) -> Result<(), ReleaseError>;

    /// Adapts the pool's size to what `metrics` show.
    ///
    /// # Errors
    ///
    /// When the metrics contradict themselves, or the change can't be made.
    async fn optimize(&self, metrics: &PoolMetrics) -> Result<PoolChange, OptimizeError>;

    /// What is promised to whom, and who waits.
    fn monitor(&self) -> ResourceStatus;

    /// The same, written over an earlier `status`. A pool that uses its lists again spares whoever
    /// asks ten times a second making and dropping them.
    fn monitor_into(&self, status: &mut ResourceStatus) {
        *status = self.monitor();
    }
}

/// Why a request was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// No amount of waiting could serve it.
    #[error("{consumer} {why}")]
    NeverFits {
        /// Who asked.
        consumer: ConsumerId,
        /// The dimension and the numbers.
        why: NeverFits,
    },
    /// It waited until its deadline.
    #[error("{consumer} waited {waited:?} until its deadline; {lacking}")]
    DeadlinePassed {
        /// Who asked.
        consumer: ConsumerId,
        /// For how long.
        waited: Duration,
        /// What it lacked at the end.
        lacking: Lacking,
    },
    /// The line is as long as it may get.
    #[error("{consumer} can't wait: {waiting} wait already, which is the limit")]
    LineFull {
        /// Who asked.
        consumer: ConsumerId,
        /// How many wait, which is how many may.
        waiting: usize,
    },
    /// The pool is shutting down.
    #[error("{consumer} was refused: the pool is closed")]
    Closed {
        /// Who asked.
        consumer: ConsumerId,
    },
}

/// Why a pool could not be adapted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptimizeError {
    /// The metrics contradict themselves.
    #[error(transparent)]
    Metrics(#[from] PoolMetricsError),
    /// The pool is shutting down.
    #[error("the pool is closed; its size can't be changed")]
    Closed,
}

/// What a pool of like things did over a window, for [`ResourcePool::optimize`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolMetrics {
    /// The window's end.
    pub at: Timestamp,
    /// How long the window is; above zero.
    pub window: Duration,
    /// How many things there may be.
    pub size: usize,
    /// How many are out.
    pub in_use: usize,
    /// How many are ready and not out.
    pub idle: usize,
    /// How many requests wait.
    pub waiting: usize,
    /// Requests that came in the window.
    pub arrivals: u64,
    /// Requests that were served in it.
    pub served: u64,
    /// Requests that gave up waiting in it.
    pub timed_out: u64,
    /// Mean time for which a thing is out.
    pub mean_hold: Duration,
    /// Mean wait, of those served and of those that gave up.
    pub mean_wait: Duration,
    /// The wait that one in a hundred exceeds.
    pub wait_p99: Duration,
    /// Mean time that making a thing takes.
    pub mean_create: Duration,
    /// Mean over the window of things out ÷ size.
    pub utilization: Ratio,
}

/// Which metrics contradict themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolMetricsError {
    /// A window of no length has no rates.
    #[error("window is 0; it must be above 0")]
    NoWindow,
    /// More are out and idle than there may be, beyond what a shrink explains.
    #[error("in_use {in_use} + idle {idle} is more than size {size}")]
    Sizes {
        /// How many are out.
        in_use: usize,
        /// How many are idle.
        idle: usize,
        /// How many there may be.
        size: usize,
    },
}

impl PoolMetrics {
    /// Says whether the numbers can be true together.
    ///
    /// # Errors
    ///
    /// When the window has no length.
    pub const fn check(&self) -> Result<(), PoolMetricsError> {
        if self.window.is_zero() { Err(PoolMetricsError::NoWindow) } else { Ok(()) }
    }

    /// Requests that came, per second.
    pub fn arrival_rate(&self) -> f64 {
        self.arrivals as f64 / self.window.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// What [`ResourcePool::optimize`] changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PoolChange {
    /// What the pool could hand out before.
    pub from: ResourceVector,
    /// What it can hand out now; the same when nothing was changed.
    pub to: ResourceVector,
    /// Why.
    pub reason: Reason,
}

/// What is promised to whom, and who waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceStatus {
    /// When.
    pub at: Timestamp,
    /// What may be promised in all.
    pub limit: ResourceVector,
    /// What leases hold, those that are being reclaimed included.
    pub promised: ResourceVector,
    /// The part of it that is being reclaimed.
    pub reclaiming: ResourceVector,
    /// What could be granted now: `limit − promised`, at least zero.
    pub available: ResourceVector,
    /// How many leases are held.
    pub held: usize,
    /// The leases, by number, at most as many as the pool's config says: the first of those held.
    pub leases: Vec<LeaseStatus>,
    /// Who waits, the next one first, at most as many as the pool's config says.
    pub waiters: Vec<WaiterStatus>,
    /// Requests granted so far.
    pub granted: u64,
    /// Requests refused at once so far.
    pub refused: u64,
    /// Requests whose deadline passed so far.
    pub timed_out: u64,
    /// Requests whose asker went away so far.
    pub cancelled: u64,
    /// Leases that expired so far.
    pub expired: u64,
}

/// One lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// Its number.
    pub id: LeaseId,
    /// Who holds it.
    pub consumer: ConsumerId,
    /// On whose behalf.
    pub tenant: TenantId,
    /// At which priority.
    pub priority: Priority,
    /// What it holds.
    pub amount: ResourceVector,
    /// Since when.
    pub since: Timestamp,
    /// Until when, unless renewed.
    pub expires: Option<Timestamp>,
    /// True when its holder has been asked to give it back.
    pub reclaiming: bool,
}

/// One waiter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaiterStatus {
    /// Its number.
    pub id: TicketId,
    /// Who waits.
    pub consumer: ConsumerId,
    /// On whose behalf.
    pub tenant: TenantId,
    /// At which priority.
    pub priority: Priority,
    /// For how much.
    pub amount: ResourceVector,
    /// Since when.
    pub since: Timestamp,
    /// Until when at the latest.
    pub deadline: Option<Timestamp>,
    /// How many are before it, plus one.
    pub position: usize,
    /// What it lacks; none where there is room and only its turn is missing.
    pub lacking: Option<Lacking>,
}
