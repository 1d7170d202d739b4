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

use std::path::{Path, PathBuf};

pub(crate) use text::Quota;

/// The cgroup of this process that has the CPU controller.
pub(crate) fn own_cpu_group(root: &Path) -> Option<(CgroupVersion, PathBuf)> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let (cgroup, mountinfo) = (read("proc/self/cgroup")?, read("proc/self/mountinfo")?);
    let found =
        hierarchy::find("cpu", &cgroup, &mountinfo, root).filter(|found| !found.own_unseen)?;
    Some((found.version, found.groups.last()?.clone()))
}

/// The quota set on the group at `path`; `None` where it has no CPU controller.
pub(crate) fn quota_of_group(path: &Path) -> Option<Quota> {
    let read = |file: &str| std::fs::read_to_string(path.join(file));
    match read("cpu.max") {
        Ok(text) => text::quota_v2(&text),
        Err(_) => text::quota_v1(&read("cpu.cfs_quota_us").ok()?, &read("cpu.cfs_period_us").ok()?),
    }
}
