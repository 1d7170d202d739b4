//! A cgroup of one's own making, which holds processes to a quota.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use plimsoll_core_types::Millicores;

use super::ApplyError;
use crate::host::{CgroupVersion, Quota, own_cpu_group, quota_of_group};
use crate::os;

/// The quota's period: short, so that a stopped engine waits no longer than a person notices.
const PERIOD_MICROS: u64 = 50_000;
/// The kernel's own bounds (`kernel/sched/core.c`): a quota is at least a millisecond, a period at
/// most a second.
const LEAST_QUOTA_MICROS: u64 = 1000;
const MOST_PERIOD_MICROS: u64 = 1_000_000;

/// A cgroup below this process's own, for processes that are to be held to a quota.
///
/// Dropped, it moves its processes back and goes away.
#[derive(Debug)]
pub struct CpuGroup {
    path: PathBuf,
    parent: PathBuf,
    version: CgroupVersion,
}

impl CpuGroup {
    /// Makes the group `plimsoll-NAME` below this process's own.
    ///
    /// # Errors
    ///
    /// When there are no cgroups with a CPU controller, or they may not be written: in most
    /// containers, and wherever nobody delegated them. In cgroup v2 a group that has processes of
    /// its own can't have limited ones below it, save the root.
    pub fn create(name: &str) -> Result<Self, ApplyError> {
        let (version, parent) = own_cpu_group(Path::new("/"))
            .ok_or(ApplyError::Unavailable { what: "a cgroup with a CPU controller" })?;
        Self::create_in(version, &parent, name)
    }

    /// Makes the group `plimsoll-NAME` in the folder `parent`, such as one that systemd delegated.
    ///
    /// # Errors
    ///
    /// When it can't be made there, or has no CPU controller.
    pub fn create_in(
        version: CgroupVersion,
        parent: &Path,
        name: &str,
    ) -> Result<Self, ApplyError> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
        let name: String = name.chars().take(64).map(plain).collect();
        let path = parent.join(format!("plimsoll-{name}"));
        if version == CgroupVersion::V2 {
            // Where it is on already, or may not be switched on, what follows tells.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+cpu");
        }
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(cause) => return Err(refused(format!("making {}", path.display()), cause)),
        }
        let group = Self { path, parent: parent.to_owned(), version };
        // Dropping the group on failure takes it away again.
        group.quota()?;
        Ok(group)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves process `pid`, with all its threads, into the group.
    ///
    /// # Errors
    ///
    /// When it is gone, or may not be moved.
    pub fn add(&self, pid: u32) -> Result<(), ApplyError> {
        self.write("cgroup.procs", &pid.to_string()).map_err(|error| match error {
            ApplyError::Refused { cause, .. } if os::is_no_such_process(&cause) => {
                ApplyError::Gone { pid }
            }
            other => other,
        })
    }

    /// Holds the group to `cores`, or to nothing, and reads back that it is so. A quota of less
    /// than a thousandth of a core becomes one.
    ///
    /// # Errors
    ///
    /// When it can't be written, or is not in force afterwards.
    pub fn set_quota(&self, cores: Option<Millicores>) -> Result<(), ApplyError> {
        let (quota, period) = cores.map_or((None, PERIOD_MICROS), |cores| {
            let (quota, period) = quota_of(cores);
            (Some(quota), period)
        });
        match self.version {
            CgroupVersion::V2 => {
                let quota = quota.map_or("max".to_owned(), |quota| quota.to_string());
                self.write("cpu.max", &format!("{quota} {period}"))?;
            }
            CgroupVersion::V1 => {
                // A smaller period under a larger quota would be refused: first without limit.
                self.write("cpu.cfs_quota_us", "-1")?;
                self.write("cpu.cfs_period_us", &period.to_string())?;
                if let Some(quota) = quota {
                    self.write("cpu.cfs_quota_us", &quota.to_string())?;
                }
            }
        }
        let found = self.quota()?;
        let wanted = quota.map(|quota| Millicores::new(quota * 1000 / period));
        if found == wanted {
            return Ok(());
        }
        let tell = |quota: Option<Millicores>| {
            quota.map_or("no quota".to_owned(), |quota| quota.to_string())
        };
        let (wanted, found) = (tell(wanted), tell(found));
        Err(ApplyError::NotInForce { what: "quota", wanted, found })
    }

    /// The quota that is in force.
    ///
    /// # Errors
    ///
    /// When the group has none to read: it has no CPU controller.
    pub fn quota(&self) -> Result<Option<Millicores>, ApplyError> {
        match quota_of_group(&self.path) {
            Some(Quota::Cores(cores)) => Ok(Some(cores)),
            Some(Quota::Unlimited) => Ok(None),
            None => Err(ApplyError::Unavailable { what: "a CPU controller in the group" }),
        }
    }

    fn write(&self, file: &str, text: &str) -> Result<(), ApplyError> {
        let path = self.path.join(file);
        let step = || format!("writing {text:?} to {}", path.display());
        fs::write(&path, text).map_err(|cause| refused(step(), cause))
    }
}

impl Drop for CpuGroup {
    fn drop(&mut self) {
        // Whoever is still in it goes back to where it came from; without that it can't go away.
        // Of a group that is gone or busy there is nothing left to do here.
        let processes = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines() {
            let _ = fs::write(self.parent.join("cgroup.procs"), process);
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// Quota and period, in microseconds, within the kernel's bounds.
fn quota_of(cores: Millicores) -> (u64, u64) {
    let millicores = cores.get().clamp(1, 1_000_000);
    // Whole milliseconds, so that the quota is whole microseconds.
    let needed = (LEAST_QUOTA_MICROS * 1000).div_ceil(millicores).next_multiple_of(1000);
    let period = PERIOD_MICROS.max(needed).min(MOST_PERIOD_MICROS);
    (millicores * period / 1000, period)
}

fn refused(step: String, cause: io::Error) -> ApplyError {
    ApplyError::Refused { step, cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_stay_within_the_kernels_bounds() {
        assert_eq!(quota_of(Millicores::from_cores(2)), (100_000, 50_000));
        assert_eq!(quota_of(Millicores::new(500)), (25_000, 50_000));
        assert_eq!(quota_of(Millicores::new(10)), (1000, 100_000));
        assert_eq!(quota_of(Millicores::new(1)), (1000, 1_000_000));
        assert_eq!(quota_of(Millicores::ZERO), (1000, 1_000_000));
        for millicores in 1..3000 {
            let (quota, period) = quota_of(Millicores::new(millicores));
            assert!(quota >= LEAST_QUOTA_MICROS && period <= MOST_PERIOD_MICROS);
            assert_eq!(quota * 1000 / period, millicores);
        }
    }
}
