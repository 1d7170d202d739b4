//! What becomes of a lease while it is held: another amount, another expiry, its way back.

use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, LeaseId, ReleaseError, RenewError, ResizeError, ResourceVector, Timestamp,
};

use super::dims::DimensionSet;
use super::{Ledger, Life, Reclaim};

impl Ledger {
    /// Changes what a lease holds, at once or not at all.
    ///
    /// Growth takes nothing that is kept for a waiter.
    ///
    /// # Errors
    ///
    /// When it does not fit, is nothing, or the lease has ended or is being reclaimed.
    pub fn resize(
        &mut self,
        id: LeaseId,
        amount: &ResourceVector,
        now: Timestamp,
    ) -> Result<(), ResizeError> {
        self.catch_up(now);
        let lease = self.leases.get(id).filter(|lease| lease.reclaim.is_none());
        let lease = lease.ok_or(ResizeError::Ended { id })?;
        if amount.is_zero() {
            return Err(ResizeError::Nothing { id });
        }
        let (before, tenant) = (lease.amount, lease.tenant.clone());
        let more = amount.saturating_sub(&before);
        let room = self.room_for(&lease.consumer, &tenant);
        let kept = self.kept_for_waiters(now);
        let room = if DimensionSet::of(&more).meets(kept) { without(&room, kept) } else { room };
        if let Some(dimension) = more.first_exceeding(&room) {
            let (asked, free) = (amount.get(dimension), room.get(dimension));
            return Err(ResizeError::NoRoom { id, dimension, asked, free });
        }
        let less = before.saturating_sub(amount);
        self.promised = self.promised.saturating_add(&more).saturating_sub(&less);
        self.tenants.add(&tenant, &more);
        self.tenants.subtract(&tenant, &less);
        if let Some(lease) = self.leases.get_mut(id) {
            lease.amount = *amount;
        }
        if !less.is_zero() {
            self.serve(now);
        }
        Ok(())
    }

    /// Puts a lease's expiry `ttl` ahead of now.
    ///
    /// # Errors
    ///
    /// When the lease has expired or ended, is being reclaimed, or never expires.
    pub fn renew(
        &mut self,
        id: LeaseId,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Timestamp, RenewError> {
        self.catch_up(now);
        let lease = self.leases.get_mut(id).filter(|lease| lease.reclaim.is_none());
        let life = &mut lease.ok_or(RenewError::Ended { id })?.life;
        let life = life.as_mut().ok_or(RenewError::Unlimited { id })?;
        self.expiries.remove(&(life.expires, id));
        *life = Life { ttl, expires: now + ttl };
        self.expiries.insert((life.expires, id));
        Ok(life.expires)
    }

    /// Marks a lease as on its way back, for `beneficiary` where it is for somebody. Its amount
    /// stays promised until it is released. A lease that is being reclaimed already keeps its
    /// beneficiary.
    ///
    /// # Errors
    ///
    /// When there is no such lease any more.
    pub fn begin_reclaim(
        &mut self,
        id: LeaseId,
        beneficiary: Option<ConsumerId>,
        now: Timestamp,
    ) -> Result<(), ReleaseError> {
        self.catch_up(now);
        let lease = self.leases.get_mut(id).ok_or(ReleaseError::Ended { id })?;
        if lease.reclaim.is_none() {
            lease.reclaim = Some(Box::new(Reclaim { beneficiary, deadline: None }));
            self.reclaims += 1;
            self.reclaiming = self.reclaiming.saturating_add(&lease.amount);
        }
        Ok(())
    }
}

/// `room` with nothing in the dimensions of `kept`.
fn without(room: &ResourceVector, kept: DimensionSet) -> ResourceVector {
    let kept_in = |one: &ResourceVector| DimensionSet::of(one).meets(kept);
    room.iter().fold(ResourceVector::ZERO, |left, (dimension, count)| {
        let one = ResourceVector::new().with(dimension, count);
        if kept_in(&one) { left } else { left.saturating_add(&one) }
    })
}
