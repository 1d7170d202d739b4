//! One model's life: a task that owns its lease and its process, and what everybody may see.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use plimsoll_core_types::{
    ActionOutcome, AllocateError, ConsumerId, EngineState, ModelId, Priority, Reason, Resource,
    ResourceRequest, ResourceVector, Timestamp,
};
use plimsoll_load::{BackendConfig, Balancer, BalancerConfig};
use tokio::sync::{oneshot, watch};

use super::counters::Counters;
use super::orders::{Inbox, Orders, orders};
use super::process::LaunchError;
use super::running::Running;
use super::spec::ModelSpec;
use super::world::World;
use crate::journal::{Event, EventKind};
use crate::lease::alive::ProcessKey;
use crate::store::KeptEngine;

/// What the task can be told.
#[derive(Debug)]
pub(super) enum Command {
    /// Load, unless loaded or about to be. A load that requests demand is given up when the last
    /// of them is.
    Load { priority: Priority, within: Option<Duration>, reason: Reason, demanded: bool },
    /// Unload.
    Evict { reason: Reason, done: oneshot::Sender<ActionOutcome> },
    /// Kill the process, and start another under the same lease.
    Replace { reason: Reason, done: oneshot::Sender<ActionOutcome> },
    /// Change what the lease holds.
    Resize {
        to: ResourceVector,
        reason: Reason,
        done: oneshot::Sender<Result<ActionOutcome, String>>,
    },
}

/// Where the model is in its life.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Not loaded.
    Stopped,
    /// Its lease was refused, or its engine did not come up; not loaded.
    Failed(Arc<LoadFailure>),
    /// Waits for its lease.
    Waiting,
    /// Has its lease, and loads.
    Starting,
    /// Serves.
    Ready(Arc<Running>),
    /// Does not answer, and is being replaced.
    Replacing,
    /// Ends what it has begun.
    Draining,
}

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadFailure {
    /// The pool refused.
    #[error(transparent)]
    Refused(AllocateError),
    /// The engine did not come up.
    #[error("{cause}")]
    Engine { cause: String, why: Reason, at: Timestamp },
}

impl Phase {
    pub(crate) const fn state(&self) -> EngineState {
        match self {
            Self::Stopped | Self::Failed(_) => EngineState::Stopped,
            Self::Waiting => EngineState::Waiting,
            Self::Starting => EngineState::Starting,
            Self::Ready(_) => EngineState::Ready,
            Self::Replacing => EngineState::Unresponsive,
            Self::Draining => EngineState::Draining,
        }
    }
}

/// One model, as everybody sees it.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) id: ModelId,
    spec: Arc<ArcSwap<ModelSpec>>,
    pub(crate) balancer: Arc<Balancer>,
    pub(super) commands: Orders,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) counters: Arc<Counters>,
}

impl Model {
    /// What it is now: a new config may change that.
    pub(crate) fn spec(&self) -> Arc<ModelSpec> {
        self.spec.load_full()
    }

    /// Changes what does not concern a running engine.
    pub(super) fn set_spec(&self, spec: ModelSpec) {
        self.spec.store(Arc::new(spec));
    }

    /// Where it is in its life.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// The model `spec`, with its task running. The task ends, and its engine with it, when nobody
    /// has the model any more.
    pub(super) fn start(spec: ModelSpec, world: &Arc<World>) -> Self {
        let (commands, inbox) = orders();
        let (phase_out, phase) = watch::channel(Phase::Stopped);
        let counters = Arc::new(Counters::new(spec.load_time));
        let balancer = Arc::new(Balancer::new(BalancerConfig::default()));
        let (id, spec) = (spec.id.clone(), Arc::new(ArcSwap::from_pointee(spec)));
        let task = Task {
            spec: Arc::clone(&spec),
            world: Arc::clone(world),
            balancer: Arc::clone(&balancer),
            inbox,
            phase: phase_out,
            counters: Arc::clone(&counters),
        };
        tokio::spawn(task.run());
        Self { id, spec, balancer, commands, phase, counters }
    }
}

/// The task that owns a model's lease and process.
struct Task {
    spec: Arc<ArcSwap<ModelSpec>>,
    world: Arc<World>,
    balancer: Arc<Balancer>,
    inbox: Inbox,
    phase: watch::Sender<Phase>,
    counters: Arc<Counters>,
}

/// Why an engine stopped serving.
enum Ending {
    Evicted(Reason, oneshot::Sender<ActionOutcome>),
    Replaced(Reason, oneshot::Sender<ActionOutcome>),
    Exited(Option<i32>),
    FleetGone,
}

impl Task {
    async fn run(mut self) {
        while let Some(command) = self.inbox.recv().await {
            match command {
                Command::Load { priority, within, reason, demanded } => {
                    // On the heap for as long as it lasts: most models are not loaded.
                    if !Box::pin(self.life(priority, within, reason, demanded)).await {
                        return;
                    }
                }
                Command::Evict { done, .. } | Command::Replace { done, .. } => {
                    let _ = done.send(ActionOutcome::Moot);
                }
                Command::Resize { done, .. } => {
                    let _ = done.send(Ok(ActionOutcome::Moot));
                }
            }
        }
    }

    /// From a lease to its end. False when the fleet is gone.
    async fn life(
        &mut self,
        priority: Priority,
        within: Option<Duration>,
        reason: Reason,
        demanded: bool,
    ) -> bool {
        self.phase.send_replace(Phase::Waiting);
        self.tell(EventKind::Load, reason);
        let granted = tokio::select! {
            granted = self.lease(priority, within) => granted,
            () = self.counters.abandoned(), if demanded => {
                self.tell(EventKind::GaveUp, Reason::Cancelled);
                self.phase.send_replace(Phase::Stopped);
                return true;
            }
        };
        let mut lease = match granted {
            Ok(lease) => lease,
            Err(error) => {
                let failure = LoadFailure::Refused(error);
                self.phase.send_replace(Phase::Failed(Arc::new(failure)));
                return true;
            }
        };
        self.note_lease(Some(&lease));
        let alive = loop {
            match self.serve(&mut lease).await {
                Ok(Ending::Replaced(reason, done)) => {
                    self.tell(EventKind::Replaced, reason);
                    let _ = done.send(ActionOutcome::Begun);
                }
                Ok(Ending::Exited(code)) => {
                    self.tell(EventKind::Exited, Reason::Exited { code });
                    // As for one that is evicted: whoever sees it stopped finds its room free.
                    self.note_lease(None);
                    drop(lease);
                    self.phase.send_replace(Phase::Stopped);
                    return true;
                }
                Ok(Ending::Evicted(reason, done)) => {
                    self.tell(EventKind::Evicted, reason);
                    // The lease goes back before the phase says so, so that whoever sees the
                    // model stopped finds its room free.
                    self.note_lease(None);
                    drop(lease);
                    self.phase.send_replace(Phase::Stopped);
                    let _ = done.send(ActionOutcome::Done);
                    return true;
                }
                Ok(Ending::FleetGone) => break false,
                Err(failure) => {
                    if let LoadFailure::Engine { why, .. } = &failure {
                        self.tell(EventKind::Failed, why.clone());
                    }
                    tracing::warn!(model = %self.spec.load().id, %failure, "load failed");
                    self.phase.send_replace(Phase::Failed(Arc::new(failure)));
                    break true;
                }
            }
        };
        self.note_lease(None);
        drop(lease);
        alive
    }

    async fn lease(
        &self,
        priority: Priority,
        within: Option<Duration>,
    ) -> Result<Resource, AllocateError> {
        let spec = self.spec.load_full();
        let consumer = ConsumerId::from(&spec.id);
        let amount = self.world.believed(&spec);
        // A model that declares nothing is refused when the fleet is made.
        let request = ResourceRequest::new(consumer.clone(), amount)
            .map_err(|_| AllocateError::Closed { consumer })?
            .with_tenant(spec.tenant.clone())
            .with_priority(priority);
        let request = match within {
            Some(within) => request.with_deadline(self.world.clock.now() + within),
            None => request,
        };
        self.world.pool.allocate(request).await
    }

    /// Launches an engine under `lease`, and serves until it is to end.
    async fn serve(&mut self, lease: &mut Resource) -> Result<Ending, LoadFailure> {
        if !matches!(*self.phase.borrow(), Phase::Replacing) {
            self.phase.send_replace(Phase::Starting);
        }
        let begun = self.world.clock.now();
        self.counters.load_begins(begun);
        let spec = self.spec.load_full();
        let threads = self.world.threads_for(&spec);
        let counters = Arc::clone(&self.counters);
        let progress = move |share| counters.note_progress(share);
        let launched = self.world.launch(&spec, threads, progress).await;
        let (mut process, running) = launched.map_err(|error| self.failed(&error))?;
        let took = running.since.saturating_since(begun);
        self.counters.load_took(took);
        self.keep(&spec.id, running.pid, took);
        self.tell(EventKind::Ready, Reason::Fits { waited: took });
        let replica = running.replica;
        let backend = BackendConfig { slots: spec.slots, ..BackendConfig::default() };
        self.balancer.add(replica, backend);
        self.phase.send_replace(Phase::Ready(Arc::clone(&running)));
        let ending = tokio::select! {
            code = process.ended() => Ending::Exited(code),
            ending = commanded(&mut self.inbox, lease, &self.counters, &self.world, &spec.id) => ending,
        };
        self.balancer.remove(replica);
        match &ending {
            Ending::Evicted(..) => {
                self.phase.send_replace(Phase::Draining);
                running.connections.close();
                self.drained().await;
            }
            Ending::Replaced(..) => {
                self.phase.send_replace(Phase::Replacing);
                running.connections.close();
            }
            Ending::FleetGone => {
                // The config has dropped the model: who has begun comes to the end.
                self.idle().await;
                running.connections.close();
            }
            Ending::Exited(_) => {
                running.connections.close();
            }
        }
        process.kill().await;
        if let Some(store) = &self.world.store {
            store.forget_engine(spec.id.as_str());
        }
        Ok(ending)
    }

    /// Keeps for the next run how long the load took, and whose process serves.
    fn keep(&self, model: &ModelId, pid: Option<u32>, took: Duration) {
        let Some(store) = &self.world.store else { return };
        store.keep_load(model.as_str(), took);
        if let Some(process) = pid.and_then(ProcessKey::of) {
            store.keep_engine(&KeptEngine { model: model.to_string(), process });
        }
    }

    /// Takes note of a load that failed.
    fn failed(&self, error: &LaunchError) -> LoadFailure {
        let at = self.world.clock.now();
        self.counters.load_failed();
        LoadFailure::Engine { cause: error.to_string(), why: error.reason(), at }
    }

    /// Ends when nothing is in progress, or when that has taken too long.
    async fn drained(&self) {
        let spec = self.spec.load_full();
        if tokio::time::timeout(spec.drain_within, self.idle()).await.is_err() {
            tracing::warn!(model = %spec.id, "requests were still in progress when it ended");
        }
    }

    /// Ends when nothing is in progress.
    async fn idle(&self) {
        const LOOK_EVERY: Duration = Duration::from_millis(2);
        while self.counters.in_progress.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn note_lease(&self, lease: Option<&Resource>) {
        *self.counters.lease.lock() = lease.map(|lease| (lease.id(), *lease.amount()));
    }

    fn tell(&self, kind: EventKind, reason: Reason) {
        let (at, subject) = (self.world.clock.now(), self.spec.load().id.to_string());
        self.world.journal.tell(Event { at, kind, subject, reason });
    }
}

/// Obeys commands until one of them ends the engine.
///
/// Cancel safe: between two commands nothing is half done.
async fn commanded(
    inbox: &mut Inbox,
    lease: &mut Resource,
    counters: &Counters,
    world: &World,
    id: &ModelId,
) -> Ending {
    loop {
        match inbox.recv().await {
            None => return Ending::FleetGone,
            Some(Command::Load { .. }) => {}
            Some(Command::Evict { reason, done }) => return Ending::Evicted(reason, done),
            Some(Command::Replace { reason, done }) => return Ending::Replaced(reason, done),
            Some(Command::Resize { to, reason, done }) => {
                let resized = lease.resize(to).map_err(|error| error.to_string());
                if resized.is_ok() {
                    *counters.lease.lock() = Some((lease.id(), to));
                    let (at, subject) = (world.clock.now(), id.to_string());
                    let kind = EventKind::Resized;
                    world.journal.tell(Event { at, kind, subject, reason });
                }
                let _ = done.send(resized.map(|()| ActionOutcome::Done));
            }
        }
    }
}
