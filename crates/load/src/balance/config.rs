//! How a balancer and its backends are set up.

use std::time::Duration;

use plimsoll_core_types::Ratio;
use serde::{Deserialize, Serialize};

/// A failure domain or place in the network; dispatches within one are cheaper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Zone(pub u16);

/// Who else sends to the same backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Nobody: every dispatch is known here, and goes to the exact minimum.
    #[default]
    Sole,
    /// Other balancers: what they have sent is known only from reports
    /// ([`Balancer::report`](crate::Balancer::report)), so a dispatch goes to one of the places
    /// that are nearly the best, or all balancers would go to the same one.
    Shared,
}

/// Where a request waits when every backend is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binding {
    /// At the backend that should be done with it first.
    #[default]
    Early,
    /// Here: a backend is never sent more than its slots, and a dispatch fails with
    /// [`DispatchError::Full`](crate::DispatchError::Full) when all are taken. For callers that
    /// hold the excess in an [`Admission`](crate::Admission).
    Late,
}

/// How a [`Balancer`](crate::Balancer) behaves. The defaults suit requests of milliseconds to
/// minutes; there are no weights between goals to tune.
///
/// Values out of range are taken as the nearest that is in range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BalancerConfig {
    /// How many backends there may be; 1 to 65536. Memory is taken for those there are. Default
    /// 1024.
    pub max_backends: usize,
    /// What a request of unknown size is taken to need before the first answer, on a backend of
    /// speed 1. Default 100 ms.
    pub typical: Duration,
    /// Who else sends to the same backends. Default: nobody.
    pub sharing: Sharing,
    /// Where requests wait when all backends are full. Default: at a backend.
    pub binding: Binding,
    /// Where this balancer is. Default: nowhere in particular.
    pub zone: Option<Zone>,
    /// What a dispatch to another zone costs. Default 1 ms.
    pub cross_zone: Duration,
    /// How long a backend that was added or has returned takes to reach its full speed; until
    /// then it is taken to be slower, at first ten times. Default 0: at once.
    pub slow_start: Duration,
    /// When backends are ejected.
    pub ejection: EjectionConfig,
    /// Seed of the choice among places that are nearly the best. Default 0.
    pub seed: u64,
}

impl Default for BalancerConfig {
    fn default() -> Self {
        Self {
            max_backends: 1024,
            typical: Duration::from_millis(100),
            sharing: Sharing::Sole,
            binding: Binding::Early,
            zone: None,
            cross_zone: Duration::from_millis(1),
            slow_start: Duration::ZERO,
            ejection: EjectionConfig::default(),
            seed: 0,
        }
    }
}

/// When a backend is taken out of rotation, and when it may come back.
///
/// It comes back by probes: when its time is over, `probes` dispatches at once go to it, whatever
/// its score. When one of them fails it is out again, for twice as long; when all have succeeded
/// it is back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EjectionConfig {
    /// Failures in a row that eject; 0 never ejects. Default 5.
    pub failures: u32,
    /// A backend that takes this many times as long for the same work as the median backend is
    /// ejected; 0 never ejects, and less than 2 is taken as 2. Default 10.
    pub slower_than_median: f64,
    /// The largest share of backends that is ever ejected at once, rounded down; one always
    /// stays. Default 50%.
    pub at_most: Ratio,
    /// How long the first ejection lasts; doubles each time, and falls back after as long without
    /// one. Default 1 s.
    pub first: Duration,
    /// How long an ejection lasts at most. Default 60 s.
    pub longest: Duration,
    /// How many dispatches probe a backend whose time is over; at least 1. Default 1.
    pub probes: u32,
}

impl Default for EjectionConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            slower_than_median: 10.0,
            at_most: Ratio::saturating(0.5),
            first: Duration::from_secs(1),
            longest: Duration::from_mins(1),
            probes: 1,
        }
    }
}

/// What is known of a backend when it is added.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendConfig {
    /// How many requests it can work on at once; at least 1. Default 1.
    pub slots: usize,
    /// How fast it is believed to be beside a backend of speed 1, until it is measured. Zero is
    /// taken as the slowest that can be written. Default 1.
    pub speed: Ratio,
    /// Where it is. Default: nowhere in particular, which is near everything.
    pub zone: Option<Zone>,
}

impl Default for BackendConfig {
    fn default() -> Self {
        Self { slots: 1, speed: Ratio::ONE, zone: None }
    }
}
