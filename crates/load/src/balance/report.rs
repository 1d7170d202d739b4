//! What is said of backends, and what a balancer says of them.

use std::time::Duration;

use plimsoll_core_types::{BackendLoad, Ratio, ReplicaId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a backend, or whoever watches it, reports of itself, for
/// [`Balancer::report`](crate::Balancer::report). What is none is left as it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackendReport {
    /// All requests in progress there, those of this balancer included.
    pub in_progress: Option<usize>,
    /// Its speed beside a backend of speed 1, where it is measured from outside.
    pub speed: Option<Ratio>,
    /// What requests have taken there of late, for policies that go by it.
    pub latency: Option<Duration>,
}

/// Whether a backend is sent requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Standing {
    /// Like any other.
    Open,
    /// No more: it ends what it has begun.
    Draining,
    /// Out of rotation.
    Ejected {
        /// When it will be probed.
        until: Timestamp,
    },
    /// Out of rotation, and being probed.
    Probing,
}

/// One backend as its balancer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendStatus {
    /// Which.
    pub id: ReplicaId,
    /// Whether it is sent requests.
    pub standing: Standing,
    /// Requests in progress that this balancer has sent: the number of dispatches that live.
    pub in_progress: usize,
    /// How many it can work on at once.
    pub slots: usize,
    /// What typical work takes there.
    pub service_time: Duration,
    /// Share of its recent requests that failed.
    pub errors: Ratio,
    /// How many times in a row it was ejected.
    pub ejections: u32,
}

impl From<&BackendStatus> for BackendLoad {
    fn from(status: &BackendStatus) -> Self {
        Self {
            id: status.id,
            in_progress: status.in_progress,
            slots: status.slots,
            service_time: Some(status.service_time),
            errors: status.errors,
            available: status.standing == Standing::Open,
        }
    }
}
