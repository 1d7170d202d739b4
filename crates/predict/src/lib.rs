//! Streaming forecasts with calibrated intervals, which know when they have no skill.

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
