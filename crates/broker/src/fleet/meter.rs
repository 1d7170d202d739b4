//! What an engine's processes are measured to use: its own, and those that it has started.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{Bytes, Millicores, Timestamp};
use plimsoll_cpu::process::ProcessCpu;
use plimsoll_memory::process::{ProcessMemory, total};

use super::running::Reading;

/// How often it is looked who belongs to a group.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// More processes than this are not measured.
const MOST: usize = 64;

/// Measures a group of processes.
#[derive(Debug)]
pub(crate) struct Meter {
    leader: Option<u32>,
    members: BTreeMap<u32, Member>,
    looked: Option<Timestamp>,
    last_cpu: Option<(Timestamp, Duration)>,
    /// CPU time of processes that have ended.
    ended: (Duration, Duration),
    reading: Reading,
}

#[derive(Debug)]
struct Member {
    memory: ProcessMemory,
    cpu: ProcessCpu,
    spent: (Duration, Duration),
}

impl Meter {
    /// A meter of the group that `leader` leads; one that measures nothing where there is none.
    pub(crate) const fn new(leader: Option<u32>) -> Self {
        Self {
            leader,
            members: BTreeMap::new(),
            looked: None,
            last_cpu: None,
            ended: (Duration::ZERO, Duration::ZERO),
            reading: Reading {
                used: plimsoll_core_types::ResourceVector::ZERO,
                peak: plimsoll_core_types::ResourceVector::ZERO,
                samples: 0,
                cpu: Duration::ZERO,
                waited: Duration::ZERO,
            },
        }
    }

    /// Measures now; the last reading where nothing can be measured.
    pub(crate) fn measure(&mut self, now: Timestamp) -> Reading {
        let Some(leader) = self.leader else { return self.reading };
        if self.looked.is_none_or(|looked| now.saturating_since(looked) >= LOOK_EVERY) {
            self.look(leader);
            self.looked = Some(now);
        }
        if let Some(memory) = self.memory() {
            self.reading.used = self.reading.used.with_memory(memory);
            self.reading.samples = self.reading.samples.saturating_add(1);
        }
        self.measure_cpu(now);
        self.reading.peak = self.reading.peak.max(&self.reading.used);
        self.reading
    }

    /// File-backed pages can be dropped by the kernel; what only these processes can give back is
    /// what they have written to, and what they share.
    fn memory(&self) -> Option<Bytes> {
        let mut members = self.members.values();
        let held = match (members.next(), self.members.len()) {
            (Some(only), 1) => {
                let used = only.memory.sample().ok()?;
                used.anonymous.saturating_add(used.shared)
            }
            (Some(_), _) => {
                total(self.members.values().map(|member| &member.memory)).ok()?.unreclaimable()
            }
            (None, _) => return None,
        };
        // A process that is just ending has nothing any more, which is not what it needs.
        (!held.is_zero()).then_some(held)
    }

    fn measure_cpu(&mut self, now: Timestamp) {
        if self.members.is_empty() {
            return;
        }
        for member in self.members.values_mut() {
            if let Ok(used) = member.cpu.sample(now) {
                member.spent = (used.cpu, used.waited);
            }
        }
        let spent = self.members.values().map(|member| member.spent);
        let (cpu, waited) = spent.fold(self.ended, |sum, one| (sum.0 + one.0, sum.1 + one.1));
        if let Some((then, before)) = self.last_cpu {
            let elapsed = now.saturating_since(then).as_secs_f64();
            let busy = cpu.saturating_sub(before).as_secs_f64();
            if elapsed > 0.0 {
                let cores = Millicores::from_f64(busy / elapsed * 1000.0);
                self.reading.used = self.reading.used.with_cpu(cores);
            }
        }
        (self.reading.cpu, self.reading.waited) = (cpu, waited);
        self.last_cpu = Some((now, cpu));
    }

    /// Looks who belongs to the group now.
    fn look(&mut self, leader: u32) {
        let mut present = members_of(leader);
        present.truncate(MOST);
        let gone: Vec<_> =
            self.members.keys().copied().filter(|pid| !present.contains(pid)).collect();
        for member in gone.iter().filter_map(|pid| self.members.remove(pid)) {
            let (cpu, waited) = member.spent;
            self.ended = (self.ended.0 + cpu, self.ended.1 + waited);
        }
        for pid in present {
            if self.members.contains_key(&pid) {
                continue;
            }
            // One that ended just now can't be opened.
            if let (Ok(memory), Ok(cpu)) = (ProcessMemory::open(pid), ProcessCpu::open(pid)) {
                let spent = (Duration::ZERO, Duration::ZERO);
                self.members.insert(pid, Member { memory, cpu, spent });
            }
        }
    }
}

/// The processes that belong to `leader`, itself first: those of its group, and those that it or
/// they have started.
#[cfg(target_os = "linux")]
pub(crate) fn members_of(leader: u32) -> Vec<u32> {
    let mut found = vec![leader];
    let Ok(entries) = std::fs::read_dir("/proc") else { return found };
    let mut others = Vec::new();
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| *pid != leader) else { continue };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        let Some((parent, group)) = parent_and_group(&stat) else { continue };
        if group == leader {
            found.push(pid);
        } else {
            others.push((pid, parent));
        }
    }
    // A round finds the children of those that the last one has found.
    loop {
        let before = found.len();
        let known = found.clone();
        others.retain(|(pid, parent)| {
            let belongs = known.contains(parent);
            if belongs {
                found.push(*pid);
            }
            !belongs
        });
        if found.len() == before {
            return found;
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn members_of(leader: u32) -> Vec<u32> {
    vec![leader]
}

/// Parent and group in a line of `/proc/PID/stat`: they come after the name, which may hold
/// anything, and the state.
#[cfg(target_os = "linux")]
fn parent_and_group(stat: &str) -> Option<(u32, u32)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(1);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_read_past_any_name() {
        assert_eq!(parent_and_group("17 (a) b (c)) S 1 42 42 0"), Some((1, 42)));
        assert_eq!(parent_and_group("17 (sh"), None);
    }

    #[test]
    fn what_a_group_holds_counts_every_member() {
        let mut meter = Meter::new(Some(std::process::id()));
        let reading = meter.measure(Timestamp::ZERO);
        assert!(reading.used.memory() > Bytes::from_kib(64), "{reading:?}");
        assert_eq!(Meter::new(None).measure(Timestamp::ZERO).samples, 0);
    }
}
