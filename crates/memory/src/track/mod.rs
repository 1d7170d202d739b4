//! Who holds how much, for how long, and whose memory only grows.

mod account;
mod ages;
mod leak;
mod meter;

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ConsumerId, MemoryAllocation, MemoryKind, Timestamp};
use serde::{Deserialize, Serialize};

use account::Account;
pub use ages::AgeHistogram;
pub use leak::{LeakConfig, LeakSuspect};
pub use meter::{Meter, MeterUse, Meters, TrackedLeaf};

/// How many consumers are told apart, and when one is suspected to leak.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrackConfig {
    /// At most so many consumers; at least one. Who has held nothing for longest makes room, and
    /// where all hold something, the newcomer is not tracked by name. Default 4096.
    pub consumers: usize,
    /// How many sites of one consumer; events of others count for the consumer alone. Default 64.
    pub sites: usize,
    /// When growth is suspected to be a leak. See [`LeakConfig`].
    pub leak: LeakConfig,
}

impl Default for TrackConfig {
    fn default() -> Self {
        Self { consumers: 4096, sites: 64, leak: LeakConfig::default() }
    }
}

/// What one consumer holds of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KindUse {
    /// Which kind.
    pub kind: MemoryKind,
    /// By what it told to have taken and given back.
    pub tracked: Bytes,
    /// As it was last measured; none where it never was.
    pub measured: Option<Bytes>,
    /// What it told to have given back without ever having taken it: a bug of whoever tells.
    pub excess: Bytes,
}

/// What one consumer holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsumerUse {
    /// All of it: as measured where it was measured, else as tracked.
    pub held: Bytes,
    /// The most that it held.
    pub peak: Bytes,
    /// Net growth, in bytes a second, smoothed over half a minute.
    pub rate: f64,
    /// The same by kind.
    pub kinds: Vec<KindUse>,
    /// How long it has been held, at least.
    pub ages: AgeHistogram,
    /// How long the oldest of it has been held, at least.
    pub oldest: Option<Duration>,
}

/// Who holds what, and what nobody accounts for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageReport {
    /// When.
    pub at: Timestamp,
    /// What the host was measured to use.
    pub used: Bytes,
    /// Host memory of all consumers together.
    pub accounted: Bytes,
    /// What is used and no consumer accounts for: other programs, the kernel, untracked memory of
    /// one's own. Zero where consumers account for more than is used.
    pub unaccounted: Bytes,
    /// What consumers account for beyond what is used: promised and never touched, or counted
    /// twice.
    pub overaccounted: Bytes,
    /// Each consumer.
    pub consumers: BTreeMap<ConsumerId, ConsumerUse>,
}

/// Accounts memory by consumer.
///
/// ```
/// use plimsoll_core_types::{AllocationEvent, Bytes, ConsumerId, MemoryAllocation, MemoryKind, Timestamp};
/// use plimsoll_memory::track::{TrackConfig, Tracker};
///
/// let mut tracker = Tracker::new(TrackConfig::default());
/// let consumer = ConsumerId::new("cache")?;
/// tracker.record(&MemoryAllocation {
///     consumer: consumer.clone(),
///     kind: MemoryKind::Anonymous,
///     event: AllocationEvent::Taken,
///     bytes: Bytes::from_mib(64),
///     at: Timestamp::ZERO,
/// });
/// let report = tracker.report(Bytes::from_mib(100), Timestamp::ZERO);
/// assert_eq!(report.consumers[&consumer].held, Bytes::from_mib(64));
/// assert_eq!(report.unaccounted, Bytes::from_mib(36));
/// # Ok::<(), plimsoll_core_types::NameError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    config: TrackConfig,
    accounts: BTreeMap<ConsumerId, Account>,
    turned_away: u64,
}

impl Tracker {
    /// Nothing accounted yet.
    pub fn new(config: TrackConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Accounts one event.
    pub fn record(&mut self, allocation: &MemoryAllocation) {
        self.record_at(None, allocation);
    }

    /// Accounts one event at a place in the consumer's code, which is watched for leaks by itself.
    pub fn record_at(&mut self, site: Option<&str>, allocation: &MemoryAllocation) {
        if !self.accounts.contains_key(&allocation.consumer) && !self.make_room() {
            self.turned_away = self.turned_away.saturating_add(1);
            return;
        }
        let account = self.accounts.entry(allocation.consumer.clone()).or_default();
        account.apply(site, allocation, &self.config);
    }

    /// Looks at what everybody holds at `now`, for leaks: who tells nothing holds what it held.
    pub fn observe(&mut self, now: Timestamp) {
        for account in self.accounts.values_mut() {
            account.observe(now, &self.config.leak);
        }
    }

    /// Whose memory only grows, the most first; sites before the consumer as a whole.
    pub fn leaks(&self, now: Timestamp) -> Vec<LeakSuspect> {
        let leak = &self.config.leak;
        let suspects = self.accounts.iter().flat_map(|(name, a)| a.suspects(name, now, leak));
        let mut suspects: Vec<_> = suspects.collect();
        suspects.sort_by(|a, b| b.grown.cmp(&a.grown).then_with(|| b.site.cmp(&a.site)));
        suspects
    }

    /// Forgets a consumer that is gone.
    pub fn forget(&mut self, consumer: &ConsumerId) {
        self.accounts.remove(consumer);
    }

    /// What `consumer` holds; none where it was never heard of.
    pub fn usage(&mut self, consumer: &ConsumerId, now: Timestamp) -> Option<ConsumerUse> {
        self.accounts.get_mut(consumer).map(|account| account.usage(now))
    }

    /// Host memory of all consumers together.
    pub fn accounted(&self) -> Bytes {
        self.accounts.values().map(Account::held_on_host).sum()
    }

    /// Events of consumers that could not be tracked for want of a place.
    pub const fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Everything, beside what the host was measured to use.
    pub fn report(&mut self, used: Bytes, now: Timestamp) -> UsageReport {
        let accounted = self.accounted();
        let consumers =
            self.accounts.iter_mut().map(|(name, account)| (name.clone(), account.usage(now)));
        UsageReport {
            at: now,
            used,
            accounted,
            unaccounted: used.saturating_sub(accounted),
            overaccounted: accounted.saturating_sub(used),
            consumers: consumers.collect(),
        }
    }

    fn make_room(&mut self) -> bool {
        if self.accounts.len() < self.config.consumers.max(1) {
            return true;
        }
        let idle = self.accounts.iter().filter(|(_, account)| account.held().is_zero());
        let oldest = idle.min_by_key(|(_, account)| account.heard).map(|(name, _)| name.clone());
        oldest.is_some_and(|name| self.accounts.remove(&name).is_some())
    }
}

#[cfg(test)]
mod tests;
