//! What a ledger tells of itself.

use plimsoll_core_types::{
    LeaseId, LeaseStatus, Reason, ResourceStatus, TicketId, Timestamp, WaiterStatus,
};

use super::{Lease, Ledger};

impl Ledger {
    /// What is promised to whom, and who waits.
    pub fn status(&self, now: Timestamp) -> ResourceStatus {
        let mut leases = Vec::new();
        self.list_leases(&mut leases);
        self.status_of(now, leases)
    }

    /// The same, written over an earlier status of any ledger, whose list is used again.
    pub fn status_into(&self, now: Timestamp, status: &mut ResourceStatus) {
        let mut leases = std::mem::take(&mut status.leases);
        self.list_leases(&mut leases);
        *status = self.status_of(now, leases);
    }

    fn status_of(&self, now: Timestamp, leases: Vec<LeaseStatus>) -> ResourceStatus {
        ResourceStatus {
            at: now,
            limit: self.limit,
            promised: self.promised,
            reclaiming: self.reclaiming,
            available: self.limit.saturating_sub(&self.promised),
            held: self.leases.len(),
            leases,
            waiters: self.waiters(now),
            granted: self.counts.granted,
            refused: self.counts.refused,
            timed_out: self.counts.timed_out,
            cancelled: self.counts.cancelled,
            expired: self.counts.expired,
        }
    }

    /// The first `most` leases of those with a number above `after`, by number.
    pub fn leases_after(&self, after: LeaseId, most: usize) -> Vec<LeaseStatus> {
        self.leases.in_order(after, most).map(Lease::tell).collect()
    }

    /// Why `ticket` waits, with its position; none where it waits no more.
    pub fn reason(&self, ticket: TicketId, now: Timestamp) -> Option<Reason> {
        let lacking = self.lacking(&self.line.get(ticket)?.request)?;
        let mut walk = self.line.walk();
        let mut position = 1;
        while let Some(next) = self.line.step(&mut walk, self.order(now)) {
            if next == ticket {
                return Some(Reason::Waits { position, lacking });
            }
            position += 1;
        }
        None
    }

    /// Writes the leases over an earlier list of them. Mostly the same are held as then, and what
    /// can't have changed, their names above all, is left as it stands.
    fn list_leases(&self, listed: &mut Vec<LeaseStatus>) {
        let most = self.config.max_listed;
        listed.retain_mut(|entry| {
            let lease = self.leases.get(entry.id);
            lease.is_some_and(|lease| lease.tell_again(entry))
        });
        // As many different ones as are held, in order: they are those that are held.
        let complete = listed.len() == self.leases.len() && listed.len() <= most;
        if !complete || !listed.is_sorted_by(|one, next| one.id < next.id) {
            listed.clear();
            let first = self.leases.in_order(LeaseId::new(0), most);
            listed.extend(first.map(Lease::tell));
        }
    }

    fn waiters(&self, now: Timestamp) -> Vec<WaiterStatus> {
        let mut walk = self.line.walk();
        let mut waiters = Vec::new();
        while waiters.len() < self.config.max_listed
            && let Some(ticket) = self.line.step(&mut walk, self.order(now))
        {
            let Some(waiter) = self.line.get(ticket) else { continue };
            let request = &waiter.request;
            waiters.push(WaiterStatus {
                id: ticket,
                consumer: request.consumer().clone(),
                tenant: request.tenant().clone(),
                priority: request.priority(),
                amount: *request.amount(),
                since: waiter.since,
                deadline: request.deadline(),
                position: waiters.len() + 1,
                lacking: self.lacking(request),
            });
        }
        waiters
    }
}

impl Lease {
    fn tell(&self) -> LeaseStatus {
        LeaseStatus {
            id: self.id,
            consumer: self.consumer.clone(),
            tenant: self.tenant.clone(),
            priority: self.priority,
            amount: self.amount,
            since: self.since,
            expires: self.life.map(|life| life.expires),
            reclaiming: self.reclaim.is_some(),
        }
    }

    /// Brings what was told of it earlier up to date. False where that was told of another one.
    fn tell_again(&self, told: &mut LeaseStatus) -> bool {
        told.amount = self.amount;
        told.expires = self.life.map(|life| life.expires);
        told.reclaiming = self.reclaim.is_some();
        (told.since, told.priority) == (self.since, self.priority)
            && told.consumer == self.consumer
            && told.tenant == self.tenant
    }
}
