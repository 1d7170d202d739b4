//! How a ledger behaves.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{ResourceVector, TenantId};

/// How a [`Ledger`](super::Ledger) behaves. Checked when the ledger is made.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerConfig {
    /// How many may wait; the next one is refused. Default 4096, at least 1.
    pub max_waiting: usize,
    /// How many of one tenant may wait, so that one that floods leaves places to the others.
    /// Default 1024, at least 1.
    pub max_waiting_each: usize,
    /// How many leases and how many waiters a status lists. Default 4096.
    pub max_listed: usize,
    /// How many grants may pass a waiter that does not fit and use what it lacks. After that, what
    /// it lacks is kept for it. Default 32; 0 is strict order.
    pub max_bypass: u32,
    /// A waiter rises by one priority class each time it has waited this long while nobody of its
    /// tenant and class was served, so that no class starves another, and none that floods the
    /// line rises by the length of its own backlog. Default 30 s; above zero.
    pub ageing: Duration,
    /// How long what was freed for somebody is kept for it. Default 10 s; above zero.
    pub earmark_for: Duration,
    /// How many earmarks there may be; what is freed beyond them is free for all. Default 256.
    pub max_earmarks: usize,
    /// Tenants with other than the default weight and quota.
    pub tenants: BTreeMap<TenantId, TenantConfig>,
    /// Whose leases are taken back for those who wait, and when. By default nobody's.
    pub preempt: Option<Preempt>,
}

/// When leases are taken back for those who wait.
///
/// The first in line whose patience is over has the leases of [lower priority](Self::by_priority),
/// or [beyond their tenant's quota](Self::by_quota), reclaimed for it: as few as make room, the
/// lowest class first, then the youngest, which has the least to lose. Their holders are asked
/// first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preempt {
    /// How long somebody waits before others are asked. Default 1 s.
    pub after: Duration,
    /// How long the asked have to give back by themselves; then the lease is ended. Default 10 s;
    /// above zero.
    pub grace: Duration,
    /// A waiter may displace leases of a lower priority than its own. Default true.
    pub by_priority: bool,
    /// A waiter of a tenant that is within its quota may displace leases of tenants beyond theirs,
    /// which is how quota that was lent is called back. Default true.
    pub by_quota: bool,
}

impl Default for Preempt {
    fn default() -> Self {
        let (after, grace) = (Duration::from_secs(1), Duration::from_secs(10));
        Self { after, grace, by_priority: true, by_quota: true }
    }
}

/// A tenant's share.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantConfig {
    /// Its share of what is contended, relative to the others'. Default 1; above zero.
    pub weight: f64,
    /// What is its own: while it holds no more than this, it goes before tenants of the same
    /// class that hold more than theirs. Zero in every dimension by default.
    pub quota: ResourceVector,
    /// The most that it may ever hold; none is as much as there is.
    pub limit: Option<ResourceVector>,
}

/// Why a [`LedgerConfig`] is no config.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerConfigError {
    /// Nobody could wait.
    #[error("max_waiting is 0; it must be at least 1")]
    NoLine,
    /// A time or a count that can't be zero.
    #[error("{field} is 0; it must be above 0")]
    Zero {
        /// Which field.
        field: &'static str,
    },
    /// A weight that is no weight.
    #[error("the weight of tenant {tenant} is {weight}; it must be finite and above 0")]
    Weight {
        /// Whose.
        tenant: TenantId,
        /// What was given.
        weight: f64,
    },
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            max_waiting: 4096,
            max_waiting_each: 1024,
            max_listed: 4096,
            max_bypass: 32,
            ageing: Duration::from_secs(30),
            earmark_for: Duration::from_secs(10),
            max_earmarks: 256,
            tenants: BTreeMap::new(),
            preempt: None,
        }
    }
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self { weight: 1.0, quota: ResourceVector::ZERO, limit: None }
    }
}

impl LedgerConfig {
    pub(super) fn check(&self) -> Result<(), LedgerConfigError> {
        if self.max_waiting == 0 {
            return Err(LedgerConfigError::NoLine);
        }
        if self.max_waiting_each == 0 {
            return Err(LedgerConfigError::Zero { field: "max_waiting_each" });
        }
        let grace = self.preempt.map_or(Duration::MAX, |preempt| preempt.grace);
        let times =
            [("ageing", self.ageing), ("earmark_for", self.earmark_for), ("preempt.grace", grace)];
        for (field, value) in times {
            if value.is_zero() {
                return Err(LedgerConfigError::Zero { field });
            }
        }
        for (tenant, config) in &self.tenants {
            if !(config.weight.is_finite() && config.weight > 0.0) {
                let (tenant, weight) = (tenant.clone(), config.weight);
                return Err(LedgerConfigError::Weight { tenant, weight });
            }
        }
        Ok(())
    }
}
