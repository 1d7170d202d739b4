//! Who waits, and in which order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, Priority, ResourceRequest, ResourceVector, TenantId, TicketId, Timestamp,
};

use super::tenants::Tenants;

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) request: ResourceRequest,
    pub(super) since: Timestamp,
    /// How many grants have passed it and used what it lacks.
    pub(super) passed: u32,
}

/// Everybody who waits: one queue in order of arrival for each tenant and priority, merged by
/// priority with ageing, then by what the tenant is owed, then by arrival.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiters: HashMap<TicketId, Waiter>,
    queues: BTreeMap<(TenantId, Priority), BTreeSet<TicketId>>,
    deadlines: BTreeSet<(Timestamp, TicketId)>,
}

/// A walk along the line, next in turn first.
#[derive(Debug)]
pub(super) struct Walk {
    cursors: Vec<Cursor>,
}

#[derive(Debug)]
struct Cursor {
    tenant: TenantId,
    priority: Priority,
    head: TicketId,
}

/// What the order depends on beside the line itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    pub(super) tenants: &'a Tenants,
    pub(super) whole: &'a ResourceVector,
    pub(super) ageing: Duration,
    pub(super) now: Timestamp,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn get(&self, ticket: TicketId) -> Option<&Waiter> {
        self.waiters.get(&ticket)
    }

    pub(super) fn push(&mut self, ticket: TicketId, request: ResourceRequest, now: Timestamp) {
        let queue = (request.tenant().clone(), request.priority());
        self.queues.entry(queue).or_default().insert(ticket);
        if let Some(deadline) = request.deadline() {
            self.deadlines.insert((deadline, ticket));
        }
        self.waiters.insert(ticket, Waiter { request, since: now, passed: 0 });
    }

    pub(super) fn remove(&mut self, ticket: TicketId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        let key = (waiter.request.tenant().clone(), waiter.request.priority());
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.remove(&ticket);
            if queue.is_empty() {
                self.queues.remove(&key);
            }
        }
        if let Some(deadline) = waiter.request.deadline() {
            self.deadlines.remove(&(deadline, ticket));
        }
        Some(waiter)
    }

    /// Counts one more grant that passed `ticket`.
    pub(super) fn note_passed(&mut self, ticket: TicketId) {
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            waiter.passed = waiter.passed.saturating_add(1);
        }
    }

    pub(super) fn waits(&self, consumer: &ConsumerId) -> bool {
        self.waiters.values().any(|waiter| waiter.request.consumer() == consumer)
    }

    /// Those whom `which` picks, by ticket.
    pub(super) fn pick(&self, which: impl Fn(&Waiter) -> bool) -> Vec<TicketId> {
        let picked = self.waiters.iter().filter(|(_, waiter)| which(waiter));
        let mut tickets: Vec<_> = picked.map(|(ticket, _)| *ticket).collect();
        tickets.sort_unstable();
        tickets
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Somebody whose deadline is not after `now`.
    pub(super) fn late(&self, now: Timestamp) -> Option<TicketId> {
        self.deadlines.first().filter(|(deadline, _)| *deadline <= now).map(|(_, ticket)| *ticket)
    }

    /// A walk from the first in turn on.
    pub(super) fn walk(&self) -> Walk {
        let cursor = |((tenant, priority), queue): (&(TenantId, Priority), &BTreeSet<TicketId>)| {
            let head = *queue.first()?;
            Some(Cursor { tenant: tenant.clone(), priority: *priority, head })
        };
        Walk { cursors: self.queues.iter().filter_map(cursor).collect() }
    }

    /// The next in turn on this walk.
    pub(super) fn step(&self, walk: &mut Walk, order: Order<'_>) -> Option<TicketId> {
        let mut best: Option<usize> = None;
        for index in 0..walk.cursors.len() {
            let better =
                |other| self.goes_before(&walk.cursors[index], &walk.cursors[other], order);
            if best.is_none_or(better) {
                best = Some(index);
            }
        }
        let best = best?;
        let cursor = &mut walk.cursors[best];
        let ticket = cursor.head;
        let queue = self.queues.get(&(cursor.tenant.clone(), cursor.priority));
        let next = queue.and_then(|queue| queue.range((Excluded(ticket), Unbounded)).next());
        match next {
            Some(next) => cursor.head = *next,
            None => {
                walk.cursors.swap_remove(best);
            }
        }
        Some(ticket)
    }

    fn goes_before(&self, one: &Cursor, other: &Cursor, order: Order<'_>) -> bool {
        let by_class = self.class(other, order).cmp(&self.class(one, order));
        let by_claim = || {
            let claim = |cursor: &Cursor| order.tenants.claim(&cursor.tenant, order.whole);
            if one.tenant == other.tenant {
                std::cmp::Ordering::Equal
            } else {
                claim(one).compare(&claim(other))
            }
        };
        by_class.then_with(by_claim).then(one.head.cmp(&other.head)).is_lt()
    }

    /// The class of the waiter at `cursor`: its own, raised by one for each time that it has
    /// waited `ageing`.
    fn class(&self, cursor: &Cursor, order: Order<'_>) -> usize {
        let since = self.waiters.get(&cursor.head).map_or(order.now, |waiter| waiter.since);
        let waited = order.now.saturating_since(since).as_nanos();
        let raised = usize::try_from(waited / order.ageing.as_nanos().max(1)).unwrap_or(usize::MAX);
        cursor.priority.index().saturating_add(raised).min(Priority::Critical.index())
    }
}
