//! One process by `sysinfo`, which tells what is resident and no kinds.

use parking_lot::Mutex;
use plimsoll_core_types::Bytes;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{ProcessError, ProcessShare, ProcessUsage, QuickUsage};

/// The memory of one process as `sysinfo` sees it, on every system that it supports. Kinds can't be told apart here: all of it counts as anonymous, which
/// errs towards believing that a process can't be made smaller.
#[derive(Debug)]
pub struct PortableProcess {
    pid: u32,
    started: u64,
    system: Mutex<System>,
}

impl PortableProcess {
    /// The memory of process `pid` of this host.
    ///
    /// # Errors
    ///
    /// When there is no such process, or the system can't be asked.
    pub fn open(pid: u32) -> Result<Self, ProcessError> {
        let system = System::new().map_err(|error| ProcessError::Unreadable {
            pid,
            file: "sysinfo",
            problem: error.to_string(),
        })?;
        let mut opened = Self { pid, started: 0, system: Mutex::new(system) };
        opened.started = opened.look()?.1;
        Ok(opened)
    }

    /// Which process.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// What it holds, all of it as anonymous.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn sample(&self) -> Result<ProcessUsage, ProcessError> {
        Ok(ProcessUsage { anonymous: self.resident()?, ..ProcessUsage::default() })
    }

    /// The same as [`sample`](Self::sample).
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn quick(&self) -> Result<QuickUsage, ProcessError> {
        Ok(QuickUsage { anonymous: self.resident()?, mapped: Bytes::ZERO })
    }

    /// The same as [`sample`](Self::sample): proportions are not told here.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn exact(&self) -> Result<ProcessShare, ProcessError> {
        let resident = self.resident()?;
        let private = resident;
        Ok(ProcessShare { anonymous: resident, private, resident, ..ProcessShare::default() })
    }

    fn resident(&self) -> Result<Bytes, ProcessError> {
        let (resident, started) = self.look()?;
        // The same number with another start is another process.
        if started == self.started {
            Ok(resident)
        } else {
            Err(ProcessError::Ended { pid: self.pid })
        }
    }

    fn look(&self) -> Result<(Bytes, u64), ProcessError> {
        let pid = Pid::from_u32(self.pid);
        let mut system = self.system.lock();
        let only = ProcessesToUpdate::Some(&[pid]);
        system.refresh_processes_specifics(only, true, ProcessRefreshKind::nothing().with_memory());
        let process = system.process(pid).ok_or(ProcessError::Ended { pid: self.pid })?;
        Ok((Bytes::new(process.memory()), process.start_time()))
    }
}
