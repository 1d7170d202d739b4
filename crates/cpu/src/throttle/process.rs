//! Holding a child process to a quota by the strongest means that the host allows.

use plimsoll_core_types::{Millicores, Timestamp};

use super::duty::Duty;
use crate::apply::{Applied, ApplyError, CpuGroup, Means, affinity, set_affinity};
use crate::host::CpuList;
use crate::os::{self, ProcessHandle};
use crate::process::ProcessCpu;

/// Which means may be used. Every value is a valid one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessThrottleConfig {
    /// Names the cgroup that is made for the process. Default `throttled`, to which its number is
    /// added.
    pub name: String,
    /// The means, the first that works is used. Default quota, signals, affinity, nice.
    ///
    /// A process that is stopped by signals answers nobody for up to 50 ms; leave signals out where
    /// that must not be.
    pub means: Vec<Means>,
}

impl Default for ProcessThrottleConfig {
    fn default() -> Self {
        let means = vec![Means::Quota, Means::Signals, Means::Affinity, Means::Nice];
        Self { name: "throttled".to_owned(), means }
    }
}

/// A process that is held to a quota until this is dropped.
///
/// | means | holds it | needs |
/// |---|---|---|
/// | quota | exactly, by the kernel | a cgroup that may be written |
/// | signals | within a few percent, while [`tick`](Self::tick) is called | the same user |
/// | affinity | to whole cores, rounded up | the same user |
/// | nice | only against whoever wants the same core | the same user; not undone without privilege |
///
/// Dropped, it lets the process go on as it was.
#[derive(Debug)]
pub struct ProcessThrottle {
    pid: u32,
    quota: Millicores,
    hold: Hold,
    applied: Applied,
}

#[derive(Debug)]
enum Hold {
    Quota(CpuGroup),
    Signals(Box<Signalled>),
    Affinity { before: CpuList },
    Nice { before: i32 },
}

#[derive(Debug)]
struct Signalled {
    process: ProcessHandle,
    usage: ProcessCpu,
    duty: Duty,
    is_stopped: bool,
}

impl Drop for Signalled {
    fn drop(&mut self) {
        if self.is_stopped {
            // A process that is gone needs nothing any more; of a refusal nobody is left to tell.
            let _ = self.process.stop(false);
        }
    }
}

/// How much weaker a throttled process is where nothing but its priority can be changed.
const NICE: i32 = 19;

impl ProcessThrottle {
    /// Holds process `pid` to `quota`.
    ///
    /// # Errors
    ///
    /// When none of the means works: each one's reason is in what is given back.
    pub fn new(
        pid: u32,
        quota: Millicores,
        config: &ProcessThrottleConfig,
    ) -> Result<Self, Applied> {
        let mut applied = Applied::default();
        for means in &config.means {
            let result = match means {
                Means::Quota => hold_by_quota(pid, quota, &config.name),
                Means::Signals => hold_by_signals(pid, quota),
                Means::Affinity => hold_by_affinity(pid, quota),
                Means::Nice => hold_by_nice(pid),
            };
            let tell = |_: &Hold| format!("{quota} for process {pid}");
            if let Some(hold) = applied.note(*means, result, tell) {
                return Ok(Self { pid, quota, hold, applied });
            }
        }
        Err(applied)
    }

    /// By which means it is held.
    pub const fn means(&self) -> Means {
        match self.hold {
            Hold::Quota(_) => Means::Quota,
            Hold::Signals(_) => Means::Signals,
            Hold::Affinity { .. } => Means::Affinity,
            Hold::Nice { .. } => Means::Nice,
        }
    }

    /// What was tried, and what came of it.
    pub const fn applied(&self) -> &Applied {
        &self.applied
    }

    /// To how much it is held.
    pub const fn quota(&self) -> Millicores {
        self.quota
    }

    /// Holds it to another quota, by the same means.
    ///
    /// # Errors
    ///
    /// When that does not work any more; the old quota stays.
    pub fn set_quota(&mut self, quota: Millicores) -> Result<(), ApplyError> {
        match &mut self.hold {
            Hold::Quota(group) => group.set_quota(Some(quota))?,
            Hold::Signals(signalled) => signalled.duty.set_quota(quota),
            Hold::Affinity { before } => {
                set_affinity(self.pid, &whole_cores(before, quota))?;
            }
            Hold::Nice { .. } => {}
        }
        self.quota = quota;
        Ok(())
    }

    /// Stops the process or lets it go on, where it is held by signals, and says when to call this
    /// again: 2 to 50 ms later. By all other means there is nothing to do, and none is given back.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn tick(&mut self, now: Timestamp) -> Result<Option<Timestamp>, ApplyError> {
        let Hold::Signals(signalled) = &mut self.hold else { return Ok(None) };
        let Signalled { process, usage, duty, is_stopped } = &mut **signalled;
        let gone = ApplyError::Gone { pid: self.pid };
        let Ok(usage) = usage.sample(now) else { return Err(gone) };
        let slice = duty.look(now, usage.cpu);
        if slice.may_run == *is_stopped {
            process.stop(!slice.may_run).map_err(|cause| ApplyError::Refused {
                step: format!("sending a signal to process {}", self.pid),
                cause,
            })?;
            *is_stopped = !slice.may_run;
        }
        Ok(Some(slice.until))
    }
}

impl Drop for ProcessThrottle {
    fn drop(&mut self) {
        match &self.hold {
            // The group moves the process back, and what signals it lets it go on.
            Hold::Quota(_) | Hold::Signals(_) => {}
            Hold::Affinity { before } => {
                let _ = set_affinity(self.pid, before);
            }
            Hold::Nice { before } => {
                let _ = os::set_nice(self.pid, *before);
            }
        }
    }
}

fn hold_by_quota(pid: u32, quota: Millicores, name: &str) -> Result<Hold, ApplyError> {
    let group = CpuGroup::create(&format!("{name}-{pid}"))?;
    group.add(pid)?;
    group.set_quota(Some(quota))?;
    Ok(Hold::Quota(group))
}

fn hold_by_signals(pid: u32, quota: Millicores) -> Result<Hold, ApplyError> {
    let gone = |_| ApplyError::Gone { pid };
    let usage = ProcessCpu::open(pid).map_err(gone)?;
    let process = ProcessHandle::open(pid)
        .map_err(|cause| ApplyError::Refused { step: format!("opening process {pid}"), cause })?;
    // The handle is of the process that is measured: one opened after the other, and both alive.
    usage.sample(Timestamp::ZERO).map_err(gone)?;
    process.may_signal().map_err(|cause| ApplyError::Refused {
        step: format!("sending a signal to process {pid}"),
        cause,
    })?;
    let duty = Duty::new(quota);
    Ok(Hold::Signals(Box::new(Signalled { process, usage, duty, is_stopped: false })))
}

fn hold_by_affinity(pid: u32, quota: Millicores) -> Result<Hold, ApplyError> {
    let before = affinity(pid)?;
    set_affinity(pid, &whole_cores(&before, quota))?;
    Ok(Hold::Affinity { before })
}

fn hold_by_nice(pid: u32) -> Result<Hold, ApplyError> {
    let refused = |cause| ApplyError::Refused {
        step: format!("changing the priority of process {pid}"),
        cause,
    };
    let before = os::nice(pid).map_err(refused)?;
    os::set_nice(pid, NICE).map_err(refused)?;
    Ok(Hold::Nice { before })
}

/// As many of `cpus` as `quota` needs; the last ones, because the first have most interrupts.
fn whole_cores(cpus: &CpuList, quota: Millicores) -> CpuList {
    let wanted = quota.get().div_ceil(1000).max(1).min(u64::from(cpus.len())) as usize;
    cpus.iter().skip(cpus.len() as usize - wanted).collect()
}
