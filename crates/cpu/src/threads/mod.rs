//! How many threads each engine should run.
//!
//! An engine's own default is a thread for each core that it sees, and every engine sees all of
//! them: two engines on two cores run four threads, which wait for each other at every barrier.
//! [`ThreadPlanner`] learns how much each engine gains by another thread ([`CurveFitter`]), and
//! divides the cores by that ([`divide()`]).

mod config;
mod curve;
mod divide;
mod fit;
mod plan;

pub use config::PlanConfig;
pub use curve::{Shape, SpeedCurve};
pub use divide::{Claim, divide};
pub use fit::{CurveFitter, Fit};
pub use plan::{EngineLimits, ThreadPlanner, Throughput};
