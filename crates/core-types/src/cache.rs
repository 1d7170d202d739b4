//! The interface of whoever makes a cache better.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::history::UsagePattern;
use crate::id::CacheId;
use crate::reason::Reason;
use crate::units::{Bytes, Ratio};

/// Watches how a cache is used, and gives it the policy and size that serve that use best.
pub trait CacheOptimizer: Send + Sync + fmt::Debug {
    /// The best strategy for `pattern`; the present one where nothing beats it.
    fn analyze(&self, pattern: &UsagePattern) -> CacheStrategy;

    /// Puts `strategy` into force without losing warm entries.
    ///
    /// # Errors
    ///
    /// When this cache can't do what the strategy says. It is then as it was.
    fn implement(&self, strategy: CacheStrategy) -> Result<StrategyChange, StrategyError>;

    /// How well it does, with what, and why.
    fn monitor(&self) -> CacheMetrics;
}

/// Sampled accesses to a cache, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccessSample {
    /// Which share of all keys is in the sample, chosen by their hash; zero where nothing was
    /// sampled.
    pub rate: Ratio,
    /// The accesses, the oldest first.
    pub accesses: Vec<AccessRecord>,
}

/// One access to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRecord {
    /// A well-mixed hash of the key.
    pub key_hash: u64,
    /// What the entry weighs, in the cache's unit of capacity.
    pub weight: u32,
}

/// Which entries a cache gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CachePolicy {
    /// The least recently used.
    Lru,
    /// The least recently used, unless it has been used more often than the newcomer.
    ///
    /// Source: Einziger, Friedman, Manes, *`TinyLFU`* (ACM TOS 2017).
    TinyLfu,
    /// [`TinyLfu`](Self::TinyLfu) behind a window in which newcomers prove themselves.
    WindowTinyLfu,
    /// Three queues, two of them first in, first out.
    ///
    /// Source: Yang et al., *FIFO queues are all you need for cache eviction* (SOSP 2023).
    S3Fifo,
    /// One queue and a moving hand.
    ///
    /// Source: Zhang et al., *SIEVE is simpler than LRU* (NSDI 2024).
    Sieve,
    /// [`WindowTinyLfu`](Self::WindowTinyLfu) with a window of half the capacity.
    WideTinyLfu,
    /// Two LRU lists, of those seen once and those seen again, that trade room by what their
    /// ghosts are asked for.
    ///
    /// Source: Megiddo and Modha, *ARC* (FAST 2003).
    Arc,
    /// Those whose last two uses lie closest together.
    ///
    /// Source: Jiang and Zhang, *LIRS* (SIGMETRICS 2002).
    Lirs,
}

impl fmt::Display for CachePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Lru => "lru",
            Self::TinyLfu => "tiny-lfu",
            Self::WindowTinyLfu => "window-tiny-lfu",
            Self::S3Fifo => "s3-fifo",
            Self::Sieve => "sieve",
            Self::WideTinyLfu => "wide-tiny-lfu",
            Self::Arc => "arc",
            Self::Lirs => "lirs",
        })
    }
}

/// How a cache should be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheStrategy {
    /// For which cache.
    pub cache: CacheId,
    /// Which entries it gives up.
    pub policy: CachePolicy,
    /// How much it may hold, in its unit of capacity (bytes where its entries weigh bytes).
    pub capacity: u64,
    /// How long an entry lives; none is for ever.
    pub time_to_live: Option<Duration>,
    /// The hit ratio expected of it.
    pub expected: Ratio,
    /// The hit ratio expected of the present one, over the same accesses.
    pub current: Ratio,
    /// Why.
    pub reason: Reason,
}

/// What [`CacheOptimizer::implement`] did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StrategyChange {
    /// What was in force.
    pub from: CachePolicy,
    /// What is.
    pub to: CachePolicy,
    /// The capacity before.
    pub capacity_from: u64,
    /// The capacity now.
    pub capacity_to: u64,
    /// How many warm entries were carried over.
    pub kept: u64,
    /// How many were given up.
    pub dropped: u64,
}

/// Why a strategy can't be put into force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StrategyError {
    /// The strategy is for another cache.
    #[error("the strategy is for cache {given}, this is {own}")]
    OtherCache {
        /// The strategy's.
        given: CacheId,
        /// This one.
        own: CacheId,
    },
    /// The engine below has no such policy.
    #[error("policy {policy} is not of this engine; it has {allowed}")]
    Policy {
        /// What was asked for.
        policy: CachePolicy,
        /// What there is, separated by commas.
        allowed: String,
    },
    /// Out of the bounds that the cache's config sets.
    #[error("capacity {given} is out of bounds; it must be {least} to {most}")]
    Capacity {
        /// What was asked for.
        given: u64,
        /// The least.
        least: u64,
        /// The most.
        most: u64,
    },
    /// Another change is under way.
    #[error("another strategy is being put into force; try again when it is done")]
    Busy,
}

/// How well a cache does, with what, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CacheMetrics {
    /// Which cache.
    pub cache: CacheId,
    /// When.
    pub at: Timestamp,
    /// Look-ups that found their entry.
    pub hits: u64,
    /// Look-ups that did not.
    pub misses: u64,
    /// How many entries there are.
    pub entries: u64,
    /// What they weigh, in the cache's unit of capacity.
    pub weight: u64,
    /// How much it may hold.
    pub capacity: u64,
    /// Memory that it takes, where its entries weigh bytes.
    pub bytes: Option<Bytes>,
    /// Which entries it gives up.
    pub policy: CachePolicy,
    /// Why it does so.
    pub reason: Reason,
}

impl CacheMetrics {
    /// Hits ÷ look-ups; zero before the first.
    pub fn hit_ratio(&self) -> Ratio {
        let lookups = self.hits.saturating_add(self.misses);
        if lookups == 0 {
            return Ratio::ZERO;
        }
        Ratio::saturating(self.hits as f64 / lookups as f64)
    }
}
