//! A cache optimizer: miss-ratio curves, mini-simulation, live migration, validation.

pub mod adapt;
mod advice;
mod config;
mod engine;
mod flight;
mod hash;
mod managed;
mod mini;
pub mod policy;
pub mod replay;
pub mod residency;
mod stats;
mod store;
mod tap;

pub use config::{CacheConfig, CapacityUnit, ConfigError};
pub use managed::ManagedCache;
pub use stats::Statistics;
