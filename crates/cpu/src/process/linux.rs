//! Reads a process by its CPU clock and kept descriptors.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::text::{self, Schedstat};
use super::{ContextSwitches, Counted, ProcessError};
use crate::kept::KeptFile;
use crate::os;

/// How many threads are followed by descriptors; the waits of the rest are taken to be like
/// theirs.
const MOST_THREADS: usize = 128;

/// Threads are listed anew at least so often (in samples), because one may take another's place
/// without changing their number.
const RELIST_EVERY: u32 = 16;

#[derive(Debug)]
pub(super) struct Reader {
    pid: u32,
    main: KeptFile,
    /// Its number of links tells how many threads there are.
    tasks: File,
    status: Option<KeptFile>,
    threads: HashMap<u32, Thread>,
    listed: u32,
    since_listing: u32,
    counted: Counted,
}

/// One thread, followed by its own descriptor.
#[derive(Debug)]
struct Thread {
    file: KeptFile,
    last: Schedstat,
}

impl Reader {
    pub(super) fn open(pid: u32) -> Result<Self, ProcessError> {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let read = |file: &'static str, error| failed(pid, file, error);
        let main = KeptFile::open(folder.join("schedstat")).map_err(|e| read("schedstat", e))?;
        let tasks = File::open(folder.join("task")).map_err(|e| read("task", e))?;
        Ok(Self {
            pid,
            main,
            tasks,
            status: None,
            threads: HashMap::new(),
            listed: 0,
            since_listing: 0,
            counted: Counted::default(),
        })
    }

    pub(super) fn read(&mut self) -> Result<Counted, ProcessError> {
        let cpu = os::process_cpu_time(self.pid);
        // Reading a descriptor of the process after its clock proves that the clock was its own,
        // and not that of another that has its number by now.
        let mut buffer = [0; 128];
        let text = self.main.read_short(&mut buffer).map_err(|e| self.failed("schedstat", e))?;
        let main = text::schedstat(text).ok_or_else(|| self.unclear("schedstat", text))?;
        let links = self.tasks.metadata().map_err(|e| self.failed("task", e))?.nlink();
        let threads = u32::try_from(links.saturating_sub(2)).unwrap_or(u32::MAX).max(1);
        if threads > 1 || !self.threads.is_empty() {
            self.follow_threads(threads)?;
        } else {
            // The only thread's own counters are the process's.
            self.counted.waited = self.counted.waited.max(main.waited);
            self.counted.slices = self.counted.slices.max(main.slices);
        }
        let cpu = cpu.ok_or(ProcessError::Gone { pid: self.pid })?;
        self.counted.cpu = self.counted.cpu.max(cpu);
        self.counted.threads = threads;
        Ok(self.counted)
    }

    /// Adds what the threads have waited since they were last looked at.
    fn follow_threads(&mut self, threads: u32) -> Result<(), ProcessError> {
        let is_first = self.threads.is_empty();
        self.since_listing += 1;
        if threads != self.listed || self.since_listing >= RELIST_EVERY {
            self.list_threads(is_first)?;
            (self.listed, self.since_listing) = (threads, 0);
        }
        let (mut waited, mut slices) = (Duration::ZERO, 0);
        let mut buffer = [0; 128];
        self.threads.retain(|_, thread| {
            // A thread that ended takes its last stretch with it.
            let Ok(text) = thread.file.read_short(&mut buffer) else { return false };
            let Some(now) = text::schedstat(text) else { return false };
            waited += now.waited.saturating_sub(thread.last.waited);
            slices += now.slices.saturating_sub(thread.last.slices);
            thread.last = now;
            true
        });
        let followed = self.threads.len().max(1) as u32;
        if threads > followed {
            let factor = f64::from(threads) / f64::from(followed);
            waited = waited.mul_f64(factor);
            slices = (slices as f64 * factor) as u64;
        }
        self.counted.waited += waited;
        self.counted.slices += slices;
        Ok(())
    }

    /// Opens the threads that are not followed yet. The main thread's past is counted already
    /// where this process was watched while it had no other.
    fn list_threads(&mut self, is_first: bool) -> Result<(), ProcessError> {
        let folder = format!("/proc/{}/task", self.pid);
        let entries = fs::read_dir(&folder).map_err(|e| self.failed("task", e))?;
        for entry in entries.filter_map(Result::ok) {
            if self.threads.len() >= MOST_THREADS {
                break;
            }
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if self.threads.contains_key(&id) {
                continue;
            }
            let Ok(file) = KeptFile::open(entry.path().join("schedstat")) else { continue };
            let counted = Schedstat {
                ran: Duration::ZERO,
                waited: self.counted.waited,
                slices: self.counted.slices,
            };
            let known = is_first && id == self.pid;
            let last = if known { counted } else { Schedstat::default() };
            self.threads.insert(id, Thread { file, last });
        }
        Ok(())
    }

    pub(super) fn context_switches(&mut self) -> Result<ContextSwitches, ProcessError> {
        if self.status.is_none() {
            let path = format!("/proc/{}/status", self.pid);
            // Opened by number and late: the descriptor kept from the start must still be alive.
            let status = KeptFile::open(path).map_err(|e| self.failed("status", e))?;
            self.main.read_short(&mut [0; 128]).map_err(|e| self.failed("schedstat", e))?;
            self.status = Some(status);
        }
        let mut buffer = [0; 8192];
        let status = self.status.as_ref().ok_or(ProcessError::Gone { pid: self.pid })?;
        let text = status.read_short(&mut buffer).map_err(|e| self.failed("status", e))?;
        text::context_switches(text).ok_or_else(|| self.unclear("status", text))
    }

    fn failed(&self, file: &'static str, error: io::Error) -> ProcessError {
        failed(self.pid, file, error)
    }

    fn unclear(&self, file: &'static str, text: &str) -> ProcessError {
        let text = text.chars().take(64).collect();
        ProcessError::Format { pid: self.pid, file, text }
    }
}

fn failed(pid: u32, file: &'static str, cause: io::Error) -> ProcessError {
    let is_gone = os::is_no_such_process(&cause);
    if is_gone { ProcessError::Gone { pid } } else { ProcessError::Read { pid, file, cause } }
}
