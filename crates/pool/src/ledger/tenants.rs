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
    /// Those that hold something, but for the default one, which often is the only one there is:
    /// it holds whatever is promised and not theirs.
    held: BTreeMap<TenantId, ResourceVector>,
    /// What they hold together.
    sum: ResourceVector,
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
        Self { configured, held: BTreeMap::new(), sum: ResourceVector::ZERO }
    }

    /// Whether any tenant is special.
    pub(super) fn any_configured(&self) -> bool {
        !self.configured.is_empty()
    }

    /// Whether `tenant` holds more than its quota.
    pub(super) fn is_beyond_quota(&self, tenant: &TenantId, promised: &ResourceVector) -> bool {
        let held = self.holds(tenant, promised);
        match self.configured.get(tenant) {
            Some(config) => !held.fits_in(&config.quota),
            None => !held.is_zero(),
        }
    }

    /// Whether `tenant` would stay within its quota with `more`.
    pub(super) fn would_stay_within_quota(
        &self,
        tenant: &TenantId,
        more: &ResourceVector,
        promised: &ResourceVector,
    ) -> bool {
        let sum = self.holds(tenant, promised).saturating_add(more);
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
    pub(super) fn left(
        &self,
        tenant: &TenantId,
        promised: &ResourceVector,
    ) -> Option<ResourceVector> {
        let limit = self.configured.get(tenant)?.limit?;
        Some(limit.saturating_sub(&self.holds(tenant, promised)))
    }

    /// What `tenant` is owed of `whole`, of which `promised` is.
    pub(super) fn claim(
        &self,
        tenant: &TenantId,
        promised: &ResourceVector,
        whole: &ResourceVector,
    ) -> Claim {
        let held = self.holds(tenant, promised);
        let config = self.configured.get(tenant);
        let weight = config.map_or(1.0, |config| config.weight);
        let share = held.dominant_share(whole).map_or(0.0, |(_, share)| share.get());
        let beyond_quota = config.is_none_or(|config| !held.fits_in(&config.quota));
        Claim { beyond_quota, weighted_share: share / weight }
    }

    #[inline]
    pub(super) fn add(&mut self, tenant: &TenantId, amount: &ResourceVector) {
        if !tenant.is_default() {
            let held = self.held.entry(tenant.clone()).or_default();
            *held = held.saturating_add(amount);
            self.sum = self.sum.saturating_add(amount);
        }
    }

    #[inline]
    pub(super) fn subtract(&mut self, tenant: &TenantId, amount: &ResourceVector) {
        if !tenant.is_default()
            && let Some(held) = self.held.get_mut(tenant)
        {
            self.sum = self.sum.saturating_sub(amount);
            *held = held.saturating_sub(amount);
            if held.is_zero() {
                self.held.remove(tenant);
            }
        }
    }

    /// What `tenant` holds of what is promised in all.
    fn holds(&self, tenant: &TenantId, promised: &ResourceVector) -> ResourceVector {
        if tenant.is_default() {
            return promised.saturating_sub(&self.sum);
        }
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
