//! Who asks: by bearer token, and by what a trusted client says of itself.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use plimsoll_core_types::{Priority, TenantId};

use super::settings::Settings;
use crate::openai::ApiError;

/// Names the tenant, where the client may speak for any.
const TENANT: &str = "x-plimsoll-tenant";
/// At which priority the request is served.
const PRIORITY: &str = "x-plimsoll-priority";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) tenant: TenantId,
    pub(crate) priority: Priority,
}

impl Settings {
    /// Who asks, by the headers of the request.
    pub(crate) fn asker(&self, headers: &HeaderMap) -> Result<Asker, ApiError> {
        let given = bearer(headers);
        let own = given.and_then(|given| self.tenant_of(given));
        let tenant = match (own, &self.server.token) {
            (Some(tenant), _) => tenant,
            (None, Some(token)) if !given.is_some_and(|given| same(given, token)) => {
                return Err(ApiError::unauthorized());
            }
            (None, _) => named::<TenantId>(headers, TENANT)?.unwrap_or_default(),
        };
        let priority = named::<Priority>(headers, PRIORITY)?.unwrap_or_default();
        let most = self.highest(&tenant);
        Ok(Asker { tenant, priority: priority.min(most) })
    }

    /// The highest priority that `tenant` may ask for.
    pub(crate) fn highest(&self, tenant: &TenantId) -> Priority {
        self.tenants.get(tenant).map_or(Priority::Critical, |config| config.priority)
    }

    /// Whether the token names a tenant, so that its sender can't speak for another.
    pub(crate) fn is_bound(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|given| self.tenant_of(given).is_some())
    }

    fn tenant_of(&self, given: &str) -> Option<TenantId> {
        let mut tenants = self.tenants.iter();
        let found = tenants
            .find(|(_, config)| config.token.as_ref().is_some_and(|token| same(given, token)));
        found.map(|(tenant, _)| tenant.clone())
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ").map(str::trim)
}

/// Compares in a time that says nothing of where two tokens differ.
fn same(given: &str, token: &str) -> bool {
    let differing = given.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == token.len() && differing == 0
}

fn named<T: std::str::FromStr<Err: std::fmt::Display>>(
    headers: &HeaderMap,
    name: &'static str,
) -> Result<Option<T>, ApiError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::invalid(name, "it is no text"))?;
    text.parse().map(Some).map_err(|error: T::Err| ApiError::invalid(name, &error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Overrides};

    fn asker(config: &str, headers: &[(&'static str, &str)]) -> Result<Asker, ApiError> {
        let settings = Settings::new(&Config::parse(config, &Overrides::default()).unwrap());
        let entry = |(name, value): &(&'static str, &str)| {
            (axum::http::HeaderName::from_static(name), value.parse().unwrap())
        };
        settings.asker(&headers.iter().map(entry).collect())
    }

    #[test]
    fn a_token_is_asked_for_where_there_is_one() {
        let text = "[server]\ntoken = \"s3cret\"\n";
        asker(text, &[]).unwrap_err();
        asker(text, &[("authorization", "Bearer s3cre")]).unwrap_err();
        asker(text, &[("authorization", "Bearer s3creT")]).unwrap_err();
        assert_eq!(
            asker(text, &[("authorization", "Bearer s3cret")]).unwrap().tenant.as_str(),
            "default"
        );
        assert!(asker("", &[("authorization", "Bearer whatever")]).is_ok());
    }

    #[test]
    fn a_tenants_token_names_it_and_bounds_its_priority() {
        let text =
            "[server]\ntoken = \"all\"\n[tenants.batch]\ntoken = \"b\"\npriority = \"low\"\n";
        let found = asker(
            text,
            &[
                ("authorization", "Bearer b"),
                ("x-plimsoll-tenant", "default"),
                ("x-plimsoll-priority", "critical"),
            ],
        );
        let found = found.unwrap();
        assert_eq!((found.tenant.as_str(), found.priority), ("batch", Priority::Low));
        assert!(
            asker(text, &[("authorization", "Bearer all"), ("x-plimsoll-priority", "urgent")])
                .is_err()
        );
    }
}
