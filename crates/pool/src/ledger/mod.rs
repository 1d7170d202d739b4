//! The pure core of [`LedgerPool`](crate::LedgerPool): it is told events and the time, and says
//! what it decides. It reads no clock, locks nothing and wakes nobody.
//!
//! Holds, at every step and in every dimension: promised = Σ leases, and promised ≤ limit except
//! for the debt that a lowered limit leaves, during which nothing is granted where the debt is.

mod change;
mod config;
mod dims;
mod earmarks;
mod eta;
mod event;
mod hash;
mod leases;
mod line;
pub mod placement;
mod preempt;
mod pressure;
mod serve;
mod status;
mod tenants;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use plimsoll_core_types::{
    AllocateError, ConsumerId, LeaseId, Priority, ReleaseError, ResourceRequest, ResourceVector,
    TenantId, TicketId, Timestamp,
};

pub use config::{LedgerConfig, LedgerConfigError, Preempt, TenantConfig};
use earmarks::Earmarks;
pub use event::{Event, Outcome};
use leases::Leases;
use line::Line;
pub use pressure::Pressure;
use tenants::{Tenants, never_fits};

/// Who holds how much of a limited whole, and who waits for it.
///
/// ```
/// use plimsoll_core_types::{ConsumerId, ResourceRequest, ResourceVector, Slots, Timestamp};
/// use plimsoll_pool::ledger::{Event, Ledger, LedgerConfig, Outcome};
///
/// let slots = |count| ResourceVector::new().with_slots(Slots::new(count));
/// let now = Timestamp::ZERO;
/// let mut ledger = Ledger::new(slots(3), LedgerConfig::default())?;
/// let ask = |count| ResourceRequest::new(ConsumerId::new("a").unwrap(), slots(count)).unwrap();
///
/// let Outcome::Granted(first) = ledger.request(ask(2), now)? else { panic!("there is room") };
/// let Outcome::Waits(ticket) = ledger.request(ask(2), now)? else { panic!("there is none") };
/// ledger.release(first, now)?;
/// assert!(matches!(ledger.poll_event(), Some(Event::Granted { ticket: t, .. }) if t == ticket));
/// assert!(ledger.request(ask(4), now).unwrap_err().to_string().contains("can never fit"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Ledger {
    config: LedgerConfig,
    limit: ResourceVector,
    promised: ResourceVector,
    reclaiming: ResourceVector,
    leases: Leases,
    expiries: BTreeSet<(Timestamp, LeaseId)>,
    /// When leases are ended whose holders have been asked.
    revocations: BTreeSet<(Timestamp, LeaseId)>,
    line: Line,
    earmarks: Earmarks,
    tenants: Tenants,
    events: VecDeque<Event>,
    counts: Counts,
    /// How many leases are being reclaimed.
    reclaims: usize,
    next_id: u64,
    closed: bool,
    /// The time that it was last told, and how many leases were entered since by that time.
    told: Timestamp,
    untold: u32,
}

/// After as many grants by the time that was last told, the next one asks for it.
const MOST_UNTOLD: u32 = 63;

/// A lease that is held.
#[derive(Debug)]
struct Lease {
    id: LeaseId,
    consumer: ConsumerId,
    tenant: TenantId,
    priority: Priority,
    amount: ResourceVector,
    since: Timestamp,
    life: Option<Life>,
    reclaim: Option<Box<Reclaim>>,
}

/// How long a lease lives.
#[derive(Clone, Copy, Debug)]
struct Life {
    ttl: Duration,
    expires: Timestamp,
}

/// Its holder has been asked to give it back.
#[derive(Debug)]
struct Reclaim {
    beneficiary: Option<ConsumerId>,
    /// When it is ended; none where its holder may take its time.
    deadline: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    granted: u64,
    refused: u64,
    timed_out: u64,
    cancelled: u64,
    expired: u64,
}

impl Ledger {
    /// A ledger over `limit`, with nothing promised.
    ///
    /// # Errors
    ///
    /// When `config` contradicts itself; names the field.
    pub fn new(limit: ResourceVector, config: LedgerConfig) -> Result<Self, LedgerConfigError> {
        config.check()?;
        Ok(Self {
            limit,
            promised: ResourceVector::ZERO,
            reclaiming: ResourceVector::ZERO,
            leases: Leases::default(),
            expiries: BTreeSet::new(),
            revocations: BTreeSet::new(),
            line: Line::default(),
            earmarks: Earmarks::new(config.earmark_for, config.max_earmarks),
            tenants: Tenants::new(config.tenants.clone()),
            events: VecDeque::new(),
            counts: Counts::default(),
            reclaims: 0,
            next_id: 1,
            closed: false,
            told: Timestamp::ZERO,
            untold: 0,
            config,
        })
    }

    /// Grants `request`, or puts it into the line.
    ///
    /// # Errors
    ///
    /// When it can never fit, the line is full, its deadline has passed already, or the ledger is
    /// closed.
    pub fn request(
        &mut self,
        request: ResourceRequest,
        now: Timestamp,
    ) -> Result<Outcome, AllocateError> {
        if self.is_plain() && self.promised.grow_within(request.amount(), &self.limit) {
            return Ok(Outcome::Granted(self.enter(request, now)));
        }
        self.request_slowly(request, now)
    }

    /// As [`request`](Self::request), for whoever would first have to look at the clock, which costs
    /// more than all the rest: it is asked for the time only where what comes of it depends on that,
    /// and for one grant in 64. In between, a lease is said to be held since the ledger was last told
    /// the time, which is before it was granted.
    ///
    /// # Errors
    ///
    /// As for [`request`](Self::request).
    #[inline]
    pub fn request_lazily(
        &mut self,
        request: ResourceRequest,
        now: impl FnOnce() -> Timestamp,
    ) -> Result<Outcome, AllocateError> {
        let untimed = self.untold < MOST_UNTOLD && request.ttl().is_none() && self.is_plain();
        if untimed && self.promised.grow_within(request.amount(), &self.limit) {
            self.untold += 1;
            return Ok(Outcome::Granted(self.enter(request, self.told)));
        }
        let now = now();
        (self.told, self.untold) = (now, 0);
        self.request(request, now)
    }

    #[cold]
    fn request_slowly(
        &mut self,
        request: ResourceRequest,
        now: Timestamp,
    ) -> Result<Outcome, AllocateError> {
        self.catch_up(now);
        self.refuse(&request).inspect_err(|_| self.counts.refused += 1)?;
        let fits = self.fits(&request);
        if fits && self.line.is_empty() {
            return Ok(Outcome::Granted(self.grant(request, now)));
        }
        let consumer = request.consumer();
        if let Some(waiting) = self.full_line(request.tenant()) {
            self.counts.refused += 1;
            return Err(AllocateError::LineFull { consumer: consumer.clone(), waiting });
        }
        if request.deadline().is_some_and(|deadline| deadline <= now) {
            self.counts.timed_out += 1;
            return Err(self.deadline_passed(&request, now, now));
        }
        let ticket = TicketId::new(self.fresh_id());
        self.line.push(ticket, request, now);
        // Nothing has come free, so nobody but the newcomer can be granted anything.
        if fits {
            self.serve(now);
        }
        Ok(self.granted_at_once(ticket).map_or(Outcome::Waits(ticket), Outcome::Granted))
    }

    /// Takes a waiter out of the line. False when it waits no more: its event is on its way.
    pub fn cancel(&mut self, ticket: TicketId, now: Timestamp) -> bool {
        let Some(waiter) = self.line.remove(ticket) else { return false };
        self.counts.cancelled += 1;
        self.left_line(waiter.request.consumer());
        self.serve(now);
        true
    }

    /// Takes a lease back. Where it was being reclaimed for somebody, what it held is kept for
    /// that one.
    ///
    /// # Errors
    ///
    /// When there is no such lease any more.
    pub fn release(&mut self, id: LeaseId, now: Timestamp) -> Result<(), ReleaseError> {
        self.catch_up(now);
        self.end(id, now).ok_or(ReleaseError::Ended { id })?;
        self.serve(now);
        Ok(())
    }

    /// As [`release`](Self::release), for whoever would first have to look at the clock. None where
    /// what comes of it depends on the time.
    #[inline]
    pub fn release_untimed(&mut self, id: LeaseId) -> Option<Result<(), ReleaseError>> {
        if !self.is_timeless() || self.reclaims > 0 {
            return None;
        }
        Some(self.end(id, Timestamp::ZERO).map(|_| ()).ok_or(ReleaseError::Ended { id }))
    }

    /// Changes what may be promised in all. Below what is promised, the difference is a debt that
    /// releases pay before anything is granted there. Waiters that can't fit any more are refused.
    pub fn set_limit(&mut self, limit: ResourceVector, now: Timestamp) {
        self.limit = limit;
        for ticket in self.line.pick(|waiter| !waiter.request.amount().fits_in(&limit)) {
            self.refuse_waiter(ticket, |request| {
                let amount = request.amount();
                let dimension = amount.first_exceeding(&limit)?;
                let why = never_fits(dimension, amount, &limit);
                Some(AllocateError::NeverFits { consumer: request.consumer().clone(), why })
            });
        }
        self.serve(now);
    }

    /// Ends leases, waits and earmarks whose time has passed.
    pub fn expire(&mut self, now: Timestamp) {
        self.catch_up(now);
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let lease = self.expiries.first().map(|(expires, _)| *expires);
        let revocation = self.revocations.first().map(|(deadline, _)| *deadline);
        let times = [
            lease,
            revocation,
            self.line.next_deadline(),
            self.earmarks.next_expiry(),
            self.next_preemption(),
        ];
        times.into_iter().flatten().min()
    }

    /// Refuses everybody who waits and all who come. Leases go on until they end.
    pub fn close(&mut self) {
        self.closed = true;
        for ticket in self.line.pick(|_| true) {
            self.refuse_waiter(ticket, |request| {
                Some(AllocateError::Closed { consumer: request.consumer().clone() })
            });
        }
    }

    /// True after [`close`](Self::close).
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The next decision that has not been taken yet.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// What was asked for under `ticket`; none where it waits no more.
    pub fn waiting(&self, ticket: TicketId) -> Option<&ResourceRequest> {
        self.line.get(ticket).map(|waiter| &waiter.request)
    }

    /// What may be promised in all.
    pub const fn limit(&self) -> &ResourceVector {
        &self.limit
    }

    /// What leases hold.
    pub const fn promised(&self) -> &ResourceVector {
        &self.promised
    }

    /// Whether nobody waits, and nothing ends by itself.
    #[inline]
    fn is_timeless(&self) -> bool {
        let ends = !self.expiries.is_empty() || !self.revocations.is_empty();
        !ends && self.line.is_empty() && self.earmarks.is_empty()
    }

    /// Whether a request that fits is granted, whoever asks and whenever.
    #[inline]
    fn is_plain(&self) -> bool {
        self.is_timeless() && !self.closed && !self.tenants.any_configured()
    }

    fn refuse(&self, request: &ResourceRequest) -> Result<(), AllocateError> {
        let (consumer, amount) = (request.consumer(), request.amount());
        if self.closed {
            return Err(AllocateError::Closed { consumer: consumer.clone() });
        }
        if amount.fits_in(&self.limit) && !self.tenants.any_configured() {
            return Ok(());
        }
        let whole = amount.first_exceeding(&self.limit);
        let why = whole.map(|dimension| never_fits(dimension, amount, &self.limit));
        match why.or_else(|| self.tenants.never_fits(request.tenant(), amount)) {
            Some(why) => Err(AllocateError::NeverFits { consumer: consumer.clone(), why }),
            None => Ok(()),
        }
    }

    /// How many wait, where no more of `tenant` may.
    fn full_line(&self, tenant: &TenantId) -> Option<usize> {
        let all = self.line.len();
        if all >= self.config.max_waiting {
            return Some(all);
        }
        // Where all together are few, none of them can be many.
        let most = self.config.max_waiting_each;
        let own = if all < most { 0 } else { self.line.len_of(tenant) };
        (own >= most).then_some(own)
    }

    fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }
}
