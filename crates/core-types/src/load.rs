//! The interface of whoever spreads load.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::clock::Timestamp;
use crate::history::UsageHistory;
use crate::id::ReplicaId;
use crate::predict::ResourceForecast;
use crate::reason::Reason;
use crate::units::Ratio;

/// Spreads requests over backends, keeps the number in progress where it serves best, and says
/// where load is heading.
pub trait LoadManager: Send + Sync + std::fmt::Debug {
    /// Which backend each of the pending requests should go to.
    fn balance(&self, distribution: &LoadDistribution) -> Assignment;

    /// Adapts limits to what `metrics` show, and says how.
    fn optimize(&self, metrics: &LoadMetrics) -> LoadChange;

    /// Where load is heading, and which alerts that raises.
    fn forecast(&self, trend: &LoadTrend) -> LoadForecast;
}

/// How load lies on backends at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadDistribution {
    /// When.
    pub at: Timestamp,
    /// The backends.
    pub backends: Vec<BackendLoad>,
    /// How many requests wait to be assigned.
    pub pending: usize,
}

/// One backend's load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendLoad {
    /// Which.
    pub id: ReplicaId,
    /// Requests in progress.
    pub in_progress: usize,
    /// How many it can work on at once; at least one.
    pub slots: usize,
    /// Mean time for one request when it works on one; none before the first was seen.
    pub service_time: Option<Duration>,
    /// Share of its recent requests that failed.
    pub errors: Ratio,
    /// False when it must not be sent anything.
    pub available: bool,
}

/// Which backend gets how many of the pending requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// How many go where; a backend that gets none is left out.
    pub shares: Vec<(ReplicaId, usize)>,
    /// How many wait on.
    pub held: usize,
    /// When the last assigned request should be done; none where nothing was assigned.
    pub expected: Option<Duration>,
}

/// What a load manager's backends did over a window, for [`LoadManager::optimize`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadMetrics {
    /// The window's end.
    pub at: Timestamp,
    /// How long the window is.
    pub window: Duration,
    /// Requests that came.
    pub arrivals: u64,
    /// Requests that were answered well.
    pub completed: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were refused.
    pub shed: u64,
    /// Requests in progress.
    pub in_progress: usize,
    /// Requests that wait.
    pub queued: usize,
    /// Half of the answers took at most this.
    pub latency_p50: Duration,
    /// All but one in a hundred took at most this.
    pub latency_p99: Duration,
}

/// What [`LoadManager::optimize`] changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadChange {
    /// How many requests could be in progress before.
    pub limit_from: usize,
    /// How many can be now.
    pub limit_to: usize,
    /// Which share of arrivals is refused for now.
    pub shed: Ratio,
    /// Why.
    pub reason: Reason,
}

/// How load has developed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadTrend {
    /// What was measured.
    pub history: UsageHistory,
    /// What the backends can serve, in the unit of the history.
    pub capacity: f64,
}

/// Where load is heading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadForecast {
    /// The distribution at each horizon.
    pub forecast: ResourceForecast,
    /// Slope of the present trend, in the unit of the history per second.
    pub slope: f64,
    /// When the median reaches capacity; none where it does not within the horizons.
    pub saturated_in: Option<Duration>,
    /// What is already wrong or about to be.
    pub alerts: Vec<Alert>,
}
