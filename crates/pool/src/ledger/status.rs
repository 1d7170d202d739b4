//! What a ledger tells of itself.

use plimsoll_core_types::{LeaseStatus, Reason, ResourceStatus, TicketId, Timestamp, WaiterStatus};

use super::Ledger;

impl Ledger {
    /// What is promised to whom, and who waits.
    pub fn status(&self, now: Timestamp) -> ResourceStatus {
        ResourceStatus {
            at: now,
            limit: self.limit,
            promised: self.promised,
            reclaiming: self.reclaiming,
            available: self.limit.saturating_sub(&self.promised),
            leases: self.leases(),
            waiters: self.waiters(now),
            granted: self.counts.granted,
            refused: self.counts.refused,
            timed_out: self.counts.timed_out,
            cancelled: self.counts.cancelled,
            expired: self.counts.expired,
        }
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

    fn leases(&self) -> Vec<LeaseStatus> {
        // Only those that are listed are copied: there may be many more.
        let mut listed: Vec<_> = self.leases.iter().collect();
        listed.sort_unstable_by_key(|lease| lease.id);
        listed.truncate(self.config.max_listed);
        listed
            .into_iter()
            .map(|lease| LeaseStatus {
                id: lease.id,
                consumer: lease.consumer.clone(),
                tenant: lease.tenant.clone(),
                priority: lease.priority,
                amount: lease.amount,
                since: lease.since,
                expires: lease.life.map(|life| life.expires),
                reclaiming: lease.reclaim.is_some(),
            })
            .collect()
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
