//! An engine for one request: the one that serves, or one that is loaded for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plimsoll_core_types::{EngineState, ModelId, Reason};

use super::counters::Counted;
use super::model::{Command, LoadFailure, Model, Phase};
use super::running::Running;
use super::{Engines, PREWARM_WITHIN};
use crate::journal::{Event, EventKind};

/// An engine that is ready, for one request.
#[derive(Debug)]
pub(crate) struct Acquired {
    pub(crate) running: Arc<Running>,
    /// True when the request found it ready.
    pub(crate) warm: bool,
    _in_progress: Counted,
    /// Those that are loaded together with it.
    companions: Vec<Acquired>,
}

/// Why no engine could be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcquireError {
    /// Its load failed.
    #[error(transparent)]
    Load(Arc<LoadFailure>),
    /// It was not ready in time.
    #[error("{model} was not ready within {within:?}")]
    Late { model: ModelId, within: Duration },
    /// The fleet is shutting down.
    #[error("the broker is shutting down")]
    Closed,
}

impl Engines {
    /// Counts a request for `model`, whether it will need its engine or not.
    pub(crate) fn note_arrival(&self, model: &Model) {
        model.counters.arrivals.fetch_add(1, Ordering::Relaxed);
        model.counters.last_used.store(self.world.clock.now().as_nanos(), Ordering::Relaxed);
    }

    /// An engine for `model` where it is loaded, with all that are loaded together with it.
    pub(crate) fn warm(&self, model: &Model) -> Option<Acquired> {
        let Phase::Ready(running) = model.phase() else { return None };
        // One that belongs to a group needs a look at the others.
        let alone = self.world.company.groups().loaded_with(&model.id).len() == 1;
        (alone && running.was_hit()).then(|| Acquired {
            running,
            warm: true,
            _in_progress: Counted::new(&model.counters, |c| &c.in_progress),
            companions: Vec::new(),
        })
    }

    /// An engine for `model`, loaded first where it is not.
    pub(crate) async fn acquire(
        &self,
        model: &Model,
        within: Duration,
    ) -> Result<Acquired, AcquireError> {
        let late = || AcquireError::Late { model: model.id.clone(), within };
        tokio::time::timeout(within, self.all_ready(model)).await.map_err(|_| late())?
    }

    /// `model`, once all are ready that are loaded together with it: one is of no use without the
    /// others.
    async fn all_ready(&self, model: &Model) -> Result<Acquired, AcquireError> {
        let others = self.companions(model);
        if others.is_empty() {
            return self.ready(model).await;
        }
        // They load at the same time, not one after the other.
        let waiting = |other: &Arc<Model>| Counted::new(&other.counters, |c| &c.waiting);
        let waiting: Vec<_> = others.iter().map(waiting).collect();
        for other in &others {
            if matches!(other.phase(), Phase::Stopped) {
                self.demand(other).await?;
            }
        }
        let mut acquired = self.ready(model).await?;
        for other in &others {
            let companion = self.ready(other).await?;
            acquired.warm &= companion.warm;
            acquired.companions.push(companion);
        }
        drop(waiting);
        Ok(acquired)
    }

    async fn ready(&self, model: &Model) -> Result<Acquired, AcquireError> {
        let mut phase = model.phase.clone();
        let mut warm = true;
        let mut asked = false;
        let mut waiting = None;
        loop {
            let seen = phase.borrow_and_update().clone();
            match seen {
                Phase::Ready(running) => {
                    let in_progress = Counted::new(&model.counters, |c| &c.in_progress);
                    if warm && running.is_first_hit() {
                        self.note_warm_hit(model, &running);
                    }
                    let companions = Vec::new();
                    return Ok(Acquired { running, warm, _in_progress: in_progress, companions });
                }
                Phase::Failed(failure) if asked || self.pauses(model, &failure) => {
                    return Err(AcquireError::Load(failure));
                }
                Phase::Stopped | Phase::Failed(_) => {
                    self.demand(model).await?;
                    asked = true;
                }
                Phase::Waiting | Phase::Starting => asked = true,
                Phase::Replacing | Phase::Draining => {}
            }
            warm = false;
            if waiting.is_none() {
                waiting = Some(Counted::new(&model.counters, |c| &c.waiting));
            }
            phase.changed().await.map_err(|_| AcquireError::Closed)?;
        }
    }

    /// Whether `model`'s last load has failed too short a while ago to try again.
    fn pauses(&self, model: &Model, failure: &LoadFailure) -> bool {
        let LoadFailure::Engine { at, .. } = failure else { return false };
        self.world.clock.now().saturating_since(*at) < model.counters.pause()
    }

    /// How long until `model`, whose last load has failed, is tried again.
    pub(crate) fn tried_again_in(&self, model: &Model) -> Duration {
        let Phase::Failed(failure) = model.phase() else { return Duration::ZERO };
        let LoadFailure::Engine { at, .. } = &*failure else { return Duration::ZERO };
        model.counters.pause().saturating_sub(self.world.clock.now().saturating_since(*at))
    }

    fn note_warm_hit(&self, model: &Model, running: &Running) {
        let now = self.world.clock.now();
        let reason = Reason::Idle { idle: now.saturating_since(running.since) };
        let (kind, subject) = (EventKind::WarmHit, model.id.to_string());
        self.world.journal.tell(Event { at: now, kind, subject, reason });
    }

    /// Writes down that a request for `model` was refused.
    pub(crate) fn note_refusal(&self, model: &Model, reason: Reason) {
        let (at, subject) = (self.world.clock.now(), model.id.to_string());
        self.world.journal.tell(Event { at, kind: EventKind::Refused, subject, reason });
    }

    async fn demand(&self, model: &Model) -> Result<(), AcquireError> {
        let waiting = model.counters.waiting.load(Ordering::Relaxed).max(1);
        let reason = Reason::Demanded { waiting };
        let priority = model.spec().priority;
        let load = Command::Load { priority, within: None, reason, demanded: true };
        model.commands.send(load).await.map_err(|_| AcquireError::Closed)
    }

    /// Slots of `model` that nobody has or waits for; negative where more want one.
    pub(crate) fn free_slots(model: &Model) -> i64 {
        let busy = model.counters.in_progress.load(Ordering::Relaxed);
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        count(model.spec().slots) - count(busy)
    }

    /// Loads `model`, and all that are loaded with it, since somebody who does not wait for it asks
    /// for that.
    pub(crate) fn begin_load(&self, model: &Arc<Model>) {
        for model in self.party(model) {
            if model.phase().state() != EngineState::Stopped {
                continue;
            }
            let (priority, reason) = (model.spec().priority, Reason::Requested);
            let load = Command::Load { priority, within: None, reason, demanded: false };
            // Where its inbox is full, it has been told before.
            let _ = model.commands.try_send(load);
        }
    }

    /// Loads another replica beside those that are all at work.
    pub(crate) fn begin_replica(model: &Model) {
        let waiting = model.counters.waiting.load(Ordering::Relaxed).max(1);
        let (priority, reason) = (model.spec().priority, Reason::Demanded { waiting });
        let within = Some(PREWARM_WITHIN);
        // Where its inbox is full, it has been told before.
        let _ =
            model.commands.try_send(Command::Load { priority, within, reason, demanded: false });
    }

    /// How long a slot of `model` takes to come free, by how long requests have taken of late.
    pub(crate) fn pace(&self, model: &Model) -> Duration {
        let backends = model.balancer.distribution(0, self.world.clock.now()).backends;
        let service = backends.iter().filter_map(|backend| backend.service_time).max();
        let queued = model.counters.in_progress.load(Ordering::Relaxed);
        let rounds = queued.div_ceil(model.spec().slots.max(1)).max(1);
        service.unwrap_or(Duration::from_secs(1)) * u32::try_from(rounds).unwrap_or(u32::MAX)
    }
}
