//! Choosing the policy while the cache serves.
//!
//! Miniatures of every candidate (a panel) see the same sampled accesses; a selector compares
//! what they hit and says when to change, and when to change back. [`Adaptive`] puts both beside
//! an exact model of a cache, which is what replays run; a
//! [`ManagedCache`](crate::ManagedCache) puts them beside a real one.
//!
//! ```
//! use plimsoll_cache::adapt::{Adaptive, AdaptConfig};
//! use plimsoll_cache::policy::Policy;
//!
//! // Recency, then a loop that is larger than the cache: no fixed policy serves both.
//! let recent = (0..30_000_u64).map(|at| at / 3 + at % 3 * 5);
//! let around = (0..60_000_u64).map(|at| 1_000_000 + at % 1500);
//! let mut cache = Adaptive::new(&AdaptConfig::new(1000));
//! let hits = recent.chain(around).filter(|key| cache.access(*key, 1)).count();
//! assert!(hits > 45_000, "{hits}");
//! assert!(!cache.switches().is_empty());
//! ```

mod adaptive;
mod panel;
mod selector;

pub use adaptive::{AdaptConfig, Adaptive, Switch};

use plimsoll_core_types::CachePolicy;

/// The candidates where the engine can run any policy, the one to start with first.
///
/// Of all sets of six of the modelled policies this one came closest to the best of all thirteen
/// that were measured on each
/// trace and capacity. LIRS is first because it loses least where a
/// series is too short to learn from.
pub const CANDIDATES: [CachePolicy; 6] = [
    CachePolicy::S3Fifo,
    CachePolicy::Lirs,
    CachePolicy::WideTinyLfu,
    CachePolicy::WindowTinyLfu,
    CachePolicy::Arc,
    CachePolicy::Lru,
];
