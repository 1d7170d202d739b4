#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! | you have | begin at |
//! |---|---|
//! | the parts of a system, as trait objects | [`Optimizer`], whose `integrate` says what is missing or contradicts itself |
//! | a loop of your own | [`Planner`]: a [`SystemSnapshot`](plimsoll_core_types::SystemSnapshot) in, actions out |
//! | calls that may fail | [`resilience::Guard`], or its parts |
//! | metrics to name | [`telemetry`] |
//!
//! The crate composes, and holds no algorithm that belongs to a room below: which models give way
//! is [`plimsoll_cache::residency`]'s choice, how probably a model is needed is
//! [`plimsoll_predict::demand`]'s.

mod alerts;
mod config;
mod cooldown;
mod fade;
mod invariants;
mod metrics;
mod needs;
mod optimizer;
mod per_model;
mod plan;
#[cfg(feature = "prometheus")]
mod prometheus;
pub mod resilience;
mod sight;
mod sum;
mod sync;
pub mod telemetry;
mod verdicts;

pub use config::{ConfigError, Degrading, OptimizerConfig, PlanConfig, Scaling, Shedding};
pub use invariants::{check_pool, pool_holds};
pub use optimizer::Optimizer;
pub use plan::Planner;
#[cfg(feature = "prometheus")]
pub use prometheus::{Exporter, ExporterError};
pub use verdicts::{Judged, Verdicts};

/// The README's example is compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
