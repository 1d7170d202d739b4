//! Effective cores, CPU usage, thread plans and throttles.

pub mod account;
pub mod balance;
mod config;
mod host;
mod kept;
mod os;
pub mod process;
mod service;
mod sync;
pub mod threads;
pub mod throttle;
mod usage;

pub use config::CpuConfig;
pub use host::*;
pub use service::{CpuService, CpuStatus};
pub use usage::ClassUsage;
