//! Who gets the next request: the backend that should be done with it first.

mod argmin;
mod config;
mod core;
mod dispatch;
mod error;
mod report;
mod scores;
mod session;
mod sized;
mod slot;
mod work;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use plimsoll_brief::Brief;
use plimsoll_core_types::{LoadDistribution, ReplicaId, Timestamp};

use crate::policy::Policy;
use crate::sync::{AtomicU64, Ordering};
pub use config::{BackendConfig, BalancerConfig, Binding, EjectionConfig, Sharing, Zone};
use core::{Begun, Core, Ended, NOBODY};
pub use dispatch::Dispatch;
pub use error::DispatchError;
pub use report::{BackendReport, BackendStatus, Standing};
pub use session::Sessions;
pub use work::{MAX_CACHED, Work};

/// Sends each request to the backend that should be done with it first.
///
/// A backend's score is a prediction in nanoseconds: the work in progress there and the request's
/// own, at the speed that was measured; and what its failures, its distance, and an answer that
/// is late add. There are no weights between these to tune.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::{ReplicaId, Timestamp};
/// use plimsoll_load::{BackendConfig, Balancer, BalancerConfig, Work};
///
/// let balancer = Balancer::new(BalancerConfig::default());
/// balancer.add(ReplicaId::new(1), BackendConfig { slots: 4, ..BackendConfig::default() });
///
/// let sent = Timestamp::ZERO;
/// let dispatch = balancer.dispatch(&Work::default(), sent)?;
/// assert_eq!(dispatch.replica(), ReplicaId::new(1));
/// dispatch.succeed(sent + Duration::from_millis(40));
/// assert_eq!(balancer.in_progress(), 0);
/// # Ok::<(), plimsoll_load::DispatchError>(())
/// ```
#[derive(Debug)]
pub struct Balancer {
    core: Brief<Core>,
    /// Who was best at the last write, for those who only look; [`NOBODY`] where nobody was.
    best: AtomicU64,
    open_slots: AtomicU64,
}

impl Balancer {
    /// A balancer without backends.
    pub fn new(config: BalancerConfig) -> Self {
        Self::made(Core::new(config, None))
    }

    /// A balancer without backends that goes by another policy than predicted completion.
    pub fn with_policy(config: BalancerConfig, policy: impl Policy + 'static) -> Self {
        Self::made(Core::new(config, Some(Box::new(policy))))
    }

    fn made(core: Core) -> Self {
        let best = AtomicU64::new(NOBODY);
        let open_slots = AtomicU64::new(0);
        Self { core: Brief::new(core), best, open_slots }
    }

    /// Does `work` under the lock, and shows what is best after it.
    #[expect(clippy::inline_always, reason = "apart, what is done is copied once more")]
    #[inline(always)]
    fn write<T>(&self, work: impl FnOnce(&mut Core) -> T) -> T {
        self.core.with(|core| {
            let done = work(core);
            if let Some(best) = core.changed_best() {
                self.best.store(best, Ordering::Release);
            }
            if let Some(slots) = core.changed_slots() {
                self.open_slots.store(slots as u64, Ordering::Release);
            }
            done
        })
    }

    /// Adds a backend; one that is there already gets the new number of slots and zone, and is
    /// drained no more. False when there is no room for more
    /// ([`max_backends`](BalancerConfig::max_backends)).
    pub fn add(&self, id: ReplicaId, config: BackendConfig) -> bool {
        self.write(|core| core.add(id, &config))
    }

    /// Removes a backend. What is in progress there goes on, and counts until it ends. False when
    /// there is none such.
    pub fn remove(&self, id: ReplicaId) -> bool {
        self.write(|core| core.remove(id))
    }

    /// Sends a backend nothing more, but keeps what is known of it; [`add`](Self::add) opens it
    /// again. False when there is none such.
    pub fn drain(&self, id: ReplicaId) -> bool {
        self.write(|core| core.drain(id))
    }

    /// Chooses a backend for `work`, and counts it there for as long as the answer lives.
    ///
    /// # Errors
    ///
    /// When no backend takes requests.
    #[inline]
    pub fn dispatch(&self, work: &Work, now: Timestamp) -> Result<Dispatch<&Self>, DispatchError> {
        let begun = self.write(|core| core.begin(work, &[], now))?;
        Ok(Dispatch::new(self, begun))
    }

    /// The same, for a task that outlives the caller; costs two counts of references more.
    ///
    /// # Errors
    ///
    /// When no backend takes requests.
    pub fn dispatch_owned(
        self: &Arc<Self>,
        work: &Work,
        now: Timestamp,
    ) -> Result<Dispatch<Arc<Self>>, DispatchError> {
        let begun = self.write(|core| core.begin(work, &[], now))?;
        Ok(Dispatch::new(Arc::clone(self), begun))
    }

    /// Chooses a backend for `work` once more, after `tried` have failed it: another one, whatever
    /// its score, as long as there is one that takes requests. A backend that is being probed may be
    /// one of them again. Looks at every backend.
    ///
    /// # Errors
    ///
    /// When no backend takes requests.
    pub fn dispatch_again(
        &self,
        work: &Work,
        tried: &[ReplicaId],
        now: Timestamp,
    ) -> Result<Dispatch<&Self>, DispatchError> {
        let begun = self.write(|core| core.begin(work, tried, now))?;
        Ok(Dispatch::new(self, begun))
    }

    #[inline]
    fn end(&self, begun: &Begun, ended: Ended, now: Option<Timestamp>) {
        self.write(|core| core.end(begun, ended, now));
    }

    /// Takes what a backend, or whoever watches it, says of it. Unknown backends are ignored.
    #[inline]
    pub fn report(&self, id: ReplicaId, report: &BackendReport, now: Timestamp) {
        self.write(|core| core.report(id, report, now));
    }

    /// Who should be done first with a typical request, as of the last dispatch, answer or change:
    /// one load, without the lock. None where nobody takes requests (or the best is replica
    /// `u64::MAX`, which can't be told from nobody). To send something, [`dispatch`](Self::dispatch).
    #[inline]
    pub fn best(&self) -> Option<ReplicaId> {
        let best = self.best.load(Ordering::Acquire);
        (best != NOBODY).then(|| ReplicaId::new(best))
    }

    /// Whether what exceeds the slots waits elsewhere ([`Binding::Late`]).
    pub fn is_late(&self) -> bool {
        self.core.with(|core| core.config.binding == Binding::Late)
    }

    /// Slots of the backends that take requests: what the limit of an
    /// [`Admission`](crate::Admission) before it should be. One load, without the lock.
    pub fn open_slots(&self) -> usize {
        self.open_slots.load(Ordering::Acquire) as usize
    }

    /// How many dispatches live.
    pub fn in_progress(&self) -> usize {
        self.core.with(|core| core.in_flight())
    }

    /// Every backend as it stands, removed ones with requests in progress included.
    pub fn backends(&self) -> Vec<BackendStatus> {
        self.core.with(|core| core.statuses())
    }

    /// How load lies on the backends, with `pending` requests that wait elsewhere.
    pub fn distribution(&self, pending: usize, now: Timestamp) -> LoadDistribution {
        let backends = self.backends().iter().map(Into::into).collect();
        LoadDistribution { at: now, backends, pending }
    }
}
