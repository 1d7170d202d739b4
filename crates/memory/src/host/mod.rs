//! What the host has, and what is used of it by everybody.

#[cfg(target_os = "linux")]
pub(crate) mod linux;
mod portable;

#[cfg(target_os = "linux")]
use std::path::Path;

#[cfg(target_os = "linux")]
use parking_lot::Mutex;
use plimsoll_core_types::{
    Bytes, CapacityProbe, ProbeError, ProbeNote, ProbeReading, Ratio, ResourceVector, Timestamp,
};
use serde::{Deserialize, Serialize};

pub use portable::PortableMemory;

/// The memory of this host, within every limit that this process is under.
///
/// **Capacity** is the least of the host's own total and the limit of each control group that this
/// process is in, up to the root. **Used** is what is not free of it, where free is the least that
/// is left under any of these bounds: the host may be full of other programs long before a group
/// is. Page cache is not used, and neither are slabs that the kernel can drop; shared memory is.
///
/// Linux tells the rest of this by its own files, whose descriptors are kept; other systems by
/// [`PortableMemory`], which also stands in where `/proc/meminfo` can't be read. What could not be
/// read, and what stood in for it, is in the notes of each reading.
///
/// One sample at rest takes some ten microseconds on Linux, so that it may be called at 100 Hz.
///
/// ```
/// use plimsoll_core_types::{CapacityProbe, Timestamp};
/// use plimsoll_memory::HostMemory;
///
/// let host = HostMemory::system();
/// let reading = host.sample(Timestamp::ZERO)?;
/// assert!(reading.used.memory() <= reading.capacity.memory());
/// # Ok::<(), plimsoll_core_types::ProbeError>(())
/// ```
#[derive(Debug)]
pub struct HostMemory {
    #[cfg(target_os = "linux")]
    kernel: Mutex<linux::Kernel>,
    portable: Option<PortableMemory>,
}

/// One thing that bounds memory: a control group with a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Which, as a path.
    pub source: String,
    /// What it may have at most.
    pub limit: Bytes,
    /// What is charged to it, without page cache.
    pub used: Bytes,
    /// What is charged to it and the kernel can drop.
    pub page_cache: Bytes,
}

/// Everything that bounds the host's memory, whether it binds or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostDetail {
    /// When.
    pub at: Timestamp,
    /// What the host has.
    pub total: Bytes,
    /// What could be had of it without swapping.
    pub available: Bytes,
    /// Each control group of this process that has a limit below the host's total, its own first.
    pub bounds: Vec<Bound>,
    /// Share of the last ten seconds in which somebody waited for memory; none where unknown.
    pub pressure: Option<Ratio>,
    /// What could not be read, and what stood in.
    pub notes: Vec<ProbeNote>,
}

impl HostDetail {
    /// The least of the host's total and every limit.
    pub fn capacity(&self) -> Bytes {
        self.bounds.iter().map(|bound| bound.limit).fold(self.total, Bytes::min)
    }

    /// The least that is left under any bound.
    pub fn free(&self) -> Bytes {
        let left = |bound: &Bound| bound.limit.saturating_sub(bound.used);
        self.bounds.iter().map(left).fold(self.available, Bytes::min).min(self.capacity())
    }

    /// What is used by programs other than those that were measured to use `ours`.
    ///
    /// Measure one's own by [`exact`](crate::process::ProcessMemory::exact), whose proportional
    /// figures add up: what two processes share counts once.
    pub fn others(&self, ours: Bytes) -> Bytes {
        self.capacity().saturating_sub(self.free()).saturating_sub(ours)
    }
}

/// What a probe of host memory comes down to.
#[derive(Debug)]
struct Figures {
    capacity: Bytes,
    free: Bytes,
    pressure: Option<Ratio>,
    notes: Vec<ProbeNote>,
}

impl Figures {
    fn reading(self, now: Timestamp) -> ProbeReading {
        let used = self.capacity.saturating_sub(self.free);
        ProbeReading {
            at: now,
            capacity: ResourceVector::new().with_memory(self.capacity),
            used: ResourceVector::new().with_memory(used),
            pressure: self.pressure,
            notes: self.notes,
        }
    }
}

impl HostMemory {
    /// The memory of this host. Never fails: what can't be read is told by each sample.
    pub fn system() -> Self {
        Self {
            #[cfg(target_os = "linux")]
            kernel: Mutex::new(linux::Kernel::new(Path::new("/"))),
            portable: Some(PortableMemory::system()),
        }
    }

    /// The memory of the host whose `proc` and `sys` are below `root`, as a recorded tree or
    /// another host's mount has them. Nothing stands in for files that are missing there.
    #[cfg(target_os = "linux")]
    pub fn at(root: &Path) -> Self {
        Self { kernel: Mutex::new(linux::Kernel::new(root)), portable: None }
    }

    /// Everything that bounds it, at the cost of reading it all.
    ///
    /// # Errors
    ///
    /// When the host's total can't be read.
    pub fn detail(&self, now: Timestamp) -> Result<HostDetail, ProbeError> {
        #[cfg(target_os = "linux")]
        {
            let detail = self.kernel.lock().detail(now);
            if detail.is_ok() || self.portable.is_none() {
                return detail;
            }
        }
        let figures = self.stand_in()?;
        let (total, available) = (figures.capacity, figures.free);
        let (pressure, notes) = (figures.pressure, figures.notes);
        Ok(HostDetail { at: now, total, available, bounds: Vec::new(), pressure, notes })
    }

    #[cfg(target_os = "linux")]
    fn figures(&self, now: Timestamp) -> Result<Figures, ProbeError> {
        let error = match self.kernel.lock().figures(now) {
            Ok(figures) => return Ok(figures),
            Err(error) => error,
        };
        if self.portable.is_none() {
            return Err(error);
        }
        let mut figures = self.stand_in()?;
        let problem = format!("{}; sysinfo stands in", error.problem);
        figures.notes.push(ProbeNote { source: error.from, problem });
        Ok(figures)
    }

    #[cfg(not(target_os = "linux"))]
    fn figures(&self, _: Timestamp) -> Result<Figures, ProbeError> {
        self.stand_in()
    }

    fn stand_in(&self) -> Result<Figures, ProbeError> {
        let none = || ProbeError {
            probe: "memory",
            from: "sysinfo".to_owned(),
            problem: "it does not stand in for another host's files".to_owned(),
        };
        self.portable.as_ref().ok_or_else(none)?.figures()
    }
}

impl CapacityProbe for HostMemory {
    fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
        Ok(self.figures(now)?.reading(now))
    }
}
