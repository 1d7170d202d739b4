//! What each tenant holds, and who is owed the next grant.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use plimsoll_core_types::{Dimension, NeverFits, ResourceVector, TenantId};

use super::config::TenantConfig;

/// What each tenant holds.
///
/// Contended resources go to the tenant with the smallest dominant share by weight: Ghodsi et al.,
/// *Dominant Resource Fairness* (NSDI 2011). A tenant within its quota goes before one beyond its
/// own, which is how quota is lent and taken back.
#[derive(Debug)]
pub(super) struct Tenants {
    configured: BTreeMap<TenantId, TenantConfig>,
    /// Those that hold something.
    held: BTreeMap<TenantId, ResourceVector>,
}

/// How much a tenant is owed; the smallest goes first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Claim {
    beyond_quota: bool,
    weighted_share: f64,
}

impl Claim {
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let by_share = self.weighted_share.total_cmp(&other.weighted_share);
        self.beyond_quota.cmp(&other.beyond_quota).then(by_share)
    }
}

impl Tenants {
    pub(super) const fn new(configured: BTreeMap<TenantId, TenantConfig>) -> Self {
        Self { configured, held: BTreeMap::new() }
    }

    /// Whether any tenant is special.
    pub(super) fn any_configured(&self) -> bool {
        !self.configured.is_empty()
    }

    /// Whether `tenant` holds more than its quota.
    pub(super) fn is_beyond_quota(&self, tenant: &TenantId) -> bool {
        let held = self.holds(tenant);
        match self.configured.get(tenant) {
            Some(config) => !held.fits_in(&config.quota),
            None => !held.is_zero(),
        }
    }

    /// Whether `tenant` would stay within its quota with `more`.
    pub(super) fn would_stay_within_quota(&self, tenant: &TenantId, more: &ResourceVector) -> bool {
        let sum = self.holds(tenant).saturating_add(more);
        self.configured.get(tenant).is_some_and(|config| sum.fits_in(&config.quota))
    }

    /// Whether `amount` is more than `tenant` may ever hold.
    pub(super) fn never_fits(
        &self,
        tenant: &TenantId,
        amount: &ResourceVector,
    ) -> Option<NeverFits> {
        let limit = self.configured.get(tenant)?.limit?;
        let dimension = amount.first_exceeding(&limit)?;
        Some(never_fits(dimension, amount, &limit))
    }

    /// What is left for `tenant` of its own limit; none where it has none.
    pub(super) fn left(&self, tenant: &TenantId) -> Option<ResourceVector> {
        let limit = self.configured.get(tenant)?.limit?;
        Some(limit.saturating_sub(&self.holds(tenant)))
    }

    /// What `tenant` is owed of `whole`.
    pub(super) fn claim(&self, tenant: &TenantId, whole: &ResourceVector) -> Claim {
        let held = self.holds(tenant);
        let config = self.configured.get(tenant);
        let weight = config.map_or(1.0, |config| config.weight);
        let share = held.dominant_share(whole).map_or(0.0, |(_, share)| share.get());
        let beyond_quota = config.is_none_or(|config| !held.fits_in(&config.quota));
        Claim { beyond_quota, weighted_share: share / weight }
    }

    pub(super) fn add(&mut self, tenant: &TenantId, amount: &ResourceVector) {
        if let Some(held) = self.held.get_mut(tenant) {
            *held = held.saturating_add(amount);
        } else {
            self.held.insert(tenant.clone(), *amount);
        }
    }

    pub(super) fn subtract(&mut self, tenant: &TenantId, amount: &ResourceVector) {
        let Some(held) = self.held.get_mut(tenant) else { return };
        *held = held.saturating_sub(amount);
        if held.is_zero() && *tenant != TenantId::DEFAULT {
            self.held.remove(tenant);
        }
    }

    /// What `tenant` holds.
    pub(super) fn holds(&self, tenant: &TenantId) -> ResourceVector {
        self.held.get(tenant).copied().unwrap_or(ResourceVector::ZERO)
    }
}

pub(super) const fn never_fits(
    dimension: Dimension,
    amount: &ResourceVector,
    limit: &ResourceVector,
) -> NeverFits {
    NeverFits { dimension, asked: amount.get(dimension), limit: limit.get(dimension) }
}
