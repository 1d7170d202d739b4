//! What must hold at every moment, looked at from outside.

use std::cell::OnceCell;

use plimsoll_core_types::{
    Check, LeaseId, ModelId, ResourceStatus, ResourceVector, SystemSnapshot, VectorError,
};

use crate::sum;

/// Looks at what a pool tells of itself: nothing is promised past the limit except as the debt of
/// a limit that was lowered, the leases add up to what is promised, and what is left is the rest.
///
/// The leases are added up only where the status lists all of them.
///
/// `lowered` says that the limit has been lowered below what was promised, and not been made good
/// since.
pub fn check_pool(status: &ResourceStatus, lowered: bool) -> Vec<Check> {
    let books = Books::of(status);
    vec![
        Check {
            name: "promised is within the limit".to_owned(),
            holds: books.within || lowered,
            detail: format!("promised {}, limit {}", status.promised, status.limit),
        },
        Check {
            name: "leases add up to what is promised".to_owned(),
            holds: books.adds_up(status),
            detail: match &books.sum {
                Ok(sum) => format!("leases {sum}, promised {}", status.promised),
                Err(error) => format!("leases can't be added up: {error}"),
            },
        },
        Check {
            name: "available is limit less promised".to_owned(),
            holds: status.available == books.rest,
            detail: format!("available {}, limit less promised {}", status.available, books.rest),
        },
    ]
}

/// True where each [check](check_pool) of the pool holds, told without a word: for whoever looks
/// after every event.
pub fn pool_holds(status: &ResourceStatus, lowered: bool) -> bool {
    let books = Books::of(status);
    (books.within || lowered) && books.adds_up(status) && status.available == books.rest
}

const fn lists_all(status: &ResourceStatus) -> bool {
    status.leases.len() >= status.held
}

struct Books {
    within: bool,
    sum: Result<ResourceVector, VectorError>,
    rest: ResourceVector,
}

impl Books {
    fn of(status: &ResourceStatus) -> Self {
        Self {
            within: status.promised.fits_in(&status.limit),
            sum: sum::checked(status.leases.iter().map(|lease| &lease.amount)),
            rest: status.limit.saturating_sub(&status.promised),
        }
    }

    fn adds_up(&self, status: &ResourceStatus) -> bool {
        // Of a part, the sum says nothing.
        !lists_all(status) || self.sum.as_ref() == Ok(&status.promised)
    }
}

/// Looks at the engines beside the pool: each engine's lease is one that the pool knows.
///
/// Engines and pool are not read in one instant, so that a lease that comes back in between looks
/// unknown once; only one that looked so in the snapshot before as well is.
pub(crate) fn check_engines(snapshot: &SystemSnapshot, before: Option<&SystemSnapshot>) -> Check {
    let now = strangers(snapshot);
    let earlier = before.filter(|_| !now.is_empty()).map(strangers).unwrap_or_default();
    let unknown: Vec<_> = now.iter().filter(|stranger| earlier.contains(stranger)).collect();
    Check {
        name: "every engine's lease is known to the pool".to_owned(),
        holds: unknown.is_empty(),
        detail: if unknown.is_empty() {
            format!("{} leases", snapshot.pool.held)
        } else {
            let names: Vec<_> = unknown.iter().map(|(model, _)| model.as_str()).collect();
            format!("not known: {}", names.join(", "))
        },
    }
}

/// Engines whose lease the pool does not list.
fn strangers(snapshot: &SystemSnapshot) -> Vec<(&ModelId, LeaseId)> {
    let listed = &snapshot.pool.leases;
    // Mostly engines got their leases in the order in which they are listed: what comes next is
    // looked at before the numbers are sorted to search them.
    let (mut next, sorted) = (0, OnceCell::new());
    let mut is_known = |id: LeaseId| {
        if listed.get(next).is_none_or(|lease| lease.id != id) {
            let sort = || {
                let mut places: Vec<_> = listed.iter().map(|lease| lease.id).zip(0..).collect();
                places.sort_unstable();
                places
            };
            let places = sorted.get_or_init(sort);
            let Ok(found) = places.binary_search_by_key(&id, |(id, _)| *id) else { return false };
            next = places[found].1;
        }
        next += 1;
        true
    };
    // Those with the lowest numbers are listed: of a higher one nothing is known.
    let last = listed.last().map(|lease| lease.id).filter(|_| !lists_all(&snapshot.pool));
    let leases = snapshot.engines.iter().filter_map(|e| Some((&e.model, e.lease?)));
    let leases = leases.filter(|(_, lease)| last.is_none_or(|last| *lease <= last));
    leases.filter(|(_, lease)| !is_known(*lease)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plimsoll_core_types::{
        Bytes, ConsumerId, ManualClock, Resource, ResourcePool as _, ResourceRequest,
    };
    use plimsoll_pool::{LedgerConfig, LedgerPool};

    use super::*;

    fn mib(count: u64) -> ResourceVector {
        ResourceVector::new().with_memory(Bytes::from_mib(count))
    }

    #[test]
    fn what_is_not_listed_breaks_no_books() {
        let config = LedgerConfig { max_listed: 2, ..LedgerConfig::default() };
        let pool = LedgerPool::new(mib(64), config, Arc::new(ManualClock::new())).unwrap();
        let take = |name: &str| -> Resource {
            let request = ResourceRequest::new(ConsumerId::new(name).unwrap(), mib(8)).unwrap();
            pool.try_allocate(request).unwrap().unwrap()
        };
        let mut held = vec![take("a"), take("b"), take("c")];
        let part = pool.monitor();
        assert_eq!((part.leases.len(), part.held), (2, 3));
        assert!(pool_holds(&part, false));
        assert!(check_pool(&part, false).iter().all(|check| check.holds));
        held.pop();
        let mut whole = pool.monitor();
        assert!(pool_holds(&whole, false));
        whole.leases[0].amount = mib(9);
        assert!(!pool_holds(&whole, false), "where all are listed, they must add up");
    }
}
