//! What is asked of the kernel directly. The only module that knows which kernel it is.

use plimsoll_core_types::Millicores;

/// The standard library's count of cores: the last resort, and 95 µs to ask.
pub(crate) fn available_cores() -> Millicores {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Millicores::from_cores(count as u64)
}

/// True of what the kernel says about a process that is gone (`ESRCH`, 3 on every Unix).
pub(crate) fn is_no_such_process(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound || error.raw_os_error() == Some(3)
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
    use std::io;

    use rustix::fd::OwnedFd;
    use rustix::process::{
        Pid, PidfdFlags, Signal, getpriority_process, pidfd_open, pidfd_send_signal,
        setpriority_process,
    };
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    use crate::host::CpuList;

    /// The CPUs that the thread or process `id` may run on; `None` where it is gone, or where the
    /// host has more CPUs than the call tells (1024).
    pub(crate) fn affinity_of(id: u32) -> Option<CpuList> {
        let set = sched_getaffinity(Some(pid(id)?)).ok()?;
        Some((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).map(|cpu| cpu as u32).collect())
    }

    /// Lets the thread `id` run on `cpus` alone.
    pub(crate) fn set_affinity_of(id: u32, cpus: &CpuList) -> io::Result<()> {
        let mut set = CpuSet::new();
        for cpu in cpus.iter().filter(|cpu| (*cpu as usize) < CpuSet::MAX_CPU) {
            set.set(cpu as usize);
        }
        let id = pid(id).ok_or(io::ErrorKind::NotFound)?;
        Ok(sched_setaffinity(Some(id), &set)?)
    }

    /// The threads of process `id`; `None` where it is gone.
    pub(crate) fn threads_of(id: u32) -> Option<Vec<u32>> {
        let entries = std::fs::read_dir(format!("/proc/{id}/task")).ok()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let threads: Vec<u32> = names.collect();
        (!threads.is_empty()).then_some(threads)
    }

    /// A process that can be signalled without ever hitting another with its number.
    #[derive(Debug)]
    pub(crate) struct ProcessHandle(OwnedFd);

    impl ProcessHandle {
        pub(crate) fn open(id: u32) -> io::Result<Self> {
            let id = pid(id).ok_or(io::ErrorKind::NotFound)?;
            Ok(Self(pidfd_open(id, PidfdFlags::empty())?))
        }

        /// Stops it, or lets it go on.
        pub(crate) fn stop(&self, is_stopped: bool) -> io::Result<()> {
            let signal = if is_stopped { Signal::STOP } else { Signal::CONT };
            Ok(pidfd_send_signal(&self.0, signal)?)
        }

        /// Whether it may be signalled. Going on is harmless to a process that is not stopped.
        pub(crate) fn may_signal(&self) -> io::Result<()> {
            self.stop(false)
        }
    }

    pub(crate) fn nice(id: u32) -> io::Result<i32> {
        Ok(getpriority_process(Some(pid(id).ok_or(io::ErrorKind::NotFound)?))?)
    }

    pub(crate) fn set_nice(id: u32, nice: i32) -> io::Result<()> {
        Ok(setpriority_process(Some(pid(id).ok_or(io::ErrorKind::NotFound)?), nice)?)
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
pub(crate) fn set_affinity_of(_: u32, _: &crate::host::CpuList) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn threads_of(_: u32) -> Option<Vec<u32>> {
    None
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_cpu_time() -> std::time::Duration {
    use std::sync::LazyLock;

    use plimsoll_core_types::{Clock as _, SystemClock, Timestamp};

    static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);
    CLOCK.now().saturating_since(Timestamp::ZERO)
}

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::*;

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::io;

    /// A process that can't be signalled here.
    #[derive(Debug)]
    pub(crate) struct ProcessHandle;

    impl ProcessHandle {
        pub(crate) fn open(_: u32) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn stop(&self, _: bool) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(crate) fn may_signal(&self) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    pub(crate) fn nice(_: u32) -> io::Result<i32> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn set_nice(_: u32, _: i32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
