//! Where use is heading, how tight it is, and when it runs out.

mod pressure;
mod trend;

pub use pressure::{PressureConfig, PressureConfigError, PressureGauge, Signals};
pub use trend::{Trend, outlook};
