//! The host's memory where there are no kernel files: by `sysinfo`.

use parking_lot::Mutex;
use plimsoll_core_types::{Bytes, CapacityProbe, ProbeError, ProbeNote, ProbeReading, Timestamp};
use sysinfo::{MemoryRefreshKind, System};

use super::Figures;

/// The host's memory as `sysinfo` sees it, on every system that it supports.
///
/// It knows no stalls, and of control groups only what `sysinfo` knows: the process's own, without
/// its ancestors. On Linux, [`HostMemory`](super::HostMemory) knows more at a fifth of the cost.
#[derive(Debug)]
pub struct PortableMemory {
    system: Mutex<Option<System>>,
}

impl PortableMemory {
    /// The memory of this host.
    pub fn system() -> Self {
        // Where the system can't be asked, each sample says so.
        Self { system: Mutex::new(System::new().ok()) }
    }

    pub(super) fn figures(&self) -> Result<Figures, ProbeError> {
        let failed = |problem: &str| ProbeError {
            probe: "memory",
            from: "sysinfo".to_owned(),
            problem: problem.to_owned(),
        };
        let mut system = self.system.lock();
        let system = system.as_mut().ok_or_else(|| failed("this system is not supported"))?;
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let total = Bytes::new(system.total_memory());
        if total.is_zero() {
            return Err(failed("it tells no total"));
        }
        let free = Bytes::new(system.available_memory()).min(total);
        let notes = vec![ProbeNote {
            source: "sysinfo".to_owned(),
            problem: "limits of control groups and stalls are not seen".to_owned(),
        }];
        Ok(Figures { capacity: total, free, pressure: None, notes })
    }
}

impl Default for PortableMemory {
    fn default() -> Self {
        Self::system()
    }
}

impl CapacityProbe for PortableMemory {
    fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
        Ok(self.figures()?.reading(now))
    }
}
