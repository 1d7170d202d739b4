//! The ledger behind a lock, with wakers and a timer.

mod event;
mod wait;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{
    AllocateError, Bytes, Clock, ConsumerId, DeviceIndex, LeaseHolder, LeaseId, OptimizeError,
    PoolChange, PoolMetrics, PressureLevel, Ratio, Reason, ReleaseError, RenewError, ResizeError,
    Resource, ResourcePool, ResourceRequest, ResourceStatus, ResourceVector, TicketId, Timestamp,
};
use tokio::sync::{Notify, broadcast, oneshot};

use crate::ledger::placement::Placement;
use crate::ledger::{Ledger, LedgerConfig, LedgerConfigError, Outcome};
use crate::sizing::SizingPolicy;
pub use event::{PoolEvent, PoolEventKind};
use wait::Waiting;

/// How many events a subscriber may lag behind before it misses the oldest.
const EVENTS: usize = 1024;

/// A [`ResourcePool`] over one [`Ledger`].
///
/// Leases outlive the pool: they go back to the ledger, which lives as long as they do. Deadlines
/// and times to live are kept by whoever waits; where nobody does, by the next call, or by
/// [`sweep`](Self::sweep).
#[derive(Debug)]
pub struct LedgerPool {
    shared: Arc<Shared>,
    sizing: Option<Sizing>,
}

/// How the limit is adapted.
#[derive(Debug)]
struct Sizing {
    policy: Box<dyn SizingPolicy>,
    least: ResourceVector,
    most: ResourceVector,
}

#[derive(Debug)]
struct Shared {
    me: Weak<Self>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Told when a lease is granted that ends by itself.
    expiries: Notify,
    events: broadcast::Sender<PoolEvent>,
}

type Answer = Result<Resource, AllocateError>;

#[derive(Debug)]
struct State {
    ledger: Ledger,
    waiting: HashMap<TicketId, oneshot::Sender<Answer>>,
    /// What subscribers were told of the pressure.
    pressure: PressureLevel,
}

impl LedgerPool {
    /// A pool that promises at most `limit`.
    ///
    /// # Errors
    ///
    /// When `config` contradicts itself; names the field.
    pub fn new(
        limit: ResourceVector,
        config: LedgerConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, LedgerConfigError> {
        let ledger = Ledger::new(limit, config)?;
        let state =
            Mutex::new(State { ledger, waiting: HashMap::new(), pressure: PressureLevel::Calm });
        let (events, _) = broadcast::channel(EVENTS);
        let shared = Arc::new_cyclic(|me| Shared {
            me: Weak::clone(me),
            clock,
            state,
            expiries: Notify::new(),
            events,
        });
        Ok(Self { shared, sizing: None })
    }

    /// The same pool, whose limit [`optimize`](ResourcePool::optimize) adapts by `policy`, between
    /// `least` and `most` in each dimension. Without it the limit is what it was set to.
    #[must_use]
    pub fn with_sizing(
        mut self,
        policy: impl SizingPolicy + 'static,
        least: ResourceVector,
        most: ResourceVector,
    ) -> Self {
        self.sizing = Some(Sizing { policy: Box::new(policy), least, most });
        self
    }

    /// Grants `request` now or not at all. `None` where it would have to wait.
    ///
    /// # Errors
    ///
    /// When it can never fit, or the pool is closed.
    pub fn try_allocate(
        &self,
        request: ResourceRequest,
    ) -> Result<Option<Resource>, AllocateError> {
        match self.shared.begin(request)? {
            Begun::Granted(resource) => Ok(Some(resource)),
            // Dropping the wait leaves the line.
            Begun::Waits(_) => Ok(None),
        }
    }

    /// Changes what may be promised in all. Below what is promised, the difference is a debt that
    /// releases pay before anything is granted there; waiters that can't fit any more are refused.
    pub fn set_limit(&self, limit: ResourceVector) {
        let from = self.shared.run(|ledger, now| {
            let from = *ledger.limit();
            ledger.set_limit(limit, now);
            from
        });
        if from != limit {
            self.shared.tell(PoolEventKind::LimitSet { from, to: limit }, None, Reason::Requested);
        }
    }

    /// Marks a lease as on its way back. What it holds stays promised until its holder releases
    /// it, and is then kept for `beneficiary`, where it is for somebody.
    ///
    /// # Errors
    ///
    /// When there is no such lease any more.
    pub fn begin_reclaim(
        &self,
        lease: LeaseId,
        beneficiary: Option<ConsumerId>,
    ) -> Result<(), ReleaseError> {
        self.shared.run(|ledger, now| ledger.begin_reclaim(lease, beneficiary, now))
    }

    /// Asks the holder of a lease to give it back within `grace`, for `beneficiary` where it is for
    /// somebody: subscribers are told [`Asked`](PoolEventKind::Asked). After that the lease is
    /// ended, and they are told [`Revoked`](PoolEventKind::Revoked).
    ///
    /// For leases that can be ended by decree. Where the holder must be stopped first, as with a
    /// process that really has the memory, [`begin_reclaim`](Self::begin_reclaim) has no deadline.
    ///
    /// # Errors
    ///
    /// When there is no such lease any more.
    pub fn preempt(
        &self,
        lease: LeaseId,
        beneficiary: Option<ConsumerId>,
        grace: Duration,
    ) -> Result<(), ReleaseError> {
        let asked = self.shared.run(|ledger, now| ledger.preempt(lease, beneficiary, grace, now));
        self.shared.expiries.notify_waiters();
        asked
    }

    /// When `ticket`, as [`monitor`](ResourcePool::monitor) lists it, is granted at the latest,
    /// where that follows from what is known; see [`Ledger::eta`].
    pub fn eta(&self, ticket: TicketId) -> Option<Timestamp> {
        self.shared.run(|ledger, now| ledger.eta(ticket, now))
    }

    /// `amount` with `memory` of whichever accelerator `strategy` picks, among those that have
    /// room for it now; none where none has. Promises nothing: another request may come first.
    pub fn place(
        &self,
        amount: &ResourceVector,
        memory: Bytes,
        strategy: &dyn Placement,
    ) -> Option<(DeviceIndex, ResourceVector)> {
        self.shared.run(|ledger, _| ledger.place(amount, memory, strategy))
    }

    /// Ends leases and waits whose time has passed.
    pub fn sweep(&self) {
        self.shared.run(Ledger::expire);
    }

    /// Refuses everybody who waits and all who come. Leases go on until they are dropped.
    pub fn close(&self) {
        self.shared.run(|ledger, _| ledger.close());
    }

    /// What is decided from now on, and how tight it is when that changes. A subscriber that lags more than 1024 events behind misses the
    /// oldest and is told how many.
    pub fn subscribe(&self) -> broadcast::Receiver<PoolEvent> {
        self.shared.events.subscribe()
    }
}

#[async_trait]
impl ResourcePool for LedgerPool {
    async fn allocate(&self, request: ResourceRequest) -> Result<Resource, AllocateError> {
        match self.shared.begin(request)? {
            Begun::Granted(resource) => Ok(resource),
            Begun::Waits(waiting) => waiting.granted().await,
        }
    }

    async fn release(&self, resource: Resource) -> Result<(), ReleaseError> {
        let own: Arc<dyn LeaseHolder> = Arc::clone(&self.shared) as _;
        if resource.is_held_by(&own) {
            resource.release()
        } else {
            // Dropped here, it goes back to where it came from.
            Err(ReleaseError::Foreign { id: resource.id() })
        }
    }

    async fn optimize(&self, metrics: &PoolMetrics) -> Result<PoolChange, OptimizeError> {
        metrics.check()?;
        let (from, closed) = self.shared.run(|ledger, _| (*ledger.limit(), ledger.is_closed()));
        if closed {
            return Err(OptimizeError::Closed);
        }
        let Some(sizing) = &self.sizing else {
            let (what, current) = ("utilization".to_owned(), metrics.utilization.get());
            return Ok(PoolChange { from, to: from, reason: Reason::AsGood { what, current } });
        };
        let advice = sizing.policy.size(metrics);
        let factor = Ratio::saturating(advice.size as f64 / metrics.size.max(1) as f64);
        let to = scaled(&from, factor).max(&sizing.least).min(&sizing.most);
        self.set_limit(to);
        Ok(PoolChange { from, to, reason: advice.reason })
    }

    fn monitor(&self) -> ResourceStatus {
        self.shared.run(|ledger, now| {
            ledger.expire(now);
            ledger.status(now)
        })
    }
}

fn scaled(amount: &ResourceVector, factor: Ratio) -> ResourceVector {
    amount.iter().fold(ResourceVector::ZERO, |out, (dimension, count)| {
        out.with(dimension, (count as f64 * factor.get()).round() as u64)
    })
}

enum Begun {
    Granted(Resource),
    Waits(Waiting),
}

impl Shared {
    /// Does `work` under the lock, then tells everybody whose wait it has ended.
    fn run<T>(&self, work: impl FnOnce(&mut Ledger, Timestamp) -> T) -> T {
        self.run_state(|state, now| work(&mut state.ledger, now))
    }

    fn run_state<T>(&self, work: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let mut state = self.state.lock();
        let done = work(&mut state, self.clock.now());
        let settled = self.settle(&mut state);
        drop(state);
        for (asker, answer) in settled {
            // An asker that went away meanwhile leaves its lease to be dropped here, which gives
            // it back.
            let _ = asker.send(answer);
        }
        done
    }

    fn begin(&self, request: ResourceRequest) -> Result<Begun, AllocateError> {
        let (consumer, amount) = (request.consumer().clone(), *request.amount());
        let (ttl, deadline) = (request.ttl(), request.deadline());
        let begun = self.run_state(|state, now| match state.ledger.request(request, now)? {
            Outcome::Granted(id) => Ok((Ok(id), Reason::Fits { waited: Duration::ZERO })),
            Outcome::Waits(ticket) => {
                let (asker, answer) = oneshot::channel();
                state.waiting.insert(ticket, asker);
                let reason = state.ledger.reason(ticket, now).unwrap_or(Reason::Requested);
                Ok((Err((ticket, answer)), reason))
            }
        });
        let (begun, reason) = begun.inspect_err(|error| {
            self.tell(PoolEventKind::Refused, Some(&consumer), event::reason(error));
        })?;
        if ttl.is_some() {
            self.expiries.notify_waiters();
        }
        let closed = || AllocateError::Closed { consumer: consumer.clone() };
        match begun {
            Ok(lease) => {
                let resource = self.lease(lease, amount).ok_or_else(closed)?;
                self.tell(PoolEventKind::Granted { lease, amount }, Some(&consumer), reason);
                Ok(Begun::Granted(resource))
            }
            Err((ticket, answer)) => {
                let shared = self.me.upgrade().ok_or_else(closed)?;
                self.tell(PoolEventKind::Waits { ticket, amount }, Some(&consumer), reason);
                Ok(Begun::Waits(Waiting { shared, ticket, consumer, deadline, answer }))
            }
        }
    }

    /// The lease as its holder sees it; none only while the pool itself is being dropped.
    fn lease(&self, id: LeaseId, amount: ResourceVector) -> Option<Resource> {
        Some(Resource::new(id, amount, self.me.upgrade()? as Arc<dyn LeaseHolder>))
    }

    fn leave(&self, ticket: TicketId) {
        self.run_state(|state, now| {
            state.waiting.remove(&ticket);
            state.ledger.cancel(ticket, now);
        });
    }

    /// When something ends by itself next.
    fn next_wakeup(&self) -> Option<Timestamp> {
        self.state.lock().ledger.next_wakeup()
    }
}

impl LeaseHolder for Shared {
    fn release(&self, id: LeaseId) -> Result<(), ReleaseError> {
        self.run(|ledger, now| ledger.release(id, now))
    }

    fn resize(&self, id: LeaseId, amount: &ResourceVector) -> Result<(), ResizeError> {
        self.run(|ledger, now| ledger.resize(id, amount, now))
    }

    fn renew(&self, id: LeaseId, ttl: Duration) -> Result<Timestamp, RenewError> {
        let renewed = self.run(|ledger, now| ledger.renew(id, ttl, now));
        self.expiries.notify_waiters();
        renewed
    }
}
