//! `[tenants.NAME]`: what each is entitled to.

use std::collections::BTreeMap;

use plimsoll_core_types::{AmountOrShare, Bytes, Priority, TenantId};

use super::reader::{Reader, Section};

/// What a tenant is entitled to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TenantConfig {
    /// Its part of what is contended, beside others' parts.
    pub(crate) weight: u64,
    /// Memory that is its own.
    pub(crate) quota: Option<AmountOrShare<Bytes>>,
    /// Memory that it may hold at most.
    pub(crate) limit: Option<AmountOrShare<Bytes>>,
    /// Whoever sends this as bearer token is this tenant.
    pub(crate) token: Option<String>,
    /// The highest priority that it may ask for.
    pub(crate) priority: Priority,
}

pub(super) fn tenants(
    root: &mut Section<'_>,
    reader: &mut Reader<'_>,
) -> BTreeMap<TenantId, TenantConfig> {
    let mut tenants = BTreeMap::new();
    let Some(all) = root.section("tenants", reader) else { return tenants };
    for (name, mut section) in all.named(reader) {
        let weight = section.whole("weight", 1..=1_000_000, reader).unwrap_or(1);
        let quota = section.parse("quota", reader);
        let limit = section.parse("limit", reader);
        let token = section.parse("token", reader);
        let priority = section.parse("priority", reader).unwrap_or(Priority::Critical);
        match TenantId::new(&name) {
            Ok(tenant) => {
                let config = TenantConfig { weight, quota, limit, token, priority };
                tenants.insert(tenant, config);
            }
            Err(error) => section.object("", error.to_string(), reader),
        }
        section.finish(reader);
    }
    tenants
}
