#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! | you have | begin at |
//! |---|---|
//! | one series | [`Forecaster`] |
//! | one series, and the question how much to provide | [`Forecaster::recommend`], or [`Sizer`], which learns from what was lost |
//! | models that are asked for now and then | [`Prewarmer`], [`demand`] |
//! | many series that share a pool | [`PoolForecaster`] |
//! | a control loop | [`Predictor`], behind [`ResourcePredictor`](plimsoll_core_types::ResourcePredictor) |
//! | a file, and doubts | [`evaluate`]: every origin, beside naive forecasts |
//!
//! # What a sample goes through
//!
//! A gate decides whether it is a value, a gap or an outage. Each expert, and their mixture at each of
//! five horizons, is scored with what it said of this moment; weights, the correction of each tail and
//! the test for drift follow from that. Only then do the experts learn it. Nothing allocates after the
//! forecaster was made, and its state has a fixed size, is versioned, and survives a restart as
//! [`SavedForecaster`].

#![expect(
    clippy::inline_always,
    reason = "an update is one function: what it is made of must not pass arrays through memory"
)]

#[cfg(feature = "augurs")]
pub mod batch;
pub mod demand;

mod check;
mod config;
mod drift;
mod error;
pub mod evaluate;
mod experts;
mod forecaster;
mod gate;
mod interval;
mod lanes;
mod mix;
mod node;
mod num;
mod pool;
mod predictor;
mod recommend;
mod score;
mod season;
mod sizing;
mod spread;
mod stack;

pub use config::{ForecasterConfig, SeasonSpec};
pub use error::ConfigError;
pub use forecaster::{Forecaster, STATE_VERSION, SavedForecaster, Skill, StateError};
pub use gate::Intake;
pub use pool::PoolForecaster;
pub use predictor::{Predictor, PredictorConfig};
pub use recommend::{Advice, Cost, Declined};
pub use sizing::{Backtest, Gain, Prewarm, PrewarmCost, Prewarmer, Sizer, Sizing, SizingConfig};
