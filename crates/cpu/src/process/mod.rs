//! What a process uses of the CPU, and how long it waits for it.

#[cfg(target_os = "linux")]
mod linux;
mod monitor;
#[cfg(not(target_os = "linux"))]
mod other;
mod text;

use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{Millicores, Timestamp};
use serde::{Deserialize, Serialize};

pub use monitor::{Monitor, MonitorReading, ProcessReading, WatchError};

#[cfg(target_os = "linux")]
use linux as host;
#[cfg(not(target_os = "linux"))]
use other as host;

/// One process whose CPU time is watched.
///
/// On Linux a sample takes the process's own CPU clock, which counts nanoseconds and knows threads
/// that have ended, and reads kept descriptors for the rest. Once the process is gone, sampling
/// fails for ever, even when another process gets its number.
///
/// ```
/// use plimsoll_core_types::{Clock, SystemClock};
/// use plimsoll_cpu::process::ProcessCpu;
///
/// let (clock, own) = (SystemClock::new(), ProcessCpu::open(std::process::id())?);
/// let first = own.sample(clock.now())?;
/// let second = own.sample(clock.now())?;
/// assert!(second.cpu >= first.cpu && second.waited >= first.waited);
/// # Ok::<(), plimsoll_cpu::process::ProcessError>(())
/// ```
#[derive(Debug)]
pub struct ProcessCpu {
    pid: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    reader: host::Reader,
    last: Option<(Timestamp, Counted)>,
}

/// What the kernel has counted for a process since it began; never falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counted {
    cpu: Duration,
    waited: Duration,
    slices: u64,
    threads: u32,
}

/// What one process has used of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessCpuUsage {
    /// When it was read.
    pub at: Timestamp,
    /// CPU time of all its threads since it began, ended ones included.
    pub cpu: Duration,
    /// Time that its threads were ready to run and waited for a core, since they began; of
    /// threads that ended unseen between two samples, what was last seen.
    pub waited: Duration,
    /// How often its threads were put on a core, since they began. About as many times they were
    /// taken off one.
    pub switches: u64,
    /// How many threads it has now.
    pub threads: u32,
    /// Cores that it kept busy since the sample before; zero in the first.
    pub used: Millicores,
    /// How many of its threads waited for a core on average since the sample before, in
    /// thousandths of a thread; zero in the first.
    pub waiting: Millicores,
}

/// How often a process's main thread changed places with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextSwitches {
    /// It gave its core up: it had to wait for something.
    pub voluntary: u64,
    /// Its core was taken from it: its time was up, or somebody more urgent came.
    pub involuntary: u64,
}

/// Why a process can't be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// There is no such process any more.
    #[error("process {pid} is gone")]
    Gone {
        /// Its number.
        pid: u32,
    },
    /// A file of it can't be read.
    #[error("process {pid}: {file}: {cause}")]
    Read {
        /// Its number.
        pid: u32,
        /// Which file.
        file: &'static str,
        /// What the kernel said.
        cause: std::io::Error,
    },
    /// A file of it does not say what it should.
    #[error("process {pid}: {file} can't be understood: {text:?}")]
    Format {
        /// Its number.
        pid: u32,
        /// Which file.
        file: &'static str,
        /// How it begins.
        text: String,
    },
}

impl ProcessCpu {
    /// Begins to watch process `pid`.
    ///
    /// # Errors
    ///
    /// When there is no such process, or its files may not be read.
    pub fn open(pid: u32) -> Result<Self, ProcessError> {
        let reader = host::Reader::open(pid)?;
        Ok(Self { pid, state: Mutex::new(State { reader, last: None }) })
    }

    /// Which process it is.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// What it has used until `now`, which is the moment of this call on the caller's clock.
    ///
    /// # Errors
    ///
    /// When it has ended, or can't be read.
    pub fn sample(&self, now: Timestamp) -> Result<ProcessCpuUsage, ProcessError> {
        let mut state = self.state.lock();
        let counted = state.reader.read()?;
        let last = state.last;
        let elapsed = last.map_or(Duration::ZERO, |(then, _)| now.saturating_since(then));
        // Two calls at one moment measure nothing; the earlier one stays the base.
        if last.is_none() || !elapsed.is_zero() {
            state.last = Some((now, counted));
        }
        drop(state);
        let before = last.map_or(counted, |(_, before)| before);
        let rate = |now: Duration, before: Duration| {
            let risen = now.saturating_sub(before).as_secs_f64();
            let rate = if elapsed.is_zero() { 0.0 } else { risen / elapsed.as_secs_f64() };
            Millicores::from_f64((rate * 1000.0).round())
        };
        Ok(ProcessCpuUsage {
            at: now,
            cpu: counted.cpu,
            waited: counted.waited,
            switches: counted.slices,
            threads: counted.threads,
            used: rate(counted.cpu, before.cpu),
            waiting: rate(counted.waited, before.waited),
        })
    }

    /// How often its main thread was switched, told apart by whether it wanted to. Costs more
    /// than a sample.
    ///
    /// # Errors
    ///
    /// When it has ended, or the host does not tell.
    pub fn context_switches(&self) -> Result<ContextSwitches, ProcessError> {
        self.state.lock().reader.context_switches()
    }
}
