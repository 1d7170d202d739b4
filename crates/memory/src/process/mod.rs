//! What one process holds, told apart by who can take it back.
//!
//! Three looks, by their cost and what they are for:
//!
//! | | reads | costs about | tells |
//! |---|---|---|---|
//! | [`quick`](ProcessMemory::quick) | `statm` | 1 µs | anonymous, and everything else |
//! | [`sample`](ProcessMemory::sample) | `status` | 10 µs | anonymous, file, shared, swapped |
//! | [`exact`](ProcessMemory::exact) | `smaps_rollup` | 200 µs and more, by the number of maps | the same by proportion, so that sums over processes count nothing twice |
//!
//! Anonymous memory is what only the process can give back. A model file that is mapped is
//! `file`: the kernel drops its pages when it must. Memory that processes share (`shm_open`,
//! `memfd_create`, an anonymous shared map) is `shared`: without swap it stays as long as somebody
//! maps it.
//!
//! After a `fork` parent and child map the same anonymous pages until one of them writes, and each
//! one's `anonymous` counts them. [`total`] adds up proportions instead.

#[cfg(target_os = "linux")]
mod linux;
mod portable;
#[cfg(target_os = "linux")]
mod smaps;
#[cfg(target_os = "linux")]
mod status;

use plimsoll_core_types::Bytes;
use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
pub use linux::ProcessMemory;
pub use portable::PortableProcess;
/// The memory of one process. See [`PortableProcess`].
#[cfg(not(target_os = "linux"))]
pub type ProcessMemory = PortableProcess;

/// What a process holds, where anonymous memory alone is of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuickUsage {
    /// Backed by nothing but memory.
    pub anonymous: Bytes,
    /// Backed by files or shared with others.
    pub mapped: Bytes,
}

/// What a process holds, each page counted whole whoever else maps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUsage {
    /// Backed by nothing but memory: only the process can give it back.
    pub anonymous: Bytes,
    /// Pages of files, which the kernel can drop.
    pub file: Bytes,
    /// Shared memory: `shm`, `memfd`, anonymous shared maps, files on `tmpfs`.
    pub shared: Bytes,
    /// Anonymous memory that was swapped out.
    pub swapped: Bytes,
}

impl ProcessUsage {
    /// All of it that is in memory.
    pub fn resident(&self) -> Bytes {
        [self.anonymous, self.file, self.shared].into_iter().sum()
    }
}

/// What a process holds, each page divided by how many map it (proportional set size).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessShare {
    /// Its proportion of anonymous pages. Whole pages, except those shared since a `fork`.
    pub anonymous: Bytes,
    /// Its proportion of pages of files.
    pub file: Bytes,
    /// Its proportion of shared memory.
    pub shared: Bytes,
    /// Its proportion of what was swapped out.
    pub swapped: Bytes,
    /// Pages that nobody else maps: what its end would free or make droppable.
    pub private: Bytes,
    /// All its pages, each counted whole.
    pub resident: Bytes,
}

impl ProcessShare {
    /// Its proportion of what is in memory.
    pub fn proportional(&self) -> Bytes {
        [self.anonymous, self.file, self.shared].into_iter().sum()
    }

    /// Its proportion of what the kernel can't drop: anonymous and shared memory.
    pub fn unreclaimable(&self) -> Bytes {
        self.anonymous.saturating_add(self.shared)
    }
}

impl std::iter::Sum for ProcessShare {
    fn sum<I: Iterator<Item = Self>>(shares: I) -> Self {
        shares.fold(Self::default(), |sum, share| Self {
            anonymous: sum.anonymous.saturating_add(share.anonymous),
            file: sum.file.saturating_add(share.file),
            shared: sum.shared.saturating_add(share.shared),
            swapped: sum.swapped.saturating_add(share.swapped),
            private: sum.private.saturating_add(share.private),
            resident: sum.resident.saturating_add(share.resident),
        })
    }
}

/// What processes hold together, counting once what they share. Those that have ended hold
/// nothing.
///
/// # Errors
///
/// When one that runs can't be measured.
pub fn total<'a>(
    processes: impl IntoIterator<Item = &'a ProcessMemory>,
) -> Result<ProcessShare, ProcessError> {
    let running = processes.into_iter().filter_map(|process| match process.exact() {
        Err(ProcessError::Ended { .. }) => None,
        answer => Some(answer),
    });
    running.sum::<Result<ProcessShare, _>>()
}

/// Why a process can't be measured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It has ended, or there never was one.
    #[error("process {pid} has ended, or never was")]
    Ended {
        /// Which.
        pid: u32,
    },
    /// It runs as another user, or its files are hidden.
    #[error("process {pid}: {file} can't be read: {problem}")]
    Unreadable {
        /// Which.
        pid: u32,
        /// What was read.
        file: &'static str,
        /// What was wrong.
        problem: String,
    },
    /// A file does not hold what it should.
    #[error("process {pid}: {file} tells no {field}")]
    Malformed {
        /// Which.
        pid: u32,
        /// What was read.
        file: &'static str,
        /// What was looked for.
        field: &'static str,
    },
}
