//! The engines of this host: loaded when asked for, unloaded when told to.

mod connections;
mod model;
mod process;
mod running;
mod spec;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, ConsumerId, EngineSnapshot, EngineState, Fleet,
    LoadMetrics, ModelId, PlannedAction, Priority, Reason, ResourceVector, Task, TaskClass, TaskId,
    TenantId, Timestamp,
};
use tokio::sync::oneshot;

use crate::journal::{Event, EventKind};
use crate::traffic_meter::TrafficMeter;
use model::{Command, Counted};
pub(crate) use model::{LoadFailure, Model, Phase};
pub(crate) use running::Running;
pub(crate) use spec::{EngineCommand, ModelSpec};
pub(crate) use world::World;

/// How long a load ahead of its requests may wait for its lease.
const PREWARM_WITHIN: Duration = Duration::from_secs(2);

/// The models of this host, and their engines.
#[derive(Debug)]
pub(crate) struct Engines {
    world: Arc<World>,
    models: BTreeMap<ModelId, Model>,
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
        let start = |spec: ModelSpec| (spec.id.clone(), Model::start(spec, &world));
        let models = specs.into_iter().map(start).collect();
        Self { world, models, meter: TrafficMeter::default() }
    }

    pub(crate) fn model(&self, id: &ModelId) -> Option<&Model> {
        self.models.get(id)
    }

    /// The models' names, separated by commas.
    pub(crate) fn names(&self) -> String {
        self.models.keys().map(ModelId::as_str).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = &ModelId> {
        self.models.keys()
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
        let late = || AcquireError::Late { model: model.spec.id.clone(), within };
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
                Phase::Failed(failure) if asked => return Err(AcquireError::Load(failure)),
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

    fn note_warm_hit(&self, model: &Model, running: &Running) {
        let now = self.world.clock.now();
        let reason = Reason::Idle { idle: now.saturating_since(running.since) };
        let (kind, subject) = (EventKind::WarmHit, model.spec.id.to_string());
        self.world.journal.tell(Event { at: now, kind, subject, reason });
    }

    /// Writes down that a request for `model` was refused.
    pub(crate) fn note_refusal(&self, model: &Model, reason: Reason) {
        let (at, subject) = (self.world.clock.now(), model.spec.id.to_string());
        self.world.journal.tell(Event { at, kind: EventKind::Refused, subject, reason });
    }

    async fn demand(&self, model: &Model) -> Result<(), AcquireError> {
        let waiting = model.counters.waiting.load(Ordering::Relaxed).max(1);
        let reason = Reason::Demanded { waiting };
        let load = Command::Load { priority: model.spec.priority, within: None, reason };
        model.commands.send(load).await.map_err(|_| AcquireError::Closed)
    }

    fn snapshot(&self, model: &Model, now: Timestamp) -> EngineSnapshot {
        let phase = model.phase();
        let (counters, spec) = (&model.counters, &model.spec);
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
            pinned: false,
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
            load_time: counters.load_time(),
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
            id: TaskId::new(u64::from(running.pid)),
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

    fn find(&self, model: &ModelId) -> Result<&Model, ActionError> {
        self.models.get(model).ok_or_else(|| ActionError::UnknownModel { model: model.clone() })
    }

    async fn prewarm(&self, model: &Model, reason: Reason) -> ActionOutcome {
        if model.phase().state() != EngineState::Stopped {
            return ActionOutcome::Moot;
        }
        let (at, subject) = (self.world.clock.now(), model.spec.id.to_string());
        let kind = EventKind::Prewarm;
        self.world.journal.tell(Event { at, kind, subject, reason: reason.clone() });
        let (priority, within) = (Priority::BestEffort, Some(PREWARM_WITHIN));
        match model.commands.send(Command::Load { priority, within, reason }).await {
            Ok(()) => ActionOutcome::Begun,
            Err(_) => ActionOutcome::Moot,
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
        let model = self.models.get(consumer.as_str());
        let phase = model.map(Model::phase);
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
        self.models.values().map(|model| self.snapshot(model, now)).collect()
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        let counts = self.models.values().map(|model| &model.counters);
        let sum = |which: fn(&model::Counters) -> usize| counts.clone().map(|c| which(c)).sum();
        let in_progress = sum(|c| c.in_progress.load(Ordering::Relaxed));
        let queued = sum(|c| c.waiting.load(Ordering::Relaxed));
        self.meter.take(self.world.clock.now(), in_progress, queued)
    }

    async fn apply(&self, planned: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        let (action, reason) = (&planned.action, planned.reason.clone());
        match action {
            Action::Prewarm { model } => Ok(self.prewarm(self.find(model)?, reason).await),
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
                self.tell(self.find(model)?, action, |done| Command::Replace { reason, done }).await
            }
            Action::ResizeLease { model, to } => {
                self.resize(self.find(model)?, action, *to, reason).await
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
