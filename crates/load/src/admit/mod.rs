//! Who may begin, who waits, and who is refused at once.

mod climb;
mod config;
mod drain;
mod gradient;
mod line;
#[cfg(loom)]
pub mod model;
mod permit;
#[cfg(all(test, not(loom)))]
mod tests;
mod wait;

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use plimsoll_core_types::{Clock, Priority, Reason, TenantId, Timestamp};

use crate::sync::{AtomicU64, Mutex, Ordering};
pub(crate) use climb::Climb;
pub use config::AdmissionConfig;
use gradient::Gradient;
pub(crate) use line::Ticket;
use line::{Ask, Line, Stand, Why};
pub use permit::Permit;
use wait::Waiting;

/// Set in the state while somebody waits: nobody may then pass by the line. The other bits count
/// permits that are out.
const WAITED_FOR: u64 = 1 << 63;

/// Holds the number of requests in progress at a limit, and decides who goes next.
///
/// A request that finds a free permit takes it with one atomic operation, and gives it back with
/// one. Only under overload is there a line, a lock, and a look at the clock.
///
/// ```
/// use std::sync::Arc;
/// use plimsoll_core_types::{Priority, SystemClock};
/// use plimsoll_load::{Admission, AdmissionConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), plimsoll_load::Refused> {
/// let config = AdmissionConfig { limit: 2, max_waiting: 0, ..AdmissionConfig::default() };
/// let admission = Admission::new(config, Arc::new(SystemClock::new()));
///
/// let first = admission.admit(Priority::Normal, None).await?;
/// let second = admission.admit(Priority::Normal, None).await?;
/// let refused = admission.admit(Priority::Normal, None).await.unwrap_err();
/// println!("{refused}");
/// drop(first);
/// assert!(admission.admit(Priority::Normal, None).await.is_ok());
/// # drop(second);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Admission {
    state: AtomicU64,
    limit: AtomicU64,
    /// What the limit is where the gradient does not lower it.
    ceiling: AtomicU64,
    gradient: Option<Mutex<Gradient>>,
    line: Mutex<Line>,
    clock: Arc<dyn Clock>,
}

/// Who asks for a permit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Its class; higher ones go before lower ones.
    pub priority: Priority,
    /// On whose behalf; tenants of a class take turns.
    pub tenant: TenantId,
    /// When it must have begun; none is as long as
    /// [`wait_at_most`](AdmissionConfig::wait_at_most) says.
    pub deadline: Option<Timestamp>,
}

/// Why a request was not admitted, and when to come back.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{reason}; try again in {retry_after:?}")]
#[non_exhaustive]
pub struct Refused {
    /// Why: [`Reason::Overload`] where there was no room to wait, [`Reason::DeadlinePassed`]
    /// where the wait was too long.
    pub reason: Reason,
    /// How long the line takes to drain at the pace that was measured.
    pub retry_after: Duration,
}

/// The same, small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turned {
    why: Why,
    pub(crate) retry_after: Duration,
}

impl From<Turned> for Refused {
    fn from(turned: Turned) -> Self {
        Self { reason: turned.why.into(), retry_after: turned.retry_after }
    }
}

/// How admission stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionStatus {
    /// How many permits there are.
    pub limit: usize,
    /// How many are out.
    pub in_progress: usize,
    /// How many wait.
    pub waiting: usize,
    /// Whether the newest are served first.
    pub overloaded: bool,
    /// Refusals since the beginning.
    pub refused: u64,
    /// Permits out of the line since the beginning.
    pub waited: u64,
}

impl Admission {
    /// Admission of [`limit`](AdmissionConfig::limit) requests at once.
    pub fn new(config: AdmissionConfig, clock: Arc<dyn Clock>) -> Self {
        let limit = config.clamp(config.limit) as u64;
        Self {
            state: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
            ceiling: AtomicU64::new(limit),
            gradient: config.gradient.then(|| Mutex::new(Gradient::default())),
            line: Mutex::new(Line::new(config)),
            clock,
        }
    }

    /// A permit now, or none: where all are out, or others wait for one.
    #[inline]
    pub fn try_admit(&self) -> Option<Permit<&Self>> {
        self.take().then(|| Permit::new(self))
    }

    /// A permit, when it is this one's turn; at once where one is free.
    ///
    /// # Errors
    ///
    /// When there is no room to wait, the deadline passes, or somebody of a higher class needs the
    /// place; says when to come back.
    ///
    /// # Cancel safety
    ///
    /// Dropped before its end, it has left the line; a permit that crossed with that goes back.
    pub async fn admit(
        &self,
        priority: Priority,
        deadline: Option<Timestamp>,
    ) -> Result<Permit<&Self>, Refused> {
        self.admit_for(Demand { priority, deadline, tenant: TenantId::DEFAULT }).await
    }

    /// The same on behalf of a tenant.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    ///
    /// # Cancel safety
    ///
    /// As [`admit`](Self::admit).
    pub async fn admit_for(&self, demand: Demand) -> Result<Permit<&Self>, Refused> {
        self.admitted(demand).await.map(|()| Permit::new(self))
    }

    /// The same for a task that outlives the caller.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    ///
    /// # Cancel safety
    ///
    /// As [`admit`](Self::admit).
    pub async fn admit_owned(
        self: Arc<Self>,
        demand: Demand,
    ) -> Result<Permit<Arc<Self>>, Refused> {
        self.admitted(demand).await?;
        Ok(Permit::new(self))
    }

    async fn admitted(&self, demand: Demand) -> Result<(), Refused> {
        if demand.deadline.is_none() && self.take() {
            return Ok(());
        }
        match self.enter(demand)? {
            Some((ticket, deadline)) => {
                Waiting { admission: self, ticket, deadline, told: false }.settled().await
            }
            None => Ok(()),
        }
    }

    /// Takes a free permit, past nobody.
    #[inline]
    fn take(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let mut state = self.state.load(Ordering::Relaxed);
        // While somebody waits, the state is larger than any limit.
        while state < limit {
            let taken = self.state.compare_exchange_weak(
                state,
                state + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match taken {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    /// Gives a permit back, to whoever is next where somebody waits.
    #[inline]
    pub(crate) fn give_back(&self) {
        if self.state.fetch_sub(1, Ordering::Release) & WAITED_FOR != 0 {
            self.serve();
        }
    }

    /// Takes a permit, or a place in the line, which is held until [`stand`](Self::stand) has told
    /// of its end or it is [left](Self::leave).
    pub(crate) fn enter(&self, demand: Demand) -> Result<Option<(Ticket, Timestamp)>, Turned> {
        let now = self.clock.now();
        let Demand { priority, tenant, deadline } = demand;
        if deadline.is_none_or(|deadline| deadline > now) && self.take() {
            return Ok(None);
        }
        let limit = self.limit();
        let mut line = self.line.lock();
        let deadline = deadline.unwrap_or_else(|| now + line.config().wait_at_most);
        let ask = Ask { priority, tenant, deadline };
        let entered = line.enter(&ask, limit, now);
        let retry_after = line.retry_after();
        if entered.is_ok() {
            self.state.fetch_or(WAITED_FOR, Ordering::AcqRel);
        }
        drop(line);
        let (ticket, displaced) = entered.map_err(|why| Turned { why, retry_after })?;
        if let Some(waker) = displaced {
            waker.wake();
        }
        // A permit may have come back just before the state said that somebody waits.
        self.serve();
        Ok(Some((ticket, deadline)))
    }

    /// What has become of a place in the line; `waker` is woken when that changes. An end is told
    /// once.
    pub(crate) fn stand(&self, ticket: Ticket, waker: &Waker) -> Poll<Result<(), Turned>> {
        match self.line.lock().poll(ticket, waker) {
            // None has been told before: whoever polls once more has had the answer.
            Some(Stand::Waits(_)) | None => Poll::Pending,
            Some(Stand::Granted) => Poll::Ready(Ok(())),
            Some(Stand::Refused(why, retry_after)) => Poll::Ready(Err(Turned { why, retry_after })),
        }
    }

    /// Ends a wait whose deadline has passed.
    pub(crate) fn expire(&self, ticket: Ticket) {
        let now = self.clock.now();
        self.line.lock().expire(ticket, now);
        self.serve();
    }

    /// Leaves the line; a permit that crossed with that goes back.
    pub(crate) fn leave(&self, ticket: Ticket) {
        let granted = self.line.lock().leave(ticket);
        if granted {
            self.give_back();
        } else {
            // The last to leave lets newcomers pass again.
            self.serve();
        }
    }

    /// Gives free permits to whoever is next, until there are none or nobody waits.
    fn serve(&self) {
        let now = self.clock.now();
        let mut woken = Vec::new();
        let mut line = self.line.lock();
        let limit = self.limit.load(Ordering::Relaxed);
        loop {
            if line.waiting() == 0 {
                self.state.fetch_and(!WAITED_FOR, Ordering::AcqRel);
                break;
            }
            // Only this lock's holder adds to the count while the flag is set.
            if self.state.load(Ordering::Acquire) & !WAITED_FOR >= limit {
                break;
            }
            if line.grant(limit as usize, now, &mut woken) {
                self.state.fetch_add(1, Ordering::AcqRel);
            }
        }
        drop(line);
        for waker in woken {
            waker.wake();
        }
    }

    /// Changes how many permits there are; brought between the configured least and most. Where
    /// more are out, the difference is not given out again.
    pub fn set_limit(&self, limit: usize) {
        let ceiling = self.line.lock().config().clamp(limit);
        self.ceiling.store(ceiling as u64, Ordering::Relaxed);
        self.follow(ceiling, |_| {});
    }

    /// What the limit was last set to, which a [gradient](AdmissionConfig::gradient) may have
    /// lowered since.
    pub fn ceiling(&self) -> usize {
        self.ceiling.load(Ordering::Relaxed) as usize
    }

    /// Says that a request which was expected to take `work` has held its permit for `held`, for the
    /// [gradient](AdmissionConfig::gradient). Without one this does nothing.
    pub fn observe(&self, work: Duration, held: Duration) {
        if let Some(gradient) = &self.gradient {
            gradient.lock().hear(work, held, self.in_progress(), self.clock.now());
        }
    }

    /// Adapts the limit to what was [observed](Self::observe), where there is a
    /// [gradient](AdmissionConfig::gradient); to be called each second or so, with whether somebody
    /// was kept waiting or refused since the last time.
    pub fn adapt(&self, demand: bool) {
        let (ceiling, now) = (self.ceiling(), self.clock.now());
        self.follow(ceiling, |gradient| gradient.step(demand, ceiling, now));
    }

    /// Does `work`, and takes the limit from the gradient; or `ceiling`, where there is none.
    fn follow(&self, ceiling: usize, work: impl FnOnce(&mut Gradient)) {
        let limit = self.gradient.as_ref().map_or(ceiling, |gradient| {
            let mut gradient = gradient.lock();
            work(&mut gradient);
            gradient.limit(ceiling)
        });
        self.limit.store(limit as u64, Ordering::Relaxed);
        self.serve();
    }

    /// How many permits there are.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed) as usize
    }

    /// How many permits are out.
    pub fn in_progress(&self) -> usize {
        (self.state.load(Ordering::Relaxed) & !WAITED_FOR) as usize
    }

    /// How admission stands.
    pub fn status(&self) -> AdmissionStatus {
        let (limit, now) = (self.limit(), self.clock.now());
        let line = self.line.lock();
        let (refused, waited) = line.counts();
        AdmissionStatus {
            limit,
            in_progress: self.in_progress(),
            waiting: line.waiting(),
            overloaded: line.is_overloaded(limit, now),
            refused,
            waited,
        }
    }
}
