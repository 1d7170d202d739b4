//! How many cores there are for this process, how many are used, and how hard it is to get one.

mod config;
mod cpu_list;
mod effective;
mod groups;
mod hierarchy;
mod meter;
mod probe;
mod text;

pub use config::{HostConfig, HostConfigError};
pub use cpu_list::{CpuList, CpuListError, MOST_CPUS};
pub use effective::{Effective, LimitedBy};
pub use hierarchy::CgroupVersion;
pub use meter::HostSignals;
pub use probe::HostCpu;
