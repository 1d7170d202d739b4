//! The leases that are held, by number.
//!
//! They lie in places that are used again, and are not moved when a lease begins or ends. Which
//! place a number has is found by linear probing from where D. E. Knuth's multiplicative hashing
//! (*The Art of Computer Programming*, volume 3, 6.4) puts it; what ends closes the gap behind it,
//! so that no tombstones pile up (the same, algorithm R).

use plimsoll_core_types::{LeaseId, ResourceRequest, Timestamp};

use super::{Lease, Life};

/// The leases that are held.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// At most half of them are in use, so that a search is short and comes to an end.
    buckets: Box<[Bucket]>,
    /// An ended lease stays in its place until another one takes it.
    places: Vec<Lease>,
    free: Vec<u32>,
}

/// Where the lease `id` is. Number 0 is no lease's.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    id: u64,
    place: u32,
}

const FEWEST: usize = 16;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Leases {
    #[inline]
    fn home(&self, id: u64) -> usize {
        // Of the product, the upper bits are mixed best.
        let mixed = id.wrapping_mul(GOLDEN) >> 32;
        mixed as usize & (self.buckets.len() - 1)
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.buckets.len() - 1)
    }

    /// The bucket of `id`.
    #[inline]
    fn find(&self, id: LeaseId) -> Option<usize> {
        if self.buckets.is_empty() || id.get() == 0 {
            return None;
        }
        let mut at = self.home(id.get());
        while self.buckets[at].id != id.get() {
            if self.buckets[at].id == 0 {
                return None;
            }
            at = self.after(at);
        }
        Some(at)
    }

    #[inline]
    pub(super) fn get(&self, id: LeaseId) -> Option<&Lease> {
        self.places.get(self.buckets[self.find(id)?].place as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: LeaseId) -> Option<&mut Lease> {
        let place = self.buckets[self.find(id)?].place;
        self.places.get_mut(place as usize)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Adds what `request` is granted under a number that is not 0 and was never used.
    #[inline]
    pub(super) fn insert(
        &mut self,
        id: LeaseId,
        request: ResourceRequest,
        since: Timestamp,
        life: Option<Life>,
    ) {
        if (self.len() + 1) * 2 > self.buckets.len() {
            self.grow();
        }
        let (priority, amount) = (request.priority(), request.amount());
        let place = if let Some(place) = self.free.pop() {
            // Part by part, since a lease is large and would be moved about.
            let lease = &mut self.places[place as usize];
            (lease.id, lease.priority, lease.since, lease.life) = (id, priority, since, life);
            (lease.amount, lease.reclaim) = (*amount, None);
            (lease.consumer, lease.tenant) = request.into_names();
            place
        } else {
            let amount = *amount;
            let (consumer, tenant) = request.into_names();
            let reclaim = None;
            self.places.push(Lease {
                id,
                consumer,
                tenant,
                priority,
                amount,
                since,
                life,
                reclaim,
            });
            (self.places.len() - 1) as u32
        };
        self.enter(Bucket { id: id.get(), place });
    }

    #[inline]
    fn enter(&mut self, bucket: Bucket) {
        let mut at = self.home(bucket.id);
        while self.buckets[at].id != 0 {
            at = self.after(at);
        }
        self.buckets[at] = bucket;
    }

    #[cold]
    fn grow(&mut self) {
        let more = vec![Bucket::default(); (self.buckets.len() * 2).max(FEWEST)];
        for bucket in std::mem::replace(&mut self.buckets, more.into()) {
            if bucket.id != 0 {
                self.enter(bucket);
            }
        }
    }

    /// Ends a lease, which can be looked at until another one takes its place.
    #[inline]
    pub(super) fn remove(&mut self, id: LeaseId) -> Option<&Lease> {
        let at = self.find(id)?;
        let place = self.buckets[at].place;
        self.close_gap(at);
        self.free.push(place);
        self.places.get(place as usize)
    }

    /// Moves up those behind `gap` that would not be found across it.
    #[inline]
    fn close_gap(&mut self, mut gap: usize) {
        let mask = self.buckets.len() - 1;
        let mut at = self.after(gap);
        while self.buckets[at].id != 0 {
            let home = self.home(self.buckets[at].id);
            let from_home = at.wrapping_sub(home) & mask;
            if from_home >= at.wrapping_sub(gap) & mask {
                self.buckets[gap] = self.buckets[at];
                gap = at;
            }
            at = self.after(at);
        }
        self.buckets[gap] = Bucket::default();
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Lease> {
        let held = self.buckets.iter().filter(|bucket| bucket.id != 0);
        held.filter_map(|bucket| self.places.get(bucket.place as usize))
    }

    /// The first `most` of those with a number above `after`, by number.
    pub(super) fn in_order(&self, after: LeaseId, most: usize) -> impl Iterator<Item = &Lease> {
        // What is sorted is small; a lease is large. A bucket of number 0 is empty.
        let held = self.buckets.iter().filter(|bucket| bucket.id > after.get());
        let mut held: Vec<_> = held.copied().collect();
        held.sort_unstable_by_key(|bucket| bucket.id);
        held.truncate(most);
        held.into_iter().filter_map(|bucket| self.places.get(bucket.place as usize))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use plimsoll_core_types::{ResourceVector, Slots};
    use proptest::prelude::*;

    use super::super::tests::ask;
    use super::*;

    fn request(count: u64) -> ResourceRequest {
        ask("a", ResourceVector::new().with_slots(Slots::new(count)))
    }

    proptest! {
        /// Numbers far apart and close together, begun and ended in any order.
        #[test]
        fn holds_what_a_map_holds(
            steps in prop::collection::vec((any::<bool>(), 1..9_u64, any::<u8>()), 1..300)
        ) {
            let (mut leases, mut model, mut next) = (Leases::default(), BTreeMap::new(), 0);
            for (begins, stride, pick) in steps {
                if begins || model.is_empty() {
                    next += if pick % 4 == 0 { stride << 32 } else { stride };
                    let (id, now) = (LeaseId::new(next), Timestamp::ZERO);
                    leases.insert(id, request(next), now, None);
                    model.insert(next, next);
                } else {
                    let id = *model.keys().nth(pick as usize % model.len()).unwrap();
                    let ended = leases.remove(LeaseId::new(id)).unwrap();
                    prop_assert_eq!(ended.amount.slots().get(), id);
                    model.remove(&id);
                    prop_assert!(leases.remove(LeaseId::new(id)).is_none());
                }
                for id in model.keys() {
                    let held = leases.get(LeaseId::new(*id)).unwrap();
                    prop_assert_eq!(held.amount.slots().get(), *id);
                }
                let mut all: Vec<_> = leases.iter().map(|lease| lease.id.get()).collect();
                all.sort_unstable();
                prop_assert_eq!(all, model.keys().copied().collect::<Vec<_>>());
                prop_assert_eq!(leases.len(), model.len());
                let most = usize::from(pick);
                let after = model.keys().nth(most / 4).map_or(0, |id| id - u64::from(pick % 2));
                let page = leases.in_order(LeaseId::new(after), most);
                let page: Vec<_> = page.map(|lease| lease.id.get()).collect();
                let expected = model.range(after + 1..).take(most).map(|(id, _)| *id);
                prop_assert_eq!(page, expected.collect::<Vec<_>>());
            }
            prop_assert!(leases.get(LeaseId::new(0)).is_none());
        }
    }
}
