//! One model's life: a task that owns its lease and its engine.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use plimsoll_core_types::{
    ActionOutcome, AllocateError, ConsumerId, ModelId, Priority, Reason, Resource, ResourceRequest,
    ResourceVector,
};
use plimsoll_load::{BackendConfig, Balancer};
use tokio::sync::{oneshot, watch};

use super::company::Seat;
use super::counters::Counters;
use super::guards::{Guarded, Noter};
use super::model::{Command, LoadFailure, Phase};
use super::orders::Inbox;
use super::process::{EngineProcess, LaunchError};
use super::running::Running;
use super::spec::ModelSpec;
use super::world::World;
use crate::journal::{Event, EventKind};

/// An engine that another broker has started, and its lease.
#[derive(Debug)]
pub(crate) struct Inherited {
    pub(crate) lease: Resource,
    pub(crate) engine: Guarded,
}

/// The task that owns a model's lease and process.
pub(super) struct Task {
    pub(super) spec: Arc<ArcSwap<ModelSpec>>,
    pub(super) world: Arc<World>,
    pub(super) balancer: Arc<Balancer>,
    pub(super) inbox: Inbox,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) counters: Arc<Counters>,
}

/// What a model has while it is loaded, and gives back all at once.
struct Stay {
    lease: Resource,
    _seat: Seat,
}

/// Why an engine stopped serving.
enum Ending {
    Evicted(Reason, oneshot::Sender<ActionOutcome>),
    Replaced(Reason, oneshot::Sender<ActionOutcome>),
    Exited(Option<i32>),
    FleetGone,
}

impl Task {
    pub(super) async fn run(mut self, inherited: Option<Box<Inherited>>) {
        if let Some(Inherited { lease, engine }) = inherited.map(|inherited| *inherited) {
            let seat = self.world.company.sit(&self.spec.load().id);
            if !Box::pin(self.under(Stay { lease, _seat: seat }, Some(engine))).await {
                return;
            }
        }
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
        let admitted = tokio::select! {
            admitted = self.admitted(priority, within) => admitted,
            () = self.counters.abandoned(), if demanded => {
                self.tell(EventKind::GaveUp, Reason::Cancelled);
                self.phase.send_replace(Phase::Stopped);
                return true;
            }
        };
        match admitted {
            Ok(Some(stay)) => self.under(stay, None).await,
            Ok(None) => {
                let waited = within.unwrap_or_default();
                self.tell(EventKind::GaveUp, Reason::DeadlinePassed { waited });
                self.phase.send_replace(Phase::Stopped);
                true
            }
            Err(error) => {
                let failure = LoadFailure::Refused(error);
                self.phase.send_replace(Phase::Failed(Arc::new(failure)));
                true
            }
        }
    }

    /// As long as the lease holds: at first with the engine that is there, where one is. False when
    /// the fleet is gone.
    async fn under(&mut self, mut stay: Stay, mut there: Option<Guarded>) -> bool {
        self.note_lease(Some(&stay.lease));
        let alive = loop {
            match self.serve(&mut stay.lease, there.take()).await {
                Ok(Ending::Replaced(reason, done)) => {
                    self.tell(EventKind::Replaced, reason);
                    let _ = done.send(ActionOutcome::Begun);
                }
                Ok(Ending::Exited(code)) => {
                    self.tell(EventKind::Exited, Reason::Exited { code });
                    // As for one that is evicted: whoever sees it stopped finds its room free.
                    self.note_lease(None);
                    drop(stay);
                    self.phase.send_replace(Phase::Stopped);
                    return true;
                }
                Ok(Ending::Evicted(reason, done)) => {
                    self.tell(EventKind::Evicted, reason);
                    // The lease goes back before the phase says so, so that whoever sees the
                    // model stopped finds its room free.
                    self.note_lease(None);
                    drop(stay);
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
        drop(stay);
        alive
    }

    /// A lease, once nobody is loaded who may not be beside this model; none where one that it has
    /// to wait for did not go within the time.
    async fn admitted(
        &self,
        priority: Priority,
        within: Option<Duration>,
    ) -> Result<Option<Stay>, AllocateError> {
        let (begun, id) = (self.world.clock.now(), self.spec.load().id.clone());
        let excluded =
            |by: &ModelId| self.tell(EventKind::Wait, Reason::Excluded { by: by.clone() });
        let entered = self.world.company.enter(&id, excluded);
        let seat = match within {
            Some(within) => tokio::time::timeout(within, entered).await.ok(),
            None => Some(entered.await),
        };
        let Some(seat) = seat else { return Ok(None) };
        let waited = self.world.clock.now().saturating_since(begun);
        let lease =
            self.lease(priority, within.map(|within| within.saturating_sub(waited))).await?;
        Ok(Some(Stay { lease, _seat: seat }))
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

    /// Takes over the engine that is there, or launches one under `lease`, and serves until it is
    /// to end.
    async fn serve(
        &mut self,
        lease: &mut Resource,
        there: Option<Guarded>,
    ) -> Result<Ending, LoadFailure> {
        if !matches!(*self.phase.borrow(), Phase::Replacing) {
            self.phase.send_replace(Phase::Starting);
        }
        let spec = self.spec.load_full();
        let taken_over = match there {
            Some(engine) => self.take_over(&spec, engine).await,
            None => None,
        };
        let (mut process, running) = match taken_over {
            Some(engine) => engine,
            None => self.launch(&spec, *lease.amount()).await?,
        };
        let noter = process.note_ready();
        let replica = running.replica;
        let backend = BackendConfig { slots: spec.slots, ..BackendConfig::default() };
        self.balancer.add(replica, backend);
        self.phase.send_replace(Phase::Ready(Arc::clone(&running)));
        let held =
            Held { lease, counters: &self.counters, world: &self.world, id: &spec.id, noter };
        let ending = tokio::select! {
            code = process.ended() => Ending::Exited(code),
            ending = commanded(&mut self.inbox, held) => ending,
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
        Ok(ending)
    }

    async fn launch(
        &self,
        spec: &ModelSpec,
        amount: ResourceVector,
    ) -> Result<(EngineProcess, Arc<Running>), LoadFailure> {
        let begun = self.world.clock.now();
        self.counters.load_begins(begun);
        let progress = |share| self.counters.note_progress(share);
        let launched = self.world.launch(spec, amount, progress).await;
        let (process, running) = launched.map_err(|error| self.failed(&error))?;
        let took = running.since.saturating_since(begun);
        self.counters.load_took(took);
        self.world.note_load(&spec.id, took);
        self.tell(EventKind::Ready, Reason::Fits { waited: took });
        Ok((process, running))
    }

    /// None where the engine does not serve any more: then another one is launched in its place.
    async fn take_over(
        &self,
        spec: &ModelSpec,
        engine: Guarded,
    ) -> Option<(EngineProcess, Arc<Running>)> {
        let begun = self.world.clock.now();
        self.counters.load_begins(begun);
        let progress = |share| self.counters.note_progress(share);
        match self.world.take_over(spec, engine, progress).await {
            Ok((process, running)) => {
                let waited = running.since.saturating_since(begun);
                self.tell(EventKind::Adopted, Reason::Fits { waited });
                Some((process, running))
            }
            Err(error) => {
                tracing::warn!(model = %spec.id, %error, "it could not be taken over");
                self.tell(EventKind::Replaced, error.reason());
                None
            }
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

/// What may be changed while an engine serves.
struct Held<'a> {
    lease: &'a mut Resource,
    counters: &'a Counters,
    world: &'a World,
    id: &'a ModelId,
    /// Where the engine may outlive this process, and its next broker must know.
    noter: Option<Noter>,
}

impl Held<'_> {
    fn resize(&mut self, to: ResourceVector, reason: Reason) -> Result<ActionOutcome, String> {
        self.lease.resize(to).map_err(|error| error.to_string())?;
        if let Some(noter) = &mut self.noter {
            noter.note_amount(to);
        }
        *self.counters.lease.lock() = Some((self.lease.id(), to));
        let (at, subject) = (self.world.clock.now(), self.id.to_string());
        self.world.journal.tell(Event { at, kind: EventKind::Resized, subject, reason });
        Ok(ActionOutcome::Done)
    }
}

/// Obeys commands until one of them ends the engine.
///
/// Cancel safe: between two commands nothing is half done.
async fn commanded(inbox: &mut Inbox, mut held: Held<'_>) -> Ending {
    loop {
        match inbox.recv().await {
            None => return Ending::FleetGone,
            Some(Command::Load { .. }) => {}
            Some(Command::Evict { reason, done }) => return Ending::Evicted(reason, done),
            Some(Command::Replace { reason, done }) => return Ending::Replaced(reason, done),
            Some(Command::Resize { to, reason, done }) => {
                let _ = done.send(held.resize(to, reason));
            }
        }
    }
}
