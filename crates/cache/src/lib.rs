//! A cache optimizer: miss-ratio curves, mini-simulation, live migration, validation.

pub mod adapt;
mod advice;
mod brief;
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
