//! The ledger that all `run`s of a host share where there is no broker: one file, under a lock.
//!
//! Whoever looks takes the lock, strikes out those whose processes have ended, and grants the
//! first in line what it asks for, if that fits below the line and the host has it now. Nobody
//! passes the first: a large command is never starved by small ones.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_core_types::{
    AmountOrShare, Bytes, CapacityProbe as _, Clock as _, ConsumerId, Lacking, Priority,
    ResourceVector, SystemClock, Timestamp,
};
use plimsoll_cpu::HostCpu;
use plimsoll_memory::HostMemory;
use plimsoll_memory::footprint::{Configuration, Footprints, Learned};
use serde::{Deserialize, Serialize};

use super::{RunError, Told, Want};
use crate::fleet::Meter;
use crate::lease::alive::ProcessKey;

/// How often a waiter looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Memory that is left to everybody else.
const RESERVE: Bytes = Bytes::from_mib(64);
/// What nobody has measured or declared is taken to need this at most.
const UNKNOWN: Bytes = Bytes::from_gib(2);
/// The most leases, waiters and learned names.
const MOST: usize = 4096;

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    leases: Vec<Entry>,
    /// In the order in which they came.
    waiters: Vec<Entry>,
    learned: Vec<(ConsumerId, Learned)>,
}

/// Somebody who holds or waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    name: ConsumerId,
    process: ProcessKey,
    priority: Priority,
    amount: ResourceVector,
}

/// The ledger that all `run`s of this host share.
#[derive(Debug)]
pub(super) struct LocalLedger {
    path: PathBuf,
    limit: ResourceVector,
    memory: HostMemory,
    clock: SystemClock,
}

/// A lease of that ledger.
#[derive(Debug)]
pub(super) struct LocalLease {
    ledger: LocalLedger,
    name: ConsumerId,
    process: parking_lot::Mutex<ProcessKey>,
    amount: ResourceVector,
}

/// What a look at the line comes to.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Granted,
    Waits { position: usize, lacking: Option<Lacking> },
}

impl LocalLedger {
    /// The ledger in `folder`, of `budget` memory.
    pub(super) fn open(folder: &Path, budget: AmountOrShare<Bytes>) -> Result<Self, RunError> {
        let fail = |step| move |error: &dyn std::fmt::Display| RunError::internal(step, error);
        std::fs::create_dir_all(folder).map_err(|error| fail("making the state folder")(&error))?;
        let (memory, clock) = (HostMemory::system(), SystemClock::new());
        let reading = memory.sample(clock.now());
        let capacity = reading.map_err(|error| fail("measuring the host")(&error))?.capacity;
        let cores = HostCpu::system().effective(clock.now()).cores;
        let limit = budget.of(capacity.memory()).min(capacity.memory());
        let limit = ResourceVector::new().with_memory(limit).with_cpu(cores);
        Ok(Self { path: folder.join("ledger.json"), limit, memory, clock })
    }

    /// A lease, once it is this one's turn and there is room.
    pub(super) async fn take(self, want: &Want) -> Result<LocalLease, RunError> {
        let process = ProcessKey::own()
            .ok_or_else(|| RunError::internal("reading this process's start", &"/proc"))?;
        let amount = self.locked(|kept| {
            let amount = want.rest.with_memory(self.asked(kept, want));
            if let Some(dimension) = self.exceeding(&amount) {
                let (asked, limit) = (amount.get(dimension), self.limit.get(dimension));
                let (asked, limit) = (dimension.format(asked), dimension.format(limit));
                let name = &want.name;
                let text =
                    format!("{name} can never fit: {dimension} asks {asked}, the limit is {limit}");
                return Err(RunError::Never(text));
            }
            if kept.waiters.len() >= MOST || kept.leases.len() >= MOST {
                return Err(RunError::NoRoom(format!("{MOST} wait already, which is the limit")));
            }
            let (name, priority) = (want.name.clone(), want.priority);
            kept.waiters.push(Entry { name, process, priority, amount });
            Ok(amount)
        })??;
        let place = Place { ledger: &self, process };
        let begun = self.clock.now();
        let mut told = Told::default();
        loop {
            let turn = self.locked(|kept| {
                kept.strike_out();
                kept.turn(process, &self.limit, self.free_now(kept))
            })?;
            let Turn::Waits { position, lacking } = turn else { break };
            let waited = self.clock.now().saturating_since(begun);
            let lacking =
                lacking.map_or_else(|| "its turn".to_owned(), |lacking| lacking.to_string());
            if want.wait.is_some_and(|most| waited >= most) {
                let text = format!("no room after {waited:.1?}, position {position}: {lacking}");
                return Err(RunError::NoRoom(text));
            }
            told.tell(format!("waits at position {position}: {lacking}"));
            tokio::time::sleep(LOOK_EVERY).await;
        }
        std::mem::forget(place);
        let (name, process) = (want.name.clone(), parking_lot::Mutex::new(process));
        Ok(LocalLease { ledger: self, name, process, amount })
    }

    /// The accelerators of a host are not measured here: what is asked of them is taken as there.
    fn exceeding(&self, amount: &ResourceVector) -> Option<plimsoll_core_types::Dimension> {
        let host = ResourceVector::new().with_memory(amount.memory()).with_cpu(amount.cpu());
        host.first_exceeding(&self.limit)
    }

    fn asked(&self, kept: &Kept, want: &Want) -> Bytes {
        let learned = kept.learned.iter().find(|(name, _)| *name == want.name);
        let guess = UNKNOWN.min(Bytes::new(self.limit.memory().get() / 4));
        let asked = want.memory.or(learned.map(|(_, learned)| learned.bytes)).unwrap_or(guess);
        // What was learned on a larger budget must be allowed to run on this one.
        if want.memory.is_none() { asked.min(self.limit.memory()) } else { asked }
    }

    /// Memory that the host has now, less what leases hold and have not used yet.
    fn free_now(&self, kept: &Kept) -> Option<Bytes> {
        let reading = self.memory.sample(Timestamp::ZERO).ok()?;
        let free = reading.capacity.memory().saturating_sub(reading.used.memory());
        let unspent = |lease: &Entry| {
            let used = Meter::new(Some(lease.process.pid)).measure(Timestamp::ZERO).used.memory();
            lease.amount.memory().saturating_sub(used)
        };
        let unspent: Bytes = kept.leases.iter().map(unspent).sum();
        Some(free.saturating_sub(unspent).saturating_sub(RESERVE))
    }

    /// Does `work` on what the file holds, while nobody else can.
    fn locked<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> Result<T, RunError> {
        let fail = |step| move |error: std::io::Error| RunError::internal(step, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)
            .map_err(fail("opening the shared ledger"))?;
        file.lock().map_err(fail("locking the shared ledger"))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(fail("reading the shared ledger"))?;
        // A file that is broken was left by a host that lost power: nobody who holds still lives.
        let mut kept: Kept = serde_json::from_str(&text).unwrap_or_default();
        let done = work(&mut kept);
        write(&mut file, &kept).map_err(fail("writing the shared ledger"))?;
        Ok(done)
    }
}

/// Written in place: the lock belongs to the file, not to its name.
fn write(file: &mut File, kept: &Kept) -> std::io::Result<()> {
    let text = serde_json::to_vec(kept)?;
    file.rewind()?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)
}

/// A place in line, given up when it is dropped.
struct Place<'a> {
    ledger: &'a LocalLedger,
    process: ProcessKey,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let own = self.process;
        let left = self.ledger.locked(|kept| kept.waiters.retain(|waiter| waiter.process != own));
        if let Err(error) = left {
            tracing::warn!(%error, "the line could not be left");
        }
    }
}

impl Kept {
    /// Takes out those whose processes have ended.
    fn strike_out(&mut self) {
        self.leases.retain(|lease| lease.process.is_alive());
        self.waiters.retain(|waiter| waiter.process.is_alive());
    }

    /// Whether it is the turn of `own`, which then holds its lease.
    fn turn(&mut self, own: ProcessKey, limit: &ResourceVector, free: Option<Bytes>) -> Turn {
        let mut line: Vec<usize> = (0..self.waiters.len()).collect();
        // The sort keeps those of one priority in the order in which they came.
        line.sort_by_key(|index| std::cmp::Reverse(self.waiters[*index].priority));
        let place = line.iter().position(|index| self.waiters[*index].process == own);
        let Some(place) = place else {
            return Turn::Waits { position: line.len() + 1, lacking: None };
        };
        let promised = self
            .leases
            .iter()
            .fold(ResourceVector::ZERO, |sum, lease| sum.saturating_add(&lease.amount));
        let mut left = limit.saturating_sub(&promised);
        if let Some(free) = free {
            left = left.with_memory(left.memory().min(free));
        }
        let asked = self.waiters[line[place]].amount;
        let host = ResourceVector::new().with_memory(asked.memory()).with_cpu(asked.cpu());
        let lacking = host.first_exceeding(&left).map(|dimension| {
            let (asked, free) = (asked.get(dimension), left.get(dimension));
            Lacking { dimension, asked, free }
        });
        if place > 0 || lacking.is_some() {
            return Turn::Waits { position: place + 1, lacking };
        }
        let granted = self.waiters.remove(line[place]);
        self.leases.push(granted);
        Turn::Granted
    }
}

impl LocalLease {
    pub(super) const fn amount(&self) -> ResourceVector {
        self.amount
    }

    /// From now on the lease lives as long as process `pid`.
    pub(super) fn hand_to(&self, pid: u32) {
        let Some(next) = ProcessKey::of(pid) else { return };
        let before = std::mem::replace(&mut *self.process.lock(), next);
        let handed = self.ledger.locked(|kept| {
            for lease in kept.leases.iter_mut().filter(|lease| lease.process == before) {
                lease.process = next;
            }
        });
        if let Err(error) = handed {
            tracing::warn!(%error, "the lease could not be handed to the command");
        }
    }

    /// Gives it back, and keeps what was learned.
    pub(super) fn release(self, peak: Option<Bytes>, declared: &ResourceVector) {
        let process = *self.process.lock();
        let now = self.ledger.clock.now();
        let released = self.ledger.locked(|kept| {
            kept.leases.retain(|lease| lease.process != process);
            if let Some(peak) = peak {
                learn(kept, &self.name, declared.memory(), peak, now);
            }
        });
        if let Err(error) = released {
            tracing::warn!(%error, "the lease could not be given back");
        }
    }
}

/// Learns one more peak by the rule that the broker learns by.
fn learn(kept: &mut Kept, name: &ConsumerId, declared: Bytes, peak: Bytes, now: Timestamp) {
    let mut footprints = Footprints::default();
    let known = kept.learned.iter().position(|(known, _)| known == name);
    if let Some(index) = known {
        let (name, learned) = kept.learned.swap_remove(index);
        footprints.restore(&name, Configuration::DEFAULT, learned, now);
    }
    // A whole life was measured: as many looks as it takes to be believed saw at most this.
    for _ in 0..plimsoll_memory::footprint::FootprintConfig::default().samples {
        footprints.observe(name, declared, peak, now);
    }
    if let Some(learned) = footprints.believed(name) {
        if kept.learned.len() >= MOST {
            kept.learned.swap_remove(0);
        }
        kept.learned.push((name.clone(), learned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::Millicores;

    fn entry(pid: u32, priority: Priority, mib: u64) -> Entry {
        let process = serde_json::from_str(&format!("{{\"pid\":{pid},\"started\":1}}")).unwrap();
        let amount = ResourceVector::new().with_memory(Bytes::from_mib(mib));
        Entry { name: ConsumerId::new("job").unwrap(), process, priority, amount }
    }

    fn limit() -> ResourceVector {
        let memory = Bytes::from_mib(100);
        ResourceVector::new().with_memory(memory).with_cpu(Millicores::from_cores(2))
    }

    #[test]
    fn nobody_passes_the_first_in_line_and_priority_comes_before_order() {
        let normal = Priority::Normal;
        let waiters =
            vec![entry(1, normal, 80), entry(2, normal, 10), entry(3, Priority::High, 50)];
        let leases = vec![entry(9, normal, 40)];
        let mut kept = Kept { leases, waiters, learned: Vec::new() };
        let first = kept.waiters[0].process;
        let second = kept.waiters[1].process;
        let high = kept.waiters[2].process;
        assert!(matches!(kept.turn(second, &limit(), None), Turn::Waits { position: 3, .. }));
        assert!(matches!(kept.turn(first, &limit(), None), Turn::Waits { position: 2, .. }));
        assert_eq!(kept.turn(high, &limit(), None), Turn::Granted);
        let waits = kept.turn(first, &limit(), None);
        let Turn::Waits { position: 1, lacking: Some(lacking) } = waits else {
            panic!("{waits:?}")
        };
        assert_eq!(lacking.free, Bytes::from_mib(10).get());
        assert!(matches!(kept.turn(second, &limit(), None), Turn::Waits { position: 2, .. }));
        let promised: Bytes = kept.leases.iter().map(|lease| lease.amount.memory()).sum();
        assert_eq!(promised, Bytes::from_mib(90));
    }

    #[test]
    fn what_the_host_has_not_is_not_granted() {
        let mut kept = Kept { waiters: vec![entry(1, Priority::Normal, 80)], ..Kept::default() };
        let own = kept.waiters[0].process;
        let hog = Some(Bytes::from_mib(30));
        assert!(matches!(kept.turn(own, &limit(), hog), Turn::Waits { position: 1, .. }));
        assert_eq!(kept.turn(own, &limit(), Some(Bytes::from_mib(90))), Turn::Granted);
    }

    #[test]
    fn one_life_is_enough_to_learn_from() {
        let mut kept = Kept::default();
        let name = ConsumerId::new("job").unwrap();
        learn(&mut kept, &name, Bytes::from_gib(2), Bytes::from_mib(300), Timestamp::ZERO);
        let learned = kept.learned[0].1.bytes;
        assert!((Bytes::from_mib(300)..Bytes::from_mib(400)).contains(&learned), "{learned}");
    }
}
