#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! | you have | begin at |
//! |---|---|
//! | a cache of your own, and the question what to change | [`Tap`] and [`advise`] |
//! | the wish for a cache that looks after itself | [`ManagedCache`] |
//! | a hot path, or capacities that must hold to the entry | [`ExactCache`] |
//! | several caches and one budget | [`budget::SharedBudget`], [`budget::divide`] |
//! | models that do not all fit | [`residency::choose_victims`] |
//! | a record of keys | [`replay`], [`mrc`] for the miss-ratio curve alone |
//! | an eviction policy to compare | [`policy`], [`adapt`] for the choice among them |
//!
//! # How a change is made
//!
//! 1. **Look.** [`Tap::record`] hashes the key and compares; accesses to keys below a threshold, which
//!    follows how many keys there are, are remembered in a lane for each thread.
//! 2. **Analyze.** `analyze` replays them through [`policy`]'s exact models at a grid of capacities,
//!    scaled down with the sample (SHARDS, mini-simulation), and answers with a strategy and its
//!    reason.
//! 3. **Implement.** The entries move to the new setting while the cache serves: in place where the
//!    engine can, else by copy, each entry in one place at all times.
//! 4. **Validate.** A model of the old setting runs on beside the new one over the same requests. A
//!    change that turns out worse is taken back.

pub mod adapt;
mod advice;
pub mod budget;
mod config;
mod engine;
mod exact;
mod flight;
mod hash;
mod managed;
mod mini;
pub mod mrc;
mod phase;
pub mod policy;
mod prefetch;
pub mod replay;
pub mod residency;
mod stats;
mod store;
mod tap;
mod times;

pub use advice::{Advice, Setting, advise};
pub use config::{CacheConfig, CapacityUnit, ConfigError};
pub use engine::EngineKind;
pub use exact::{ExactCache, NoSuchPolicy};
pub use managed::{Elsewhere, Insight, ManagedCache};
pub use phase::PhaseChange;
pub use stats::Statistics;
pub use tap::Tap;
pub use times::Durations;
