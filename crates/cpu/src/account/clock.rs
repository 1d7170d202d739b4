//! Where the CPU time of a poll is read.

use std::fmt;
use std::time::Duration;

use crate::os;

/// A clock that runs while the calling thread runs.
///
/// Tests bring their own; everybody else uses [`ThreadCpuClock`].
pub trait CpuClock: Send + Sync + fmt::Debug {
    /// CPU time of the calling thread; never less than it said on this thread before.
    fn thread_time(&self) -> Duration;
}

/// The operating system's CPU clock of the calling thread.
///
/// A reading is a system call: about half a microsecond, more on a loaded machine. Where a system
/// has no such clock, the monotonic one stands in, and time in which the thread was not on a core
/// counts too.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadCpuClock;

impl CpuClock for ThreadCpuClock {
    fn thread_time(&self) -> Duration {
        os::thread_cpu_time()
    }
}

/// What it costs to read a clock twice, and how much of that the two readings see.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadingCost {
    /// CPU time of two readings.
    pub(super) pair: Duration,
    /// The least difference between two readings with nothing in between.
    pub(super) seen: Duration,
}

impl ReadingCost {
    /// Measures `clock` by itself.
    pub(super) fn measure(clock: &dyn CpuClock) -> Self {
        const ROUNDS: u32 = 32;
        let first = clock.thread_time();
        let mut last = first;
        let mut seen = Duration::MAX;
        for _ in 0..ROUNDS {
            let next = clock.thread_time();
            seen = seen.min(next.saturating_sub(last));
            last = next;
        }
        Self { pair: last.saturating_sub(first) * 2 / ROUNDS, seen }
    }
}
