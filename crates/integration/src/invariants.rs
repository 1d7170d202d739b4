//! What must hold at every moment, looked at from outside.

use plimsoll_core_types::{
    Check, LeaseId, ModelId, ResourceStatus, ResourceVector, SystemSnapshot,
};

/// Looks at what a pool tells of itself: nothing is promised past the limit except as the debt of
/// a limit that was lowered, the leases add up to what is promised, and what is left is the rest.
///
/// The leases are added up only where the status lists all of them.
///
/// `lowered` says that the limit has been lowered below what was promised, and not been made good
/// since.
pub fn check_pool(status: &ResourceStatus, lowered: bool) -> Vec<Check> {
    let within = status.promised.fits_in(&status.limit);
    let sum = status
        .leases
        .iter()
        .try_fold(ResourceVector::ZERO, |sum, lease| sum.checked_add(&lease.amount));
    let rest = status.limit.saturating_sub(&status.promised);
    vec![
        Check {
            name: "promised is within the limit".to_owned(),
            holds: within || lowered,
            detail: format!("promised {}, limit {}", status.promised, status.limit),
        },
        Check {
            name: "leases add up to what is promised".to_owned(),
            holds: sum.as_ref() == Ok(&status.promised),
            detail: match &sum {
                Ok(sum) => format!("leases {sum}, promised {}", status.promised),
                Err(error) => format!("leases can't be added up: {error}"),
            },
        },
        Check {
            name: "available is limit less promised".to_owned(),
            holds: status.available == rest,
            detail: format!("available {}, limit less promised {rest}", status.available),
        },
    ]
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
            format!("{} leases", snapshot.pool.leases.len())
        } else {
            let names: Vec<_> = unknown.iter().map(|(model, _)| model.as_str()).collect();
            format!("not known: {}", names.join(", "))
        },
    }
}

/// Engines whose lease the pool does not list.
fn strangers(snapshot: &SystemSnapshot) -> Vec<(&ModelId, LeaseId)> {
    let mut known: Vec<_> = snapshot.pool.leases.iter().map(|lease| lease.id).collect();
    known.sort_unstable();
    let leases = snapshot.engines.iter().filter_map(|e| Some((&e.model, e.lease?)));
    leases.filter(|(_, lease)| known.binary_search(lease).is_err()).collect()
}
