//! How admission behaves.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{Ratio, TenantId};
use serde::{Deserialize, Serialize};

/// How an [`Admission`](crate::Admission) behaves. The defaults need no tuning where permits are
/// held for milliseconds to minutes: what matters under overload is measured.
///
/// Values out of range are taken as the nearest that is in range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AdmissionConfig {
    /// How many permits there are to begin with; 1 to 1,048,576. Default 256.
    pub limit: usize,
    /// The limit is never adapted below this. Default 1.
    pub least: usize,
    /// The limit is never adapted above this. Default 65536.
    pub most: usize,
    /// Whether the limit is lowered where fewer at once serve more, as in a server that is bound by
    /// memory and thrashes. Needs to be told what requests were expected to take and took
    /// ([`observe`](crate::Admission::observe), which the tower service
    /// does) and when a window has passed ([`adapt`](crate::Admission::adapt), which
    /// [`LoadService`](crate::LoadService) does). Where slowness does not grow with concurrency it
    /// gains nothing, and costs looks at an eighth fewer permits, now and then. Default false.
    pub gradient: bool,
    /// How many may wait; at most 1,048,576. Where they do, a newcomer takes the place of
    /// somebody of a lower class; or, in its own, of a tenant that holds more of the line for its
    /// weight, or, under overload, of whoever has waited longest; else it is refused. 0 refuses whoever can't begin at once. Default 1024.
    pub max_waiting: usize,
    /// How long somebody without a deadline waits at most. Default 30 s.
    pub wait_at_most: Duration,
    /// Overload begins when somebody has been waiting for longer than this all the time; whoever
    /// came last is then served first, which serves most in time rather than all too late.
    /// Default none: the mean time that a permit is held, as measured.
    pub lifo_after: Option<Duration>,
    /// What a refused request is told to wait before anything was measured. Default 1 s.
    pub retry_after: Duration,
    /// Shares of tenants that wait in the same class, relative to 1 for those not named. Zero is
    /// taken as the smallest that can be written.
    pub weights: BTreeMap<TenantId, Ratio>,
}

/// The most permits, and the most waiters, that can be configured.
pub(crate) const MOST: usize = 1 << 20;

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            limit: 256,
            least: 1,
            most: 1 << 16,
            gradient: false,
            max_waiting: 1024,
            wait_at_most: Duration::from_secs(30),
            lifo_after: None,
            retry_after: Duration::from_secs(1),
            weights: BTreeMap::new(),
        }
    }
}

impl AdmissionConfig {
    /// `limit`, brought between the least and the most.
    pub(crate) fn clamp(&self, limit: usize) -> usize {
        let most = self.most.clamp(1, MOST);
        limit.clamp(self.least.clamp(1, most), most)
    }
}
