//! One model, as everybody sees it: where it is in its life, and what its task can be told.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use plimsoll_core_types::{
    ActionOutcome, AllocateError, EngineState, ModelId, Priority, Reason, ResourceVector, Timestamp,
};
use plimsoll_load::{Balancer, BalancerConfig};
use tokio::sync::{oneshot, watch};

use super::counters::Counters;
use super::orders::{Orders, orders};
use super::running::Running;
use super::spec::ModelSpec;
use super::task::{Inherited, Task};
use super::world::World;

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
    pub(super) fn start(
        spec: ModelSpec,
        world: &Arc<World>,
        inherited: Option<Box<Inherited>>,
    ) -> Self {
        let (commands, inbox) = orders();
        // Whoever asks for a model that is being taken over waits for that.
        let first = if inherited.is_some() { Phase::Starting } else { Phase::Stopped };
        let (phase_out, phase) = watch::channel(first);
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
        tokio::spawn(task.run(inherited));
        Self { id, spec, balancer, commands, phase, counters }
    }
}
