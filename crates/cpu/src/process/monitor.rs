//! Many processes at once.

use std::collections::BTreeMap;

use plimsoll_core_types::{ConsumerId, Ratio, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ProcessCpu, ProcessCpuUsage, ProcessError};
use crate::host::{Effective, HostCpu, HostSignals};

/// Watches processes, and the host that they run on.
#[derive(Debug)]
pub struct Monitor {
    most: usize,
    processes: BTreeMap<u32, Watched>,
}

#[derive(Debug)]
struct Watched {
    consumer: ConsumerId,
    process: ProcessCpu,
}

/// What a [`Monitor`] saw at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MonitorReading {
    /// When.
    pub at: Timestamp,
    /// How many cores there are to count on.
    pub effective: Effective,
    /// How busy they are.
    pub signals: HostSignals,
    /// Every process that is watched, by number.
    pub processes: Vec<ProcessReading>,
    /// Those that have ended since the last time, and are watched no more.
    pub ended: Vec<(ConsumerId, u32)>,
}

/// What one process used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessReading {
    /// Whose it is.
    pub consumer: ConsumerId,
    /// Its number.
    pub pid: u32,
    /// What it has used.
    pub usage: ProcessCpuUsage,
    /// What it used since the last time, as a part of the effective cores.
    pub share: Ratio,
}

/// Why a process can't be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// There are as many as there may be.
    #[error("{most} processes are watched already, as many as may be")]
    TooMany {
        /// How many may be.
        most: usize,
    },
    /// It can't be measured.
    #[error(transparent)]
    Process(ProcessError),
}

impl Monitor {
    /// A monitor of at most `most` processes. Each keeps two descriptors open, and one more for
    /// each of its first 128 threads where it has several.
    pub const fn new(most: usize) -> Self {
        Self { most, processes: BTreeMap::new() }
    }

    /// Watches process `pid` on behalf of `consumer`, in place of whatever was watched under that
    /// number.
    ///
    /// # Errors
    ///
    /// When it can't be measured, or there are too many.
    pub fn watch(&mut self, consumer: ConsumerId, pid: u32) -> Result<(), WatchError> {
        if self.processes.len() >= self.most && !self.processes.contains_key(&pid) {
            return Err(WatchError::TooMany { most: self.most });
        }
        let process = ProcessCpu::open(pid).map_err(WatchError::Process)?;
        self.processes.insert(pid, Watched { consumer, process });
        Ok(())
    }

    /// Watches process `pid` no more.
    pub fn unwatch(&mut self, pid: u32) {
        self.processes.remove(&pid);
    }

    /// Looks at all of them.
    pub fn tick(&mut self, host: &HostCpu, now: Timestamp) -> MonitorReading {
        let (effective, signals) = (host.effective(now), host.signals(now));
        let mut processes = Vec::with_capacity(self.processes.len());
        let mut ended = Vec::new();
        self.processes.retain(|pid, watched| {
            let Ok(usage) = watched.process.sample(now) else {
                ended.push((watched.consumer.clone(), *pid));
                return false;
            };
            let share = usage.used.share_of(effective.cores);
            processes.push(ProcessReading {
                consumer: watched.consumer.clone(),
                pid: *pid,
                usage,
                share,
            });
            true
        });
        MonitorReading { at: now, effective, signals, processes, ended }
    }
}
