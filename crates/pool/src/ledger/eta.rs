//! When a waiter's turn comes, where that is known.

use std::collections::BTreeMap;

use plimsoll_core_types::{LeaseId, ResourceVector, TicketId, Timestamp};

use super::Ledger;

/// How many grants and ends are looked ahead.
const STEPS: usize = 1024;

impl Ledger {
    /// When `ticket` is granted at the latest, where that follows from what is known: the times to
    /// live of leases that are not renewed, and deadlines of those being taken back. None where it
    /// hangs on a holder who may take any time, or on somebody before it in line who does not say
    /// how long it will hold.
    ///
    /// The line is taken to go in its present order, without anybody passing, which is why it can
    /// only come earlier.
    pub fn eta(&self, ticket: TicketId, now: Timestamp) -> Option<Timestamp> {
        let mut ahead = self.ahead_of(ticket, now)?;
        ahead.reverse();
        let mut ends: BTreeMap<(Timestamp, LeaseId), ResourceVector> = BTreeMap::new();
        for lease in self.leases.iter() {
            let expires = lease.life.map(|life| life.expires);
            let taken = lease.reclaim.as_ref().and_then(|reclaim| reclaim.deadline);
            if let Some(end) = [expires, taken].into_iter().flatten().min() {
                ends.insert((end, lease.id), lease.amount);
            }
        }
        let (mut promised, mut at) = (self.promised, now);
        for step in 0..STEPS {
            let next = *ahead.last()?;
            let request = &self.line.get(next)?.request;
            let sum = promised.saturating_add(request.amount());
            if sum.fits_in(&self.limit) {
                if next == ticket {
                    return Some(at);
                }
                ahead.pop();
                promised = sum;
                if let Some(ttl) = request.ttl() {
                    // Numbers of leases to come, which are above all that there are.
                    let id = LeaseId::new(u64::MAX - step as u64);
                    ends.insert((at + ttl, id), *request.amount());
                }
            } else {
                let ((end, _), amount) = ends.pop_first()?;
                promised = promised.saturating_sub(&amount);
                at = at.max(end);
            }
        }
        None
    }

    /// Those who are in line up to `ticket`, the first one first, itself included.
    fn ahead_of(&self, ticket: TicketId, now: Timestamp) -> Option<Vec<TicketId>> {
        self.line.get(ticket)?;
        let mut walk = self.line.walk();
        let mut ahead = Vec::new();
        while let Some(next) = self.line.step(&mut walk, self.order(now)) {
            ahead.push(next);
            if next == ticket {
                return Some(ahead);
            }
        }
        None
    }
}
