//! Reads a process where there is no `/proc`: CPU time alone, in milliseconds, through `sysinfo`.

use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::{ContextSwitches, Counted, ProcessError};

pub(super) struct Reader {
    pid: u32,
    system: System,
    /// When it began, in seconds since 1970: another with its number began later.
    began: Option<u64>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn open(pid: u32) -> Result<Self, ProcessError> {
        let cause = |error: sysinfo::Error| std::io::Error::other(error.to_string());
        let system = System::new().map_err(|error| ProcessError::Read {
            pid,
            file: "process table",
            cause: cause(error),
        })?;
        let mut reader = Self { pid, system, began: None };
        reader.read()?;
        Ok(reader)
    }

    pub(super) fn read(&mut self) -> Result<Counted, ProcessError> {
        let gone = ProcessError::Gone { pid: self.pid };
        let pid = Pid::from_u32(self.pid);
        let what = ProcessRefreshKind::nothing().with_cpu();
        self.system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
        let Some(process) = self.system.process(pid) else { return Err(gone) };
        let began = process.start_time();
        if *self.began.get_or_insert(began) != began {
            return Err(gone);
        }
        let cpu = Duration::from_millis(process.accumulated_cpu_time());
        Ok(Counted { cpu, threads: 1, ..Counted::default() })
    }

    pub(super) fn context_switches(&mut self) -> Result<ContextSwitches, ProcessError> {
        let cause = std::io::ErrorKind::Unsupported.into();
        Err(ProcessError::Read { pid: self.pid, file: "context switches", cause })
    }
}
