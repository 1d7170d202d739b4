//! Which backend gets how many of the requests that wait.
//!
//! One at a time, each to the backend that should be done with it first (list scheduling: Graham,
//! *Bounds on multiprocessing timing anomalies*, 1969), as long as there are free slots: what is
//! beyond them waits on, for whoever is free first (late binding).

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use plimsoll_core_types::{Assignment, BackendLoad, LoadDistribution, ReplicaId};

/// What a backend of which nothing was measured is taken to need for a request.
const UNKNOWN: Duration = Duration::from_millis(100);

/// An error rate above this is taken as this.
const MOST_ERRORS: f64 = 0.99;

/// Assigns `distribution`'s pending requests to free slots.
pub(crate) fn assign(distribution: &LoadDistribution) -> Assignment {
    let typical = typical(&distribution.backends);
    let mut free: BinaryHeap<Reverse<(Duration, ReplicaId, usize)>> = distribution
        .backends
        .iter()
        .enumerate()
        .filter(|(_, backend)| backend.available && backend.in_progress < backend.slots)
        .map(|(index, backend)| Reverse((predicted(backend, typical), backend.id, index)))
        .collect();
    let mut given = vec![0; distribution.backends.len()];
    let (mut held, mut expected) = (distribution.pending, None);
    // Within its free slots a backend's prediction stays, so the heap is left as often as there
    // are backends, not as there are requests.
    while held > 0
        && let Some(Reverse((takes, _, index))) = free.pop()
    {
        let backend = &distribution.backends[index];
        let count = held.min(backend.slots - backend.in_progress);
        given[index] = count;
        held -= count;
        expected = expected.max(Some(takes));
    }
    let shares = distribution.backends.iter().zip(given);
    let shares = shares.filter(|(_, count)| *count > 0).map(|(backend, count)| (backend.id, count));
    Assignment { shares: shares.collect(), held, expected }
}

/// The mean of what backends are known to need.
fn typical(backends: &[BackendLoad]) -> Duration {
    let known: Vec<Duration> = backends.iter().filter_map(|backend| backend.service_time).collect();
    let count = u32::try_from(known.len()).unwrap_or(u32::MAX);
    if count == 0 { UNKNOWN } else { known.iter().sum::<Duration>() / count }
}

/// When a backend with a free slot should be done, attempts that fail included.
fn predicted(backend: &BackendLoad, typical: Duration) -> Duration {
    let errors = backend.errors.get().min(MOST_ERRORS);
    let again = typical.mul_f64(errors / (1.0 - errors));
    backend.service_time.unwrap_or(typical).saturating_add(again)
}

#[cfg(test)]
mod tests {
    use plimsoll_core_types::{Ratio, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn backend(id: u64, in_progress: usize, slots: usize, millis: Option<u64>) -> BackendLoad {
        BackendLoad {
            id: ReplicaId::new(id),
            in_progress,
            slots,
            service_time: millis.map(Duration::from_millis),
            errors: Ratio::ZERO,
            available: true,
        }
    }

    fn distribution(backends: Vec<BackendLoad>, pending: usize) -> LoadDistribution {
        LoadDistribution { at: Timestamp::ZERO, backends, pending }
    }

    #[test]
    fn the_fastest_free_slots_go_first_and_the_excess_is_held() {
        let backends =
            vec![backend(1, 0, 2, Some(300)), backend(2, 1, 2, Some(100)), backend(3, 2, 2, None)];
        let assigned = assign(&distribution(backends.clone(), 2));
        assert_eq!(assigned.shares, [(ReplicaId::new(1), 1), (ReplicaId::new(2), 1)]);
        assert_eq!(assigned.expected, Some(Duration::from_millis(300)));
        let assigned = assign(&distribution(backends, 9));
        assert_eq!((assigned.shares.len(), assigned.held), (2, 6));
    }

    #[test]
    fn failing_and_unavailable_backends_come_last_or_not_at_all() {
        let mut failing = backend(1, 0, 1, Some(10));
        failing.errors = Ratio::saturating(0.9);
        let mut gone = backend(2, 0, 1, Some(1));
        gone.available = false;
        let assigned = assign(&distribution(vec![failing, gone, backend(3, 0, 1, Some(20))], 1));
        assert_eq!(assigned.shares, [(ReplicaId::new(3), 1)]);
        let nobody = assign(&distribution(Vec::new(), 5));
        assert_eq!((nobody.shares.len(), nobody.held, nobody.expected), (0, 5, None));
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_its_free_slots(
            loads in prop::collection::vec((0_usize..6, 1_usize..5, prop::option::of(1_u64..500), any::<bool>()), 0..20),
            pending in 0_usize..60
        ) {
            let backends: Vec<_> = loads.iter().enumerate().map(|(id, load)| BackendLoad {
                available: load.3,
                ..backend(id as u64, load.0, load.1, load.2)
            }).collect();
            let assigned = assign(&distribution(backends.clone(), pending));
            let given: usize = assigned.shares.iter().map(|share| share.1).sum();
            prop_assert_eq!(given + assigned.held, pending);
            let free = |b: &BackendLoad| if b.available { b.slots.saturating_sub(b.in_progress) } else { 0 };
            prop_assert_eq!(given, pending.min(backends.iter().map(free).sum()));
            for (id, count) in assigned.shares {
                prop_assert!(count <= free(&backends[id.get() as usize]));
            }
        }
    }
}
