//! Who holds and who waits, page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use plimsoll_core_types::{LeaseId, LeaseStatus, ResourcePool as _, ResourceStatus, Timestamp};
use serde_json::{Value, json};

use super::ask::FieldError;
use super::book::Given;
use crate::openai::ApiError;
use crate::serve::Broker;

/// How many leases a page holds where nothing is said.
const USUAL: usize = 1000;
/// How many it holds at most.
const MOST: usize = 4096;

/// Which leases are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    /// Those with a number above this.
    after: LeaseId,
    /// So many of them.
    limit: usize,
}

impl Page {
    fn parse(parameters: &BTreeMap<String, String>) -> Result<Self, FieldError> {
        let mut page = Self { after: LeaseId::new(0), limit: USUAL };
        for (name, text) in parameters {
            match name.as_str() {
                "after" => {
                    let wrong = || {
                        let what = "it must be the number of a lease, as an earlier page's next";
                        FieldError { field: "after", what: format!("{text:?}: {what}") }
                    };
                    page.after = LeaseId::new(text.parse().map_err(|_| wrong())?);
                }
                "limit" => {
                    let wrong = || {
                        let what = format!("{text:?}: it must be a whole number from 1 to {MOST}");
                        FieldError { field: "limit", what }
                    };
                    let limit = text.parse().map_err(|_| wrong())?;
                    page.limit =
                        if (1..=MOST).contains(&limit) { limit } else { return Err(wrong()) };
                }
                _ => {
                    let what = format!("{name} is not known; known are after, limit");
                    return Err(FieldError { field: "query", what });
                }
            }
        }
        Ok(page)
    }
}

/// Everybody who holds or waits for a part of this host, models included.
pub(crate) async fn list(
    State(broker): State<Arc<Broker>>,
    Query(parameters): Query<BTreeMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let page = Page::parse(&parameters);
    let page = page.map_err(|error| ApiError::invalid(error.field, &error.what))?;
    let status = broker.pool.monitor();
    // One more than is told says whether there are more.
    let mut leases = broker.pool.leases_after(page.after, page.limit + 1);
    let more = leases.len() > page.limit;
    leases.truncate(page.limit);
    let next = leases.last().filter(|_| more).map(|last| last.id);
    let given = broker.book.among(&leases);
    let leases: Vec<_> =
        leases.iter().map(|lease| row(&broker, lease, given.get(&lease.id))).collect();
    Ok(Json(json!({
        "limit": status.limit,
        "promised": status.promised,
        "available": status.available,
        "total": status.held,
        "next": next,
        "leases": leases,
        "waiters": waiters(&broker, &status),
    })))
}

fn row(broker: &Broker, lease: &LeaseStatus, external: Option<&(Given, Timestamp)>) -> Value {
    json!({
        "id": external.map(|(given, _)| &given.id),
        "lease": lease.id,
        "name": lease.consumer,
        "tenant": lease.tenant,
        "priority": lease.priority,
        "amount": lease.amount,
        "since": broker.wall.date(lease.since),
        "expires_at": external.map(|(_, expires)| broker.wall.date(*expires)),
        "pid": external.and_then(|(given, _)| given.process).map(|process| process.pid),
        "reclaiming": lease.reclaiming,
    })
}

fn waiters(broker: &Broker, status: &ResourceStatus) -> Vec<Value> {
    let row = |waiter: &plimsoll_core_types::WaiterStatus| {
        let eta = broker.pool.eta(waiter.id).map(|at| at.saturating_since(status.at));
        json!({
            "name": waiter.consumer,
            "tenant": waiter.tenant,
            "priority": waiter.priority,
            "amount": waiter.amount,
            "position": waiter.position,
            "lacking": waiter.lacking,
            "waited_seconds": status.at.saturating_since(waiter.since).as_secs_f64(),
            "eta_seconds": eta.map(|eta| eta.as_secs_f64()),
        })
    };
    status.waiters.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(parameters: &[(&str, &str)]) -> Result<Page, String> {
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parsed = Page::parse(&parameters.iter().map(text).collect());
        parsed.map_err(|error| error.to_string())
    }

    #[test]
    fn parameters_are_checked_and_named() {
        let page = |after, limit| Ok(Page { after: LeaseId::new(after), limit });
        assert_eq!(parse(&[]), page(0, USUAL));
        assert_eq!(parse(&[("after", "7"), ("limit", "4096")]), page(7, 4096));
        let check = |parameter: (&str, &str), expected: &str| {
            let error = parse(&[parameter]).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(("limit", "0"), "limit: \"0\": it must be a whole number from 1 to 4096");
        check(("limit", "4097"), "limit: \"4097\": it must be a whole number from 1 to 4096");
        check(("after", "x"), "after: \"x\": it must be the number of a lease");
        check(("page", "2"), "page is not known; known are after, limit");
    }
}
