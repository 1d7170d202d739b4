//! What a managed cache is told when it is built.

use std::time::Duration;

use plimsoll_core_types::{CachePolicy, Ratio};
use serde::{Deserialize, Serialize};

use crate::engine::{self, EngineKind};

/// How a [`ManagedCache`](crate::ManagedCache) starts, and how far its optimizer may go.
///
/// ```
/// use plimsoll_cache::CacheConfig;
/// let config = CacheConfig { min_capacity: 1_000, ..CacheConfig::new(10_000) };
/// assert_eq!(config.max_capacity, 10_000);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    /// What all entries together may weigh at first; default 10,000.
    pub capacity: u64,
    /// The least that the optimizer may go down to; default 10,000.
    pub min_capacity: u64,
    /// The most that it may go up to; default 10,000.
    pub max_capacity: u64,
    /// What capacity and weights count; default entries.
    pub unit: CapacityUnit,
    /// What holds the entries; default [`EngineKind::Moka`].
    pub engine: EngineKind,
    /// The policy at first; default [`CachePolicy::TinyLfu`].
    pub policy: CachePolicy,
    /// How long an entry lives after it was written; default for ever.
    pub time_to_live: Option<Duration>,
    /// How much better another setting's hit ratio must be before the optimizer proposes it, and
    /// how much of it may be given up for a smaller capacity; default 0.005 (half a point).
    pub min_gain: Ratio,
    /// What a miss costs on average; default 1 ms. What caches that share a budget weigh against
    /// each other.
    pub miss_cost: Duration,
    /// How many entries a simulated miniature of the cache should have; default 512. More ranks
    /// settings more exactly, and costs time and memory in proportion.
    pub miniature: u32,
    /// How many sampled accesses are remembered, 16 bytes each; default 65,536.
    pub history: u32,
}

/// What the capacity and the weights of a cache count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapacityUnit {
    /// Entries, or whatever the weigher makes of them.
    #[default]
    Entries,
    /// Bytes of memory.
    Bytes,
}

impl CacheConfig {
    /// A cache of fixed `capacity`, with the defaults otherwise.
    pub fn new(capacity: u64) -> Self {
        Self {
            capacity,
            min_capacity: capacity,
            max_capacity: capacity,
            unit: CapacityUnit::Entries,
            engine: EngineKind::Moka,
            policy: CachePolicy::TinyLfu,
            time_to_live: None,
            min_gain: Ratio::saturating(0.005),
            miss_cost: Duration::from_millis(1),
            miniature: 512,
            history: 1 << 16,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of range, with what it may be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let field = |field, given: u64, least: u64, most: u64| {
            if given < least || given > most {
                return Err(ConfigError::OutOfRange { field, given, least, most });
            }
            Ok(())
        };
        field("min_capacity", self.min_capacity, 1, MOST_CAPACITY)?;
        field("max_capacity", self.max_capacity, self.min_capacity, MOST_CAPACITY)?;
        field("capacity", self.capacity, self.min_capacity, self.max_capacity)?;
        field("miniature", u64::from(self.miniature), 64, 1 << 20)?;
        field("history", u64::from(self.history), 1 << 10, 1 << 24)?;
        if self.time_to_live.is_some_and(|ttl| ttl.is_zero()) {
            return Err(ConfigError::NoTimeToLive);
        }
        if self.min_gain.get() > 1.0 {
            return Err(ConfigError::Gain { given: self.min_gain });
        }
        if !self.engine.policies().contains(&self.policy) {
            let allowed = engine::names(self.engine.policies());
            return Err(ConfigError::Policy { given: self.policy, allowed });
        }
        Ok(())
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self::new(10_000)
    }
}

/// An eighth of what can be counted, so that sums of a few capacities never overflow.
const MOST_CAPACITY: u64 = u64::MAX >> 3;

/// Why a cache can't be built so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is out of range.
    #[error("{field} is {given}; it must be {least} to {most}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What was given.
        given: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// Entries that live for no time at all.
    #[error("time_to_live is 0; leave it out for entries that live for ever")]
    NoTimeToLive,
    /// A gain that no setting could have.
    #[error("min_gain is {given}; it must be 0% to 100%")]
    Gain {
        /// What was given.
        given: Ratio,
    },
    /// The engine below has no such policy.
    #[error("policy is {given}; this engine has {allowed}")]
    Policy {
        /// What was given.
        given: CachePolicy,
        /// What there is, separated by commas.
        allowed: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_field_and_what_is_allowed() {
        let check = |config: CacheConfig, expected: &str| {
            assert_eq!(config.validate().unwrap_err().to_string(), expected);
        };
        let base = CacheConfig::new(100);
        assert_eq!(base.validate(), Ok(()));
        check(
            CacheConfig { capacity: 101, ..base.clone() },
            "capacity is 101; it must be 100 to 100",
        );
        check(
            CacheConfig { min_capacity: 0, ..base.clone() },
            "min_capacity is 0; it must be 1 to 2305843009213693951",
        );
        check(
            CacheConfig { policy: CachePolicy::Sieve, ..base.clone() },
            "policy is sieve; this engine has lru, tiny-lfu",
        );
        check(
            CacheConfig { time_to_live: Some(Duration::ZERO), ..base },
            "time_to_live is 0; leave it out for entries that live for ever",
        );
    }
}
