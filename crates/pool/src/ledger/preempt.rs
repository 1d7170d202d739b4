//! Taking leases back: the holder is asked, and its lease ended at a deadline.

use std::cmp::Reverse;
use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, LeaseId, ReleaseError, ResourceRequest, ResourceVector, TicketId, Timestamp,
};

use super::config::Preempt;
use super::event::Event;
use super::{Lease, Ledger, Reclaim};

/// The least between two attempts to make room, so that time goes on.
const SHORTEST: Duration = Duration::from_millis(1);

impl Ledger {
    /// Asks the holder of a lease to give it back within `grace`, for `beneficiary` where it is
    /// for somebody. After that the lease is ended. What it holds stays promised until then, and
    /// is kept for the beneficiary afterwards.
    ///
    /// A lease that is being reclaimed already keeps its beneficiary, and gets this deadline where
    /// it had none.
    ///
    /// # Errors
    ///
    /// When there is no such lease any more.
    pub fn preempt(
        &mut self,
        id: LeaseId,
        beneficiary: Option<ConsumerId>,
        grace: Duration,
        now: Timestamp,
    ) -> Result<(), ReleaseError> {
        self.begin_reclaim(id, beneficiary, now)?;
        let lease = self.leases.get_mut(id).ok_or(ReleaseError::Ended { id })?;
        let Some(reclaim) = &mut lease.reclaim else { return Ok(()) };
        let Reclaim { beneficiary, deadline } = &mut **reclaim;
        if deadline.is_some() {
            return Ok(());
        }
        let at = now + grace;
        *deadline = Some(at);
        self.revocations.insert((at, id));
        self.events.push_back(Event::Asked {
            lease: id,
            consumer: lease.consumer.clone(),
            beneficiary: beneficiary.clone(),
            amount: lease.amount,
            deadline: at,
        });
        Ok(())
    }

    /// The leases that would have to go so that `ticket` fits, by the rules of `preempt`; none
    /// where no such leases make room, or `ticket` waits no more. What is being reclaimed for it
    /// already counts as free.
    pub fn victims(&self, ticket: TicketId, preempt: &Preempt) -> Option<Vec<LeaseId>> {
        let request = &self.line.get(ticket)?.request;
        let mut free = self.room_for(request.consumer(), request.tenant());
        let own = |lease: &Lease| {
            lease
                .reclaim
                .as_ref()
                .is_some_and(|r| r.beneficiary.as_ref() == Some(request.consumer()))
        };
        for lease in self.leases.iter().filter(|lease| own(lease)) {
            free = free.saturating_add(&lease.amount);
        }
        let displaceable = self
            .leases
            .iter()
            .filter(|lease| lease.reclaim.is_none() && self.may_displace(request, lease, preempt));
        let mut candidates: Vec<_> = displaceable.collect();
        candidates.sort_unstable_by_key(|lease| (lease.priority, Reverse(lease.id)));
        let mut victims = Vec::new();
        for lease in candidates {
            let lacks = request.amount().saturating_sub(&free);
            if lacks.is_zero() {
                break;
            }
            // One that has nothing of what is lacking is left alone.
            if !lacks.min(&lease.amount).is_zero() {
                free = free.saturating_add(&lease.amount);
                victims.push(lease.id);
            }
        }
        let fits = request.amount().fits_in(&free);
        fits.then(|| self.without_needless(request, victims, &free))
    }

    /// Leaves out those that turned out not to be needed once later ones had been picked.
    fn without_needless(
        &self,
        request: &ResourceRequest,
        mut victims: Vec<LeaseId>,
        free: &ResourceVector,
    ) -> Vec<LeaseId> {
        let mut free = *free;
        victims.retain(|id| {
            let Some(lease) = self.leases.get(*id) else { return false };
            let without = free.saturating_sub(&lease.amount);
            let needless = request.amount().fits_in(&without);
            if needless {
                free = without;
            }
            !needless
        });
        victims
    }

    fn may_displace(&self, request: &ResourceRequest, lease: &Lease, preempt: &Preempt) -> bool {
        let by_priority = preempt.by_priority && lease.priority < request.priority();
        let by_quota = preempt.by_quota
            && lease.tenant != *request.tenant()
            && lease.priority <= request.priority()
            && self.tenants.is_beyond_quota(&lease.tenant, &self.promised)
            && self.tenants.would_stay_within_quota(
                request.tenant(),
                request.amount(),
                &self.promised,
            );
        by_priority || by_quota
    }

    /// Asks others to make room for those who have waited for long enough, and again after as long
    /// where that did not suffice.
    pub(super) fn preempt_for_the_impatient(&mut self, now: Timestamp) {
        let Some(preempt) = self.config.preempt else { return };
        let impatient = self
            .line
            .pick(|waiter| now.saturating_since(waiter.asked) >= preempt.after.max(SHORTEST));
        for ticket in impatient {
            self.line.note_asked(ticket, now);
            let Some(victims) = self.victims(ticket, &preempt) else { continue };
            let consumer = self.line.get(ticket).map(|waiter| waiter.request.consumer().clone());
            for lease in victims {
                // It was there a moment ago, and nothing has ended since.
                let _ = self.preempt(lease, consumer.clone(), preempt.grace, now);
            }
        }
    }

    /// When somebody's patience is over next.
    pub(super) fn next_preemption(&self) -> Option<Timestamp> {
        let preempt = self.config.preempt?;
        Some(self.line.longest_unasked()? + preempt.after.max(SHORTEST))
    }

    /// Ends the leases whose holders were asked and have not answered in time.
    pub(super) fn revoke_overdue(&mut self, now: Timestamp) {
        while let Some((deadline, id)) = self.revocations.first().copied()
            && deadline <= now
        {
            self.revocations.remove(&(deadline, id));
            let Some(lease) = self.end(id, now) else { continue };
            let reclaim = lease.reclaim.as_ref();
            let revoked = Event::Revoked {
                lease: id,
                consumer: lease.consumer.clone(),
                beneficiary: reclaim.and_then(|reclaim| reclaim.beneficiary.clone()),
                amount: lease.amount,
            };
            self.events.push_back(revoked);
        }
    }
}
