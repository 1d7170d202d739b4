//! One process by the kernel's files.

use std::io;
use std::path::Path;
use std::sync::OnceLock;

use parking_lot::Mutex;

use super::{ProcessError, ProcessShare, ProcessUsage, QuickUsage, smaps, status};
use crate::host::linux::files::KeptFile;

/// The error of a read from the files of a process that has ended.
const NO_SUCH_PROCESS: i32 = 3;

/// The memory of one process, through descriptors that are opened once.
///
/// They stay with the process that was opened: when it ends and its number is used again, they
/// tell that it has ended, never what the other one holds.
///
/// ```
/// use plimsoll_memory::process::ProcessMemory;
///
/// let own = ProcessMemory::open(std::process::id())?;
/// let usage = own.sample()?;
/// assert!(!usage.anonymous.is_zero());
/// assert!(usage.resident() >= usage.anonymous);
/// # Ok::<(), plimsoll_memory::process::ProcessError>(())
/// ```
#[derive(Debug)]
pub struct ProcessMemory {
    pid: u32,
    page: u64,
    statm: KeptFile,
    status: KeptFile,
    /// Opened when it is first asked for: many processes never are.
    rollup: OnceLock<KeptFile>,
    dir: std::path::PathBuf,
    buffer: Mutex<Vec<u8>>,
}

impl ProcessMemory {
    /// The memory of process `pid` of this host.
    ///
    /// # Errors
    ///
    /// When there is no such process, or its files can't be read.
    pub fn open(pid: u32) -> Result<Self, ProcessError> {
        Self::open_at(Path::new("/"), pid)
    }

    /// The memory of process `pid` of the host whose `proc` is below `root`.
    ///
    /// # Errors
    ///
    /// When there is no such process, or its files can't be read.
    pub fn open_at(root: &Path, pid: u32) -> Result<Self, ProcessError> {
        let dir = root.join("proc").join(pid.to_string());
        let open = |name| KeptFile::open(dir.join(name)).map_err(|error| cause(pid, name, &error));
        let (statm, status) = (open("statm")?, open("status")?);
        let page = rustix::param::page_size() as u64;
        let (rollup, buffer) = (OnceLock::new(), Mutex::default());
        Ok(Self { pid, page, statm, status, rollup, dir, buffer })
    }

    /// Which process.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// What it holds, by kind.
    ///
    /// # Errors
    ///
    /// When it has ended, or its files can't be read.
    pub fn sample(&self) -> Result<ProcessUsage, ProcessError> {
        self.read(&self.status, "status", status::usage)
    }

    /// What it holds, at a tenth of the cost of [`sample`](Self::sample).
    ///
    /// # Errors
    ///
    /// When it has ended, or its files can't be read.
    pub fn quick(&self) -> Result<QuickUsage, ProcessError> {
        let page = self.page;
        self.read(&self.statm, "statm", |text| status::quick(text, page).ok_or("resident"))
    }

    /// What it holds by proportion, walking all its maps: for sums over processes.
    ///
    /// # Errors
    ///
    /// When it has ended, its files can't be read, or the kernel is older than 4.14.
    pub fn exact(&self) -> Result<ProcessShare, ProcessError> {
        const NAME: &str = "smaps_rollup";
        if self.rollup.get().is_none() {
            let file = KeptFile::open(self.dir.join(NAME));
            // Where two open it at once, one of the two is kept.
            let _ = self.rollup.set(file.map_err(|error| cause(self.pid, NAME, &error))?);
        }
        let ended = || ProcessError::Ended { pid: self.pid };
        let file = self.rollup.get().ok_or_else(ended)?;
        self.read(file, NAME, |text| {
            // A process that waits for its parent to take note of its end has no maps.
            if text.is_empty() { Err("") } else { smaps::share(text) }
        })
    }

    fn read<T>(
        &self,
        file: &KeptFile,
        name: &'static str,
        parse: impl FnOnce(&[u8]) -> Result<T, &'static str>,
    ) -> Result<T, ProcessError> {
        let mut buffer = self.buffer.lock();
        let text = file.read(&mut buffer).map_err(|error| cause(self.pid, name, &error))?;
        parse(text).map_err(|field| match field {
            "" => ProcessError::Ended { pid: self.pid },
            field => ProcessError::Malformed { pid: self.pid, file: name, field },
        })
    }
}

fn cause(pid: u32, file: &'static str, error: &io::Error) -> ProcessError {
    let gone =
        error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(NO_SUCH_PROCESS);
    if gone {
        return ProcessError::Ended { pid };
    }
    ProcessError::Unreadable { pid, file, problem: error.to_string() }
}
