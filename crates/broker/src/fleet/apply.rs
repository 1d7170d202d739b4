//! What the optimizer and people have the fleet do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, ConsumerId, EngineSnapshot, EngineState, Fleet,
    LoadMetrics, ModelId, PlannedAction, Priority, Reason, ResourceVector, Timestamp,
};
use tokio::sync::oneshot;

use super::counters::Counters;
use super::model::{Command, LoadFailure, Model, Phase};
use super::{Engines, PREWARM_WITHIN};
use crate::journal::{Event, EventKind};

impl Engines {
    fn find(&self, model: &ModelId) -> Result<Arc<Model>, ActionError> {
        self.model(model).ok_or_else(|| ActionError::UnknownModel { model: model.clone() })
    }

    /// Loads `model` ahead of its requests, with all that are loaded with it.
    async fn prewarm(&self, model: &Arc<Model>, reason: Reason) -> ActionOutcome {
        let outcome = self.prewarm_one(model, reason.clone()).await;
        if outcome == ActionOutcome::Begun {
            for other in self.companions(model) {
                self.prewarm_one(&other, reason.clone()).await;
            }
        }
        outcome
    }

    async fn prewarm_one(&self, model: &Model, reason: Reason) -> ActionOutcome {
        let stopped = model.phase().state() == EngineState::Stopped;
        if !stopped || !self.tried_again_in(model).is_zero() {
            return ActionOutcome::Moot;
        }
        let (at, subject) = (self.world.clock.now(), model.id.to_string());
        let kind = EventKind::Prewarm;
        self.world.journal.tell(Event { at, kind, subject, reason: reason.clone() });
        let (priority, within) = (Priority::BestEffort, Some(PREWARM_WITHIN));
        let load = Command::Load { priority, within, reason, demanded: false };
        match model.commands.send(load).await {
            Ok(()) => ActionOutcome::Begun,
            Err(_) => ActionOutcome::Moot,
        }
    }

    /// Unloads `model` once its requests have their answers. False where it is not loaded.
    pub(crate) async fn unload(&self, model: &Model, reason: Reason) -> bool {
        let (done, ended) = oneshot::channel();
        if model.phase().state() == EngineState::Stopped {
            return false;
        }
        // A model whose load is under way hears of it when that has ended.
        if model.commands.send(Command::Evict { reason, done }).await.is_err() {
            return false;
        }
        ended.await.is_ok_and(|outcome| outcome == ActionOutcome::Done)
    }

    /// Unloads whatever has been idle for longer than it may be. Those that go together do so when
    /// none of them was used for as long as any of them may idle.
    pub(crate) fn unload_idle(&self) {
        let now = self.world.clock.now();
        for model in self.models.load().values() {
            let mut party = self.party(model);
            if party.iter().any(|other| other.id < model.id) {
                continue;
            }
            party.retain(|model| model.phase().state() != EngineState::Stopped);
            let specs: Vec<_> = party.iter().map(|model| model.spec()).collect();
            let Some(keep) = specs.iter().filter_map(|spec| spec.keep_alive).max() else {
                continue;
            };
            let idle = party.iter().map(|model| idle_for(model, now)).min().flatten();
            let Some(idle) = idle.filter(|idle| *idle >= keep) else { continue };
            if specs.iter().any(|spec| spec.pinned) {
                continue;
            }
            for model in party {
                let (done, _) = oneshot::channel();
                // A full inbox is full of better reasons.
                let reason = Reason::Idle { idle };
                let _ = model.commands.try_send(Command::Evict { reason, done });
            }
        }
    }

    /// Loads every model that is never to be evicted and is not loaded.
    pub(crate) async fn load_pinned(&self) {
        for model in self.all() {
            let spec = model.spec();
            let stopped = match model.phase() {
                Phase::Stopped => true,
                // What was refused for good is refused again.
                Phase::Failed(failure) => matches!(*failure, LoadFailure::Engine { .. }),
                _ => false,
            };
            if spec.pinned && stopped && self.tried_again_in(&model).is_zero() {
                let (priority, reason) = (spec.priority, Reason::Requested);
                let load = Command::Load { priority, within: None, reason, demanded: false };
                let _ = model.commands.send(load).await;
            }
        }
    }

    /// Tells a model's task to do something, and waits for its answer.
    async fn tell<T>(
        &self,
        model: &Model,
        action: &Action,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ActionError> {
        let failed = |step| ActionError::Failed {
            action: action.to_string(),
            step,
            cause: "the broker is shutting down".to_owned(),
        };
        let (done, answer) = oneshot::channel();
        model.commands.send(command(done)).await.map_err(|_| failed("telling the engine"))?;
        answer.await.map_err(|_| failed("waiting for the engine"))
    }

    async fn resize(
        &self,
        model: &Model,
        action: &Action,
        to: ResourceVector,
        reason: Reason,
    ) -> Result<ActionOutcome, ActionError> {
        let resized = self.tell(model, action, |done| Command::Resize { to, reason, done }).await?;
        resized.map_err(|cause| ActionError::Failed {
            action: action.to_string(),
            step: "changing the lease",
            cause,
        })
    }

    async fn set_threads(
        &self,
        consumer: &ConsumerId,
        action: &Action,
        threads: u32,
    ) -> Result<ActionOutcome, ActionError> {
        let model = self.models.load().get(consumer.as_str()).cloned();
        let retunes = model.filter(|model| model.spec().engine.retunes_threads());
        let phase = retunes.map(|model| model.phase());
        let Some(Phase::Ready(running)) = phase else { return Ok(ActionOutcome::Moot) };
        let failed = |cause| ActionError::Failed {
            action: action.to_string(),
            step: "telling the engine",
            cause,
        };
        running.set_threads(threads).await.map_err(failed)?;
        Ok(ActionOutcome::Done)
    }
}

/// For how long `model`, which serves, has had nothing to do; none where it has, or does not serve.
fn idle_for(model: &Model, now: Timestamp) -> Option<Duration> {
    let Phase::Ready(running) = model.phase() else { return None };
    let counters = &model.counters;
    let busy =
        counters.in_progress.load(Ordering::Relaxed) + counters.waiting.load(Ordering::Relaxed);
    let used = Timestamp::from_nanos(counters.last_used.load(Ordering::Relaxed));
    (busy == 0).then(|| now.saturating_since(used.max(running.since)))
}

#[async_trait]
impl Fleet for Engines {
    fn engines(&self) -> Vec<EngineSnapshot> {
        let mut engines = Vec::new();
        self.engines_into(&mut engines);
        engines
    }

    fn engines_into(&self, engines: &mut Vec<EngineSnapshot>) {
        let now = self.world.clock.now();
        engines.clear();
        engines.extend(self.models.load().values().map(|model| self.snapshot(model, now)));
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        let models = self.models.load();
        let counts = models.values().map(|model| &model.counters);
        let sum = |which: fn(&Counters) -> usize| counts.clone().map(|c| which(c)).sum();
        let in_progress = sum(|c| c.in_progress.load(Ordering::Relaxed));
        let queued = sum(|c| c.waiting.load(Ordering::Relaxed));
        self.meter.take(self.world.clock.now(), in_progress, queued)
    }

    async fn apply(&self, planned: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        let (action, reason) = (&planned.action, planned.reason.clone());
        match action {
            Action::Prewarm { model } => Ok(self.prewarm(&self.find(model)?, reason).await),
            Action::Evict { model, beneficiary } => {
                let found = self.find(model)?;
                let lease = *found.counters.lease.lock();
                if let Some((lease, _)) = lease {
                    // A lease that ended in the meantime has nothing left to reclaim.
                    let _ = self.world.pool.begin_reclaim(lease, beneficiary.clone());
                }
                // Unloading takes as long as its last requests: nobody waits for it here.
                let (done, _) = oneshot::channel();
                match found.commands.try_send(Command::Evict { reason, done }) {
                    Ok(()) => Ok(ActionOutcome::Begun),
                    Err(_) => Ok(ActionOutcome::Moot),
                }
            }
            Action::Replace { model } => {
                self.tell(&*self.find(model)?, action, |done| Command::Replace { reason, done })
                    .await
            }
            Action::ResizeLease { model, to } => {
                self.resize(&*self.find(model)?, action, *to, reason).await
            }
            Action::SetLimit { limit } => {
                self.world.pool.set_limit(*limit);
                Ok(ActionOutcome::Done)
            }
            Action::SetThreads { consumer, threads } => {
                self.set_threads(consumer, action, *threads).await
            }
            other => Err(ActionError::Unsupported { action: other.to_string() }),
        }
    }
}
