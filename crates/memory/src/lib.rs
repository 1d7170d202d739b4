//! What a host's memory truly is, budgets that hold, reclaim hooks, learned footprints.

mod config;
pub mod footprint;
mod forecast;
mod host;
pub mod process;
mod service;
pub mod track;

pub use config::{MemoryConfig, MemoryConfigError};
pub use forecast::{PressureConfig, PressureConfigError, PressureGauge, Signals, Trend, outlook};
pub use host::{Bound, HostDetail, HostMemory, PortableMemory};
pub use service::MemoryService;
