//! The optimizer that closes the loop over pool, memory, CPU, cache, prediction and load.
//!
//! Each time round it takes a snapshot, makes a [plan](Planner) from it, applies the plan, and
//! judges what earlier plans were worth. [`Planner`] is pure: it takes a
//! [`SystemSnapshot`](plimsoll_core_types::SystemSnapshot), which carries its own moment, and
//! answers with actions and their reasons, so that the same decisions are made on a live machine
//! and in virtual time. [`Optimizer`] is the shell that measures, applies and records.
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
