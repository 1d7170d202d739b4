//! Putting a plan into force, and saying by which means.
//!
//! Some means hold whatever the engine does (its cgroup's quota, its threads' affinity); others only
//! ask it (a flag, a variable of its environment). Each attempt is recorded with what came of it,
//! read back from the kernel where that can be: a quota that was written and is not in force is a
//! failure.
//!
//! | means | holds | needs |
//! |---|---|---|
//! | [`CpuGroup`]: `cpu.max`, or `cpu.cfs_quota_us` | to a hundredth of a core | a cgroup that may be written |
//! | [`set_affinity`] | to whole cores | the same user |
//! | [`LaunchAdvice`]: flags, environment | as the engine likes | starting it anew |

mod affinity;
mod group;
mod launch;

use std::collections::BTreeMap;
use std::fmt;

use plimsoll_core_types::{ConsumerId, Millicores, ThreadPlan};
use serde::{Deserialize, Serialize};

use crate::host::CpuList;
pub use affinity::{affinity, set_affinity};
pub use group::CpuGroup;
pub use launch::{EngineKind, LaunchAdvice, LaunchSetting};

/// By which means something is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Means {
    /// A cgroup's CPU quota.
    Quota,
    /// Stopping and continuing by signals.
    Signals,
    /// The CPUs that its threads may run on.
    Affinity,
    /// A lower priority, which counts only where others want the core.
    Nice,
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Quota => "cgroup quota",
            Self::Signals => "signals",
            Self::Affinity => "affinity",
            Self::Nice => "nice",
        })
    }
}

/// One means that was tried, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which.
    pub means: Means,
    /// What is in force, as read back; or why it is not.
    pub outcome: Result<String, String>,
}

/// What came of applying an assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Everything that was tried, the strongest first.
    pub attempts: Vec<Attempt>,
}

impl Applied {
    /// The means that are in force.
    pub fn in_force(&self) -> impl Iterator<Item = Means> + '_ {
        self.attempts.iter().filter(|attempt| attempt.outcome.is_ok()).map(|attempt| attempt.means)
    }

    pub(crate) fn note<T>(
        &mut self,
        means: Means,
        result: Result<T, ApplyError>,
        tell: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let outcome = result.as_ref().map(tell).map_err(ToString::to_string);
        self.attempts.push(Attempt { means, outcome });
        result.ok()
    }
}

/// Why a means could not be put into force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// There is no such process any more.
    #[error("process {pid} is gone")]
    Gone {
        /// Its number.
        pid: u32,
    },
    /// The kernel refused.
    #[error("{step}: {cause}")]
    Refused {
        /// What was tried.
        step: String,
        /// What it said.
        cause: std::io::Error,
    },
    /// It was accepted, and is not in force.
    #[error("{what} is {found}, not {wanted}")]
    NotInForce {
        /// Of what.
        what: &'static str,
        /// What was asked for.
        wanted: String,
        /// What is.
        found: String,
    },
    /// A set without a CPU, or with none that the process may use.
    #[error("no CPU to run on in {cpus}")]
    NoCpu {
        /// The set.
        cpus: String,
    },
    /// This host has no such means.
    #[error("{what} is not available on this host")]
    Unavailable {
        /// What.
        what: &'static str,
    },
}

/// Gives each consumer of `plan` CPUs of its own, out of `cpus`, in the plan's order.
///
/// Engines that share a core wait for each other at every barrier, so no CPU is given twice while
/// there are enough. Where there are fewer CPUs than threads, nobody gets any: the scheduler shares
/// better than a fixed cut would.
pub fn place(plan: &ThreadPlan, cpus: &CpuList) -> BTreeMap<ConsumerId, CpuList> {
    let wanted: u64 = plan.assignments.iter().map(|given| u64::from(given.threads)).sum();
    if wanted > u64::from(cpus.len()) {
        return BTreeMap::new();
    }
    let mut free = cpus.iter();
    let places = plan.assignments.iter().map(|given| {
        let own: CpuList = free.by_ref().take(given.threads as usize).collect();
        (given.consumer.clone(), own)
    });
    places.collect()
}

/// Puts `share`, and `cpus` where there are some, into force for process `pid`: the quota of
/// `group`, where there is one, and the affinity of all its threads.
///
/// Does what it can; nothing that fails undoes what succeeded.
pub fn apply(
    pid: u32,
    share: Millicores,
    cpus: Option<&CpuList>,
    group: Option<&CpuGroup>,
) -> Applied {
    let mut applied = Applied::default();
    if let Some(group) = group {
        let result = group.add(pid).and_then(|()| group.set_quota(Some(share)));
        applied.note(Means::Quota, result, |()| format!("{share} in {}", group.path().display()));
    }
    if let Some(cpus) = cpus {
        let result = set_affinity(pid, cpus);
        applied.note(Means::Affinity, result, |threads| format!("{cpus} for {threads} threads"));
    }
    applied
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::{Reason, ThreadAssignment};

    fn plan(threads: &[u32]) -> ThreadPlan {
        let assignment = |(index, threads): (usize, &u32)| ThreadAssignment {
            consumer: ConsumerId::new(&index.to_string()).unwrap(),
            threads: *threads,
            share: Millicores::from_cores(u64::from(*threads)),
            reason: Reason::Requested,
        };
        let assignments = threads.iter().enumerate().map(assignment).collect();
        ThreadPlan { cores: Millicores::from_cores(8), assignments }
    }

    #[test]
    fn places_are_disjoint_or_there_are_none() {
        let check = |threads: &[u32], cpus: &str, expected: &[&str]| {
            let places = place(&plan(threads), &cpus.parse().unwrap());
            let texts: Vec<_> = places.values().map(ToString::to_string).collect();
            assert_eq!(texts, expected);
        };
        check(&[1, 2, 1], "2-5", &["2", "3-4", "5"]);
        check(&[1], "0-7", &["0"]);
        check(&[2, 1], "0-1", &[]);
        check(&[], "0-1", &[]);
    }

    #[test]
    fn what_failed_is_told_and_undoes_nothing() {
        let applied = apply(u32::MAX, Millicores::from_cores(1), Some(&"0".parse().unwrap()), None);
        assert_eq!(applied.in_force().count(), 0);
        assert_eq!(applied.attempts[0].outcome, Err(format!("process {} is gone", u32::MAX)));
    }
}
