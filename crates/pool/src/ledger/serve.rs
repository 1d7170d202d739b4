//! Whose turn it is, and what comes of it.

use std::collections::VecDeque;

use plimsoll_core_types::{
    AllocateError, ConsumerId, Dimension, Lacking, LeaseId, ResourceRequest, ResourceVector,
    TenantId, TicketId, Timestamp,
};

use super::dims::DimensionSet;
use super::event::Event;
use super::line::{Order, Waiter};
use super::{Lease, Ledger, Life};

/// Waiters that did not fit and are passed on this walk.
#[derive(Debug, Default)]
struct Passed {
    /// With what each lacks.
    waiters: Vec<(TicketId, DimensionSet)>,
    /// What is kept for those that have been passed often enough.
    kept: DimensionSet,
}

impl Ledger {
    /// Grants whatever can be granted now, in turn.
    ///
    /// A waiter that does not fit is passed by those that do, as often as the config allows; after
    /// that, nobody behind it gets anything of what it lacks. So it holds up nobody who does not
    /// need what it needs, and nobody can hold it up for ever.
    pub(super) fn serve(&mut self, now: Timestamp) {
        while !self.line.is_empty() && self.walk(now) {}
    }

    /// Walks the line once. True when it must be walked again: something that was kept for a
    /// waiter has come free for those that were passed.
    fn walk(&mut self, now: Timestamp) -> bool {
        let mut walk = self.line.walk();
        let mut passed = Passed::default();
        while self.leaves_something(passed.kept)
            && let Some(ticket) = self.line.step(&mut walk, self.order(now))
        {
            let Some(waiter) = self.line.get(ticket) else { continue };
            let request = &waiter.request;
            // What is kept for it, it takes from nobody.
            let own = self.earmarks.of(request.consumer());
            let uses = DimensionSet::of(&request.amount().saturating_sub(&own));
            let room = self.room_for(request.consumer(), request.tenant());
            if !request.amount().fits_in(&room) || uses.meets(passed.kept) {
                passed.note(ticket, waiter, self.lacks(request), self.config.max_bypass);
                continue;
            }
            for (before, lacked) in &passed.waiters {
                if uses.meets(*lacked) {
                    self.line.note_passed(*before);
                }
            }
            if self.grant_waiter(ticket, now) && !passed.waiters.is_empty() {
                return true;
            }
            passed.refresh(&self.line, self.config.max_bypass);
        }
        false
    }

    /// Whether anything is free beside what is kept for those that have been passed often enough:
    /// where nothing is, the rest of the line need not be walked. What is freed for one that is
    /// further back it may take all the same.
    fn leaves_something(&self, kept: DimensionSet) -> bool {
        let free = self.limit.saturating_sub(&self.promised);
        let others = DimensionSet::of(&free).without(kept);
        !others.is_empty() || !self.earmarks.is_empty() && !free.is_zero()
    }

    pub(super) fn order(&self, now: Timestamp) -> Order<'_> {
        let (tenants, ageing) = (&self.tenants, self.config.ageing);
        Order { tenants, promised: &self.promised, whole: &self.limit, ageing, now }
    }

    /// Whether `request` could be granted now.
    pub(super) fn fits(&self, request: &ResourceRequest) -> bool {
        if self.earmarks.is_empty() && !self.tenants.any_configured() {
            // Without anything special, the sum says it, and does not need the room.
            let sum = self.promised.checked_add(request.amount());
            return sum.is_ok_and(|sum| sum.fits_in(&self.limit)) || self.fits_in_room(request);
        }
        self.fits_in_room(request)
    }

    fn fits_in_room(&self, request: &ResourceRequest) -> bool {
        request.amount().fits_in(&self.room_for(request.consumer(), request.tenant()))
    }

    /// What could be granted to `consumer` of `tenant` now.
    pub(super) fn room_for(&self, consumer: &ConsumerId, tenant: &TenantId) -> ResourceVector {
        let room = self.free_for(consumer);
        match self.tenants.left(tenant, &self.promised) {
            Some(left) => room.min(&left),
            None => room,
        }
    }

    /// What is free, less what is kept for others than `consumer`.
    fn free_for(&self, consumer: &ConsumerId) -> ResourceVector {
        let free = self.limit.saturating_sub(&self.promised);
        if self.earmarks.is_empty() {
            return free;
        }
        free.saturating_sub(&self.earmarks.of_others(consumer))
    }

    /// What keeping others back could provide `request` with. What it lacks by its own tenant's
    /// limit, nobody else could leave to it.
    fn lacks(&self, request: &ResourceRequest) -> DimensionSet {
        DimensionSet::exceeding(request.amount(), &self.free_for(request.consumer()))
    }

    /// What is kept for waiters that have been passed as often as they may be.
    pub(super) fn kept_for_waiters(&self, now: Timestamp) -> DimensionSet {
        let mut passed = Passed::default();
        let mut walk = self.line.walk();
        while let Some(ticket) = self.line.step(&mut walk, self.order(now)) {
            let Some(waiter) = self.line.get(ticket) else { continue };
            passed.note(ticket, waiter, self.lacks(&waiter.request), self.config.max_bypass);
        }
        passed.kept
    }

    /// Makes a lease of `request`, for which there is room.
    pub(super) fn grant(&mut self, request: ResourceRequest, now: Timestamp) -> LeaseId {
        self.promised = self.promised.saturating_add(request.amount());
        if !self.earmarks.is_empty() {
            self.earmarks.spend(request.consumer(), request.amount());
        }
        self.enter(request, now)
    }

    /// Enters the lease of `request`, whose amount is promised already.
    #[inline]
    pub(super) fn enter(&mut self, request: ResourceRequest, now: Timestamp) -> LeaseId {
        let id = LeaseId::new(self.fresh_id());
        let life = request.ttl().map(|ttl| Life { ttl, expires: now + ttl });
        if let Some(life) = life {
            self.expiries.insert((life.expires, id));
        }
        self.tenants.add(request.tenant(), request.amount());
        self.leases.insert(id, request, now, life);
        self.counts.granted += 1;
        id
    }

    /// Makes a waiter's lease. True when something that had been kept for it came free.
    fn grant_waiter(&mut self, ticket: TicketId, now: Timestamp) -> bool {
        let Some(waiter) = self.line.serve(ticket, now) else { return false };
        let Waiter { request, since, .. } = waiter;
        let (consumer, amount) = (request.consumer().clone(), *request.amount());
        let lease = self.grant(request, now);
        let came_free = self.left_line(&consumer);
        let waited = now.saturating_since(since);
        self.events.push_back(Event::Granted { ticket, lease, consumer, amount, waited });
        came_free
    }

    /// Takes the event back that grants `ticket`, where there is one: the asker is still here.
    pub(super) fn granted_at_once(&mut self, ticket: TicketId) -> Option<LeaseId> {
        let own = |event: &Event| match event {
            Event::Granted { ticket: of, lease, .. } if *of == ticket => Some(*lease),
            _ => None,
        };
        let (index, lease) =
            self.events.iter().enumerate().find_map(|(index, event)| Some((index, own(event)?)))?;
        self.events.remove(index);
        Some(lease)
    }

    /// Ends a lease, and keeps what it held for whom it was being reclaimed.
    #[inline]
    pub(super) fn end(&mut self, id: LeaseId, now: Timestamp) -> Option<&Lease> {
        let lease = self.leases.remove(id)?;
        let was_promised = self.promised.shrink_by(&lease.amount);
        debug_assert!(was_promised, "every lease is part of what is promised");
        self.tenants.subtract(&lease.tenant, &lease.amount);
        if let Some(life) = lease.life {
            self.expiries.remove(&(life.expires, id));
        }
        if let Some(reclaim) = &lease.reclaim {
            self.reclaims -= 1;
            self.reclaiming = self.reclaiming.saturating_sub(&lease.amount);
            if let Some(deadline) = reclaim.deadline {
                self.revocations.remove(&(deadline, id));
            }
            if let Some(beneficiary) = &reclaim.beneficiary {
                self.earmarks.keep(beneficiary, lease.amount, now);
            }
        }
        Some(lease)
    }

    /// Ends what has outlived its time.
    #[inline]
    pub(super) fn catch_up(&mut self, now: Timestamp) {
        (self.told, self.untold) = (now, 0);
        if !self.is_timeless() {
            self.catch_up_slowly(now);
        }
    }

    fn catch_up_slowly(&mut self, now: Timestamp) {
        if self.next_wakeup().is_none_or(|wakeup| wakeup > now) {
            return;
        }
        while let Some((expires, id)) = self.expiries.first().copied()
            && expires <= now
        {
            self.expire_lease(id, now);
        }
        self.revoke_overdue(now);
        while let Some(ticket) = self.line.late(now) {
            self.time_out(ticket, now);
        }
        self.earmarks.expire(now);
        self.serve(now);
        self.preempt_for_the_impatient(now);
    }

    fn expire_lease(&mut self, id: LeaseId, now: Timestamp) {
        let Some(lease) = self.end(id, now) else { return };
        let ttl = lease.life.map_or(std::time::Duration::ZERO, |life| life.ttl);
        let (consumer, amount) = (lease.consumer.clone(), lease.amount);
        self.counts.expired += 1;
        self.events.push_back(Event::Expired { lease: id, consumer, amount, ttl });
    }

    fn time_out(&mut self, ticket: TicketId, now: Timestamp) {
        let Some(waiter) = self.line.remove(ticket) else { return };
        self.counts.timed_out += 1;
        let error = self.deadline_passed(&waiter.request, waiter.since, now);
        self.left_line(waiter.request.consumer());
        self.events.push_back(Event::Refused { ticket, error });
    }

    pub(super) fn refuse_waiter(
        &mut self,
        ticket: TicketId,
        why: impl Fn(&ResourceRequest) -> Option<AllocateError>,
    ) {
        let Some(error) = self.line.get(ticket).and_then(|waiter| why(&waiter.request)) else {
            return;
        };
        if let Some(waiter) = self.line.remove(ticket) {
            self.counts.refused += 1;
            self.left_line(waiter.request.consumer());
            self.events.push_back(Event::Refused { ticket, error });
        }
    }

    /// A consumer has left the line: nothing is kept for it unless it waits for more. True when
    /// something was.
    pub(super) fn left_line(&mut self, consumer: &ConsumerId) -> bool {
        !self.earmarks.is_empty() && !self.line.waits(consumer) && self.earmarks.forget(consumer)
    }

    pub(super) fn deadline_passed(
        &self,
        request: &ResourceRequest,
        since: Timestamp,
        now: Timestamp,
    ) -> AllocateError {
        let lacking = self.lacking(request).unwrap_or_else(|| {
            let first = request.amount().iter().next();
            let (dimension, asked) = first.unwrap_or((Dimension::Memory, 0));
            let free = self.room_for(request.consumer(), request.tenant()).get(dimension);
            Lacking { dimension, asked, free }
        });
        let waited = now.saturating_since(since);
        AllocateError::DeadlinePassed { consumer: request.consumer().clone(), waited, lacking }
    }

    /// The first dimension in which there is no room for `request`.
    pub(super) fn lacking(&self, request: &ResourceRequest) -> Option<Lacking> {
        let room = self.room_for(request.consumer(), request.tenant());
        let dimension = request.amount().first_exceeding(&room)?;
        let (asked, free) = (request.amount().get(dimension), room.get(dimension));
        Some(Lacking { dimension, asked, free })
    }

    /// Decisions that nobody has taken yet.
    pub fn events(&self) -> &VecDeque<Event> {
        &self.events
    }
}

impl Passed {
    fn note(&mut self, ticket: TicketId, waiter: &Waiter, lacks: DimensionSet, most: u32) {
        if waiter.passed >= most {
            self.kept = self.kept.with(lacks);
        }
        self.waiters.push((ticket, lacks));
    }

    /// Keeps what is lacked by those that have been passed often enough by now.
    fn refresh(&mut self, line: &super::line::Line, most: u32) {
        for (ticket, lacks) in &self.waiters {
            if line.get(*ticket).is_some_and(|waiter| waiter.passed >= most) {
                self.kept = self.kept.with(*lacks);
            }
        }
    }
}
