//! The ledger behind a lock, with wakers and a timer.

mod event;
mod interface;
mod wait;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use plimsoll_core_types::{
    AllocateError, Bytes, Clock, ConsumerId, DeviceIndex, LeaseHolder, LeaseId, LeaseStatus,
    PressureLevel, Reason, ReleaseError, RenewError, ResizeError, Resource, ResourceRequest,
    ResourceVector, TicketId, Timestamp,
};
use tokio::sync::{Notify, broadcast, oneshot};

use crate::ledger::placement::Placement;
use crate::ledger::{Ledger, LedgerConfig, LedgerConfigError, Outcome};
use crate::sizing::SizingPolicy;
pub use event::{PoolEvent, PoolEventKind};
pub use wait::Allocate;
use wait::Waiting;

/// How many events a subscriber may lag behind before it misses the oldest.
const EVENTS: usize = 1024;

/// A [`ResourcePool`](plimsoll_core_types::ResourcePool) over one [`Ledger`].
///
/// Where nobody [subscribes](Self::subscribe), most grants do without a look at the clock, and
/// [`LeaseStatus::since`](plimsoll_core_types::LeaseStatus::since) is when the pool last looked at it
/// before: with each call but the plainest grants and releases, and with each 64th of those grants.
///
/// Leases outlive the pool: they go back to the ledger, which lives as long as they do. Deadlines
/// and times to live are kept by whoever waits; where nobody does, by the next call, or by
/// [`sweep`](Self::sweep).
#[derive(Debug)]
pub struct LedgerPool {
    shared: Arc<Shared>,
    /// The same as `shared`, as leases have it.
    holder: Arc<dyn LeaseHolder>,
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
    /// The standard lock, which spins before it sleeps: most of what is done under it takes less
    /// time than going to sleep.
    state: Mutex<State>,
    /// Told when a lease is granted that ends by itself.
    expiries: Notify,
    events: broadcast::Sender<PoolEvent>,
    /// False while nobody has ever subscribed.
    watched: AtomicBool,
}

type Answer = Result<Resource, AllocateError>;

/// What `async_trait` makes of an async function.
type Boxed<'future, T> = Pin<Box<dyn Future<Output = T> + Send + 'future>>;

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
            watched: AtomicBool::new(false),
        });
        let holder = Arc::clone(&shared) as Arc<dyn LeaseHolder>;
        Ok(Self { shared, holder, sizing: None })
    }

    /// The same pool, whose limit [`optimize`](plimsoll_core_types::ResourcePool::optimize) adapts by `policy`, between
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

    /// Grants `request`, as soon as it is its turn and there is room. As
    /// [`ResourcePool::allocate`](plimsoll_core_types::ResourcePool::allocate), without the box that a trait object's future takes.
    ///
    /// # Errors
    ///
    /// When it can never fit, its deadline passes, too many wait, or the pool is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; a grant that crossed with that goes back.
    pub fn allocate(&self, request: ResourceRequest) -> Allocate<'_> {
        Allocate::new(self, request)
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
        let amount = *request.amount();
        match self.ask(request)? {
            Asked::Granted(lease) => Ok(Some(self.lent(lease, amount))),
            // Dropping the wait leaves the line.
            Asked::Waits(_) => Ok(None),
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

    /// The first `most` leases of those with a number above `after`, by number: what a status does
    /// not list, page by page.
    pub fn leases_after(&self, after: LeaseId, most: usize) -> Vec<LeaseStatus> {
        self.shared.run(|ledger, _| ledger.leases_after(after, most))
    }

    /// When `ticket`, as [`monitor`](plimsoll_core_types::ResourcePool::monitor) lists it, is granted at the latest,
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
        // First, so that nothing is missed that is decided after this.
        let subscribed = self.shared.events.subscribe();
        self.shared.watched.store(true, Ordering::SeqCst);
        subscribed
    }

    #[inline]
    fn lent(&self, lease: LeaseId, amount: ResourceVector) -> Resource {
        Resource::new(lease, amount, Arc::clone(&self.holder))
    }

    /// Tells the ledger of a request.
    #[inline]
    fn ask(&self, request: ResourceRequest) -> Result<Asked, AllocateError> {
        let shared = &*self.shared;
        let ends = request.ttl().is_some();
        if shared.is_watched() {
            return self.ask_aloud(request);
        }
        let mut state = shared.lock();
        let asked = match state.ledger.request_lazily(request, || shared.clock.now()) {
            Ok(Outcome::Granted(lease)) => Ok(Asked::Granted(lease)),
            Ok(Outcome::Waits(ticket)) => Ok(Asked::Waits(self.stand(&mut state, ticket))),
            Err(error) => Err(error),
        };
        shared.settle(state);
        if ends {
            shared.expiries.notify_waiters();
        }
        asked
    }

    /// A place in the line for whoever was just given `ticket`.
    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "what is seldom there shall not be carried")]
    fn stand(&self, state: &mut State, ticket: TicketId) -> Box<Waiting> {
        let (asker, answer) = oneshot::channel();
        state.waiting.insert(ticket, asker);
        let waits = state.ledger.waiting(ticket).expect("one that has just come is in the line");
        let (shared, consumer) = (Arc::clone(&self.shared), waits.consumer().clone());
        Box::new(Waiting { shared, ticket, consumer, answer })
    }

    /// As [`ask`](Self::ask), with subscribers who are told.
    #[cold]
    fn ask_aloud(&self, request: ResourceRequest) -> Result<Asked, AllocateError> {
        let shared = &*self.shared;
        let (consumer, amount) = (request.consumer().clone(), *request.amount());
        let ends = request.ttl().is_some();
        let asked = shared.run_state(|state, now| match state.ledger.request(request, now)? {
            Outcome::Granted(lease) => {
                let kind = PoolEventKind::Granted { lease, amount };
                Ok((Asked::Granted(lease), kind, Reason::Fits { waited: Duration::ZERO }))
            }
            Outcome::Waits(ticket) => {
                let reason = state.ledger.reason(ticket, now).unwrap_or(Reason::Requested);
                let waits = Asked::Waits(self.stand(state, ticket));
                Ok((waits, PoolEventKind::Waits { ticket, amount }, reason))
            }
        });
        let refused = |error: &AllocateError| {
            shared.tell(PoolEventKind::Refused, Some(&consumer), event::reason(error));
        };
        let (asked, kind, reason) = asked.inspect_err(refused)?;
        shared.tell(kind, Some(&consumer), reason);
        if ends {
            shared.expiries.notify_waiters();
        }
        Ok(asked)
    }
}

/// What the ledger said to a request.
#[derive(Debug)]
enum Asked {
    Granted(LeaseId),
    Waits(Box<Waiting>),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` under the lock, then tells everybody whose wait it has ended.
    fn run<T>(&self, work: impl FnOnce(&mut Ledger, Timestamp) -> T) -> T {
        self.run_state(|state, now| work(&mut state.ledger, now))
    }

    #[inline]
    fn run_state<T>(&self, work: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let mut state = self.lock();
        let done = work(&mut state, self.clock.now());
        self.settle(state);
        done
    }

    /// Releases the lock, and tells everybody whose wait has ended.
    #[inline]
    fn settle(&self, state: MutexGuard<'_, State>) {
        if !state.ledger.events().is_empty() || self.is_watched() {
            self.settle_and_tell(state);
        }
    }

    #[cold]
    fn settle_and_tell(&self, mut state: MutexGuard<'_, State>) {
        let settled = self.take_decisions(&mut state);
        drop(state);
        for (asker, answer) in settled {
            // An asker that went away meanwhile leaves its lease to be dropped here, which gives
            // it back.
            let _ = asker.send(answer);
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
        self.lock().ledger.next_wakeup()
    }
}

impl LeaseHolder for Shared {
    fn release(&self, id: LeaseId) -> Result<(), ReleaseError> {
        let mut state = self.lock();
        if !self.is_watched()
            && let Some(released) = state.ledger.release_untimed(id)
        {
            return released;
        }
        drop(state);
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
