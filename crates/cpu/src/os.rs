//! What is asked of the kernel directly. The only module that knows which kernel it is.

use plimsoll_core_types::Millicores;

/// The standard library's count of cores: the last resort, and 95 µs to ask.
pub(crate) fn available_cores() -> Millicores {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Millicores::from_cores(count as u64)
}

#[cfg(target_os = "linux")]
pub(crate) use clocks::{process_cpu_time, thread_cpu_time};
#[cfg(target_os = "linux")]
pub(crate) use linux::*;

/// CPU clocks, of which no safe wrapper at hand knows another process's.
#[cfg(target_os = "linux")]
mod clocks {
    #![expect(unsafe_code, reason = "no safe wrapper reads the CPU clock of another process")]

    use std::time::Duration;

    /// CPU time of process `pid`, of all its threads and of those that have ended; `None` where
    /// there is no such process.
    pub(crate) fn process_cpu_time(pid: u32) -> Option<Duration> {
        let pid = libc::pid_t::try_from(pid).ok()?;
        // The kernel's own encoding (`include/linux/posix-timers_types.h`): the number inverted,
        // then 2 for time as the scheduler counts it. The C library's function of that purpose
        // makes the same, and one more system call.
        read((!pid << 3) | 2)
    }

    /// CPU time of the calling thread.
    pub(crate) fn thread_cpu_time() -> Duration {
        // It can't fail: every kernel has this clock.
        read(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()
    }

    fn read(clock: libc::clockid_t) -> Option<Duration> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` outlives the call, which writes to it alone.
        if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
            return None;
        }
        let seconds = u64::try_from(time.tv_sec).ok()?;
        Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use rustix::process::Pid;
    use rustix::thread::{CpuSet, sched_getaffinity};

    use crate::host::CpuList;

    /// The CPUs that the thread or process `id` may run on; `None` where it is gone, or where the
    /// host has more CPUs than the call tells (1024).
    pub(crate) fn affinity_of(id: u32) -> Option<CpuList> {
        let set = sched_getaffinity(Some(pid(id)?)).ok()?;
        Some((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).map(|cpu| cpu as u32).collect())
    }

    pub(crate) fn pid(id: u32) -> Option<Pid> {
        Pid::from_raw(i32::try_from(id).ok()?)
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn affinity_of(_: u32) -> Option<crate::host::CpuList> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_cpu_time() -> std::time::Duration {
    use std::sync::LazyLock;

    use plimsoll_core_types::{Clock as _, SystemClock, Timestamp};

    static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);
    CLOCK.now().saturating_since(Timestamp::ZERO)
}
