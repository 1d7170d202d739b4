//! Which CPUs a process's threads may run on.

use super::ApplyError;
use crate::host::CpuList;
use crate::os;

/// How often the threads are gone through, where new ones keep appearing meanwhile.
const ROUNDS: usize = 8;

/// Lets every thread of process `pid` run on `cpus` alone; threads that it starts later inherit
/// that. Gives back how many threads there are.
///
/// # Errors
///
/// When the process is gone or somebody else's, or none of `cpus` is there; threads that were
/// reached before that keep the new set.
pub fn set_affinity(pid: u32, cpus: &CpuList) -> Result<usize, ApplyError> {
    if cpus.is_empty() {
        return Err(ApplyError::NoCpu { cpus: cpus.to_string() });
    }
    let mut count = 0;
    for _ in 0..ROUNDS {
        let threads = os::threads_of(pid).ok_or(ApplyError::Gone { pid })?;
        let mut is_done = true;
        for thread in &threads {
            // One that has ended meanwhile needs nothing.
            let Some(current) = os::affinity_of(*thread) else { continue };
            if current != *cpus {
                is_done = false;
                os::set_affinity_of(*thread, cpus).map_err(|cause| ApplyError::Refused {
                    step: format!("setting the affinity of thread {thread} to {cpus}"),
                    cause,
                })?;
            }
        }
        count = threads.len();
        if is_done {
            return Ok(count);
        }
    }
    let found = affinity(pid)?;
    if found == *cpus {
        return Ok(count);
    }
    let (wanted, found) = (cpus.to_string(), found.to_string());
    Err(ApplyError::NotInForce { what: "affinity", wanted, found })
}

/// The CPUs that process `pid`'s main thread may run on.
///
/// # Errors
///
/// When it is gone.
pub fn affinity(pid: u32) -> Result<CpuList, ApplyError> {
    os::affinity_of(pid).ok_or(ApplyError::Gone { pid })
}
