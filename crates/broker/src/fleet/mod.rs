//! The engines of this host: loaded when asked for, unloaded when told to.

mod connections;
mod counters;
mod health;
mod keeper;
mod loading;
mod meter;
mod model;
mod orders;
mod owner;
mod process;
mod running;
mod spec;
mod words;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, ConsumerId, EngineSnapshot, EngineState, Fleet,
    LoadMetrics, ModelId, PlannedAction, Priority, Reason, ResourceVector, Task, TaskClass, TaskId,
    TenantId, Timestamp,
};
use tokio::sync::oneshot;

use crate::journal::{Event, EventKind};
use crate::traffic_meter::TrafficMeter;
pub(crate) use connections::Connections;
use counters::{Counted, Counters};
pub(crate) use loading::Loading;
pub(crate) use meter::Meter;
use model::Command;
pub(crate) use model::{LoadFailure, Model, Phase};
pub(crate) use owner::owner_of;
pub(crate) use running::Running;
pub(crate) use spec::{CommandSpec, EngineCommand, EngineSpec, ModelSpec};
pub(crate) use world::World;

/// How long a load ahead of its requests may wait for its lease.
const PREWARM_WITHIN: Duration = Duration::from_secs(2);
/// What a load is taken to last where that is not known.
const LOAD_TIME: Duration = Duration::from_secs(2);

type Models = BTreeMap<ModelId, Arc<Model>>;

/// The models of this host, and their engines.
#[derive(Debug)]
pub(crate) struct Engines {
    world: Arc<World>,
    models: ArcSwap<Models>,
    pub(crate) meter: TrafficMeter,
}

/// An engine that is ready, for one request.
#[derive(Debug)]
pub(crate) struct Acquired {
    pub(crate) running: Arc<Running>,
    /// True when the request found it ready.
    pub(crate) warm: bool,
    _in_progress: Counted,
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
    /// The models `specs`, none of them loaded.
    pub(crate) fn new(world: Arc<World>, specs: Vec<ModelSpec>) -> Self {
        let engines = Self { world, models: ArcSwap::default(), meter: TrafficMeter::default() };
        engines.set_models(specs);
        engines
    }

    /// There are the models `specs` from now on. An engine that serves one of them as it is now
    /// goes on; others go on until the last of their requests has its answer.
    pub(crate) fn set_models(&self, specs: Vec<ModelSpec>) {
        let old = self.models.load_full();
        let keep_or_start = |spec: ModelSpec| {
            let kept = old.get(&spec.id).filter(|model| model.spec().same_engine(&spec));
            let model = match kept {
                Some(model) => {
                    model.set_spec(spec);
                    Arc::clone(model)
                }
                None => Arc::new(Model::start(self.as_measured(spec), &self.world)),
            };
            (model.id.clone(), model)
        };
        let models = specs.into_iter().map(keep_or_start).collect();
        self.models.store(Arc::new(models));
    }

    /// The same model, with the time that its last load took, where that is known.
    fn as_measured(&self, spec: ModelSpec) -> ModelSpec {
        let loads = self.world.store.as_ref().map(|store| store.loads()).unwrap_or_default();
        let known = loads.into_iter().find(|(model, _)| model == spec.id.as_str());
        ModelSpec { load_time: known.map(|(_, took)| took).or(spec.load_time), ..spec }
    }

    pub(crate) fn model(&self, id: &ModelId) -> Option<Arc<Model>> {
        self.models.load().get(id).cloned()
    }

    /// Every model, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Model>> {
        self.models.load().values().cloned().collect()
    }

    /// The models' names, separated by commas.
    pub(crate) fn names(&self) -> String {
        self.models.load().keys().map(ModelId::as_str).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn ids(&self) -> Vec<ModelId> {
        self.models.load().keys().cloned().collect()
    }

    /// Counts a request for `model`, whether it will need its engine or not.
    pub(crate) fn note_arrival(&self, model: &Model) {
        model.counters.arrivals.fetch_add(1, Ordering::Relaxed);
        model.counters.last_used.store(self.world.clock.now().as_nanos(), Ordering::Relaxed);
    }

    /// An engine for `model`, loaded first where it is not.
    pub(crate) async fn acquire(
        &self,
        model: &Model,
        within: Duration,
    ) -> Result<Acquired, AcquireError> {
        let late = || AcquireError::Late { model: model.id.clone(), within };
        tokio::time::timeout(within, self.ready(model)).await.map_err(|_| late())?
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
                    return Ok(Acquired { running, warm, _in_progress: in_progress });
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

    fn snapshot(&self, model: &Model, now: Timestamp) -> EngineSnapshot {
        let phase = model.phase();
        let (counters, spec) = (&model.counters, &*model.spec());
        let running = match &phase {
            Phase::Ready(running) => Some(running),
            _ => None,
        };
        let reading = running.map(|running| running.measure(now)).unwrap_or_default();
        if let Some(running) = running {
            self.world.learn(spec, reading.peak.memory(), now);
            self.account(spec, running, &reading, now);
        }
        let lease = *counters.lease.lock();
        let last_used = counters.last_used.load(Ordering::Relaxed);
        EngineSnapshot {
            model: spec.id.clone(),
            state: phase.state(),
            priority: spec.priority,
            // To evict one that keeps its memory makes no room.
            pinned: spec.pinned || !spec.engine.gives_back(),
            declared: spec.declared,
            believed: self.world.believed(spec),
            lease: lease.map(|(id, _)| id),
            promised: lease.map_or(ResourceVector::ZERO, |(_, amount)| amount),
            used: reading.used,
            peak: reading.peak,
            samples: reading.samples,
            slots: spec.slots,
            threads: running.map_or(0, |running| running.threads.load(Ordering::Relaxed)),
            in_progress: counters.in_progress.load(Ordering::Relaxed),
            waiting: counters.waiting.load(Ordering::Relaxed),
            arrivals: counters.arrivals.load(Ordering::Relaxed),
            last_used: (last_used > 0).then(|| Timestamp::from_nanos(last_used)),
            ready_since: running.map(|running| running.since),
            load_time: counters.load_time().unwrap_or(LOAD_TIME),
            silent: running.map_or(Duration::ZERO, |running| running.silent(now)),
            missed_probes: running.map_or(0, |running| running.missed()),
        }
    }

    /// Tells the CPU manager what an engine has used since it was last told.
    fn account(
        &self,
        spec: &ModelSpec,
        running: &Running,
        reading: &running::Reading,
        now: Timestamp,
    ) {
        let (cpu, waited) = running.unaccounted(reading);
        self.world.cpu.track_usage(&Task {
            id: TaskId::new(u64::from(running.pid.unwrap_or(0))),
            consumer: ConsumerId::from(&spec.id),
            class: TaskClass {
                model: Some(spec.id.clone()),
                tenant: TenantId::DEFAULT,
                priority: spec.priority,
            },
            worker: None,
            at: now,
            cpu,
            waited,
            work: running.served.swap(0, Ordering::Relaxed),
            threads: running.threads.load(Ordering::Relaxed),
        });
    }

    fn find(&self, model: &ModelId) -> Result<Arc<Model>, ActionError> {
        self.model(model).ok_or_else(|| ActionError::UnknownModel { model: model.clone() })
    }

    async fn prewarm(&self, model: &Model, reason: Reason) -> ActionOutcome {
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

    /// Unloads whatever has been idle for longer than it may be.
    pub(crate) fn unload_idle(&self) {
        let now = self.world.clock.now();
        for model in self.models.load().values() {
            let spec = model.spec();
            let Some(keep) = spec.keep_alive.filter(|_| !spec.pinned) else { continue };
            let Phase::Ready(running) = model.phase() else { continue };
            let counters = &model.counters;
            let busy = counters.in_progress.load(Ordering::Relaxed)
                + counters.waiting.load(Ordering::Relaxed);
            let used = Timestamp::from_nanos(counters.last_used.load(Ordering::Relaxed));
            let idle = now.saturating_since(used.max(running.since));
            if busy == 0 && idle >= keep {
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

    /// Slots of `model` that nobody has or waits for; negative where more want one.
    pub(crate) fn free_slots(model: &Model) -> i64 {
        let busy = model.counters.in_progress.load(Ordering::Relaxed);
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        count(model.spec().slots) - count(busy)
    }

    /// Loads `model` since somebody who does not wait for it asks for that.
    pub(crate) fn begin_load(model: &Model) {
        let (priority, reason) = (model.spec().priority, Reason::Requested);
        let load = Command::Load { priority, within: None, reason, demanded: false };
        // Where its inbox is full, it has been told before.
        let _ = model.commands.try_send(load);
    }

    /// Forgets every model; their engines end when their last request does, or with this process.
    pub(crate) fn abandon(&self) {
        self.models.store(Arc::default());
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

#[async_trait]
impl Fleet for Engines {
    fn engines(&self) -> Vec<EngineSnapshot> {
        let now = self.world.clock.now();
        self.models.load().values().map(|model| self.snapshot(model, now)).collect()
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
            Action::Prewarm { model } => Ok(self.prewarm(&*self.find(model)?, reason).await),
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
