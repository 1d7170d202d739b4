//! Who waits, and in which order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, Priority, ResourceRequest, ResourceVector, TenantId, TicketId, Timestamp,
};

use super::hash::NumberMap;
use super::tenants::Tenants;

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) request: ResourceRequest,
    pub(super) since: Timestamp,
    /// How many grants have passed it and used what it lacks.
    pub(super) passed: u32,
    /// When it began to wait, or others were last asked to make room for it.
    pub(super) asked: Timestamp,
}

/// Everybody who waits: one queue in order of arrival for each tenant and priority, merged by
/// priority with ageing, then by what the tenant is owed, then by arrival.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiters: NumberMap<TicketId, Waiter>,
    queues: BTreeMap<(TenantId, Priority), Queue>,
    deadlines: BTreeSet<(Timestamp, TicketId)>,
}

/// Those of one tenant and priority, in order of arrival.
#[derive(Debug, Default)]
struct Queue {
    tickets: BTreeSet<TicketId>,
    /// When one of them was last granted what it asked for.
    served: Timestamp,
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
    served: Timestamp,
}

/// What the order depends on beside the line itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a> {
    pub(super) tenants: &'a Tenants,
    pub(super) promised: &'a ResourceVector,
    pub(super) whole: &'a ResourceVector,
    pub(super) ageing: Duration,
    pub(super) now: Timestamp,
}

impl Line {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// How many of `tenant` wait.
    pub(super) fn len_of(&self, tenant: &TenantId) -> usize {
        let key = |priority| (tenant.clone(), priority);
        let queues = Priority::ALL.into_iter().filter_map(|class| self.queues.get(&key(class)));
        queues.map(|queue| queue.tickets.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn get(&self, ticket: TicketId) -> Option<&Waiter> {
        self.waiters.get(&ticket)
    }

    pub(super) fn push(&mut self, ticket: TicketId, request: ResourceRequest, now: Timestamp) {
        let queue = (request.tenant().clone(), request.priority());
        self.queues.entry(queue).or_default().tickets.insert(ticket);
        if let Some(deadline) = request.deadline() {
            self.deadlines.insert((deadline, ticket));
        }
        self.waiters.insert(ticket, Waiter { request, since: now, passed: 0, asked: now });
    }

    pub(super) fn remove(&mut self, ticket: TicketId) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        let key = (waiter.request.tenant().clone(), waiter.request.priority());
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.tickets.remove(&ticket);
            if queue.tickets.is_empty() {
                self.queues.remove(&key);
            }
        }
        if let Some(deadline) = waiter.request.deadline() {
            self.deadlines.remove(&(deadline, ticket));
        }
        Some(waiter)
    }

    /// Takes `ticket`, which is granted what it asked for, out of the line.
    pub(super) fn serve(&mut self, ticket: TicketId, now: Timestamp) -> Option<Waiter> {
        let waiter = self.remove(ticket)?;
        let key = (waiter.request.tenant().clone(), waiter.request.priority());
        if let Some(queue) = self.queues.get_mut(&key) {
            queue.served = now;
        }
        Some(waiter)
    }

    /// Counts one more grant that passed `ticket`.
    pub(super) fn note_passed(&mut self, ticket: TicketId) {
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            waiter.passed = waiter.passed.saturating_add(1);
        }
    }

    /// Notes that others have been asked to make room for `ticket`.
    pub(super) fn note_asked(&mut self, ticket: TicketId, now: Timestamp) {
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            waiter.asked = now;
        }
    }

    /// Since when nobody has been asked to make room for the one for whom that is longest ago.
    pub(super) fn longest_unasked(&self) -> Option<Timestamp> {
        self.waiters.values().map(|waiter| waiter.asked).min()
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
        let cursor = |((tenant, priority), queue): (&(TenantId, Priority), &Queue)| {
            let (head, served) = (*queue.tickets.first()?, queue.served);
            Some(Cursor { tenant: tenant.clone(), priority: *priority, head, served })
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
        let after = (Excluded(ticket), Unbounded);
        let next = queue.and_then(|queue| queue.tickets.range(after).next());
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
            let Order { tenants, promised, whole, .. } = order;
            let claim = |cursor: &Cursor| tenants.claim(&cursor.tenant, promised, whole);
            if one.tenant == other.tenant {
                std::cmp::Ordering::Equal
            } else {
                claim(one).compare(&claim(other))
            }
        };
        by_class.then_with(by_claim).then(one.head.cmp(&other.head)).is_lt()
    }

    /// The class of the waiter at `cursor`: its own, raised by one for each `ageing` for which
    /// nobody of its tenant and priority has been served while it waited. So a class that is
    /// passed over ages, and a tenant that floods the line, and is served its share, does not.
    fn class(&self, cursor: &Cursor, order: Order<'_>) -> usize {
        let since = self.waiters.get(&cursor.head).map_or(order.now, |waiter| waiter.since);
        let waited = order.now.saturating_since(since.max(cursor.served)).as_nanos();
        let raised = usize::try_from(waited / order.ageing.as_nanos().max(1)).unwrap_or(usize::MAX);
        cursor.priority.index().saturating_add(raised).min(Priority::Critical.index())
    }
}
