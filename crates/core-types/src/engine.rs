//! Engines, and what can be done to them.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::cache::CacheStrategy;
use crate::clock::Timestamp;
use crate::id::{ConsumerId, LeaseId, ModelId};
use crate::load::LoadMetrics;
use crate::priority::Priority;
use crate::reason::Reason;
use crate::vector::ResourceVector;

/// Where an engine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineState {
    /// Not running; its model can be loaded.
    Stopped,
    /// Waits for its lease.
    Waiting,
    /// Has its lease, and loads.
    Starting,
    /// Serves.
    Ready,
    /// Ends what it has begun, and takes nothing new.
    Draining,
    /// Runs and does not answer.
    Unresponsive,
}

impl EngineState {
    /// True where the engine holds a lease.
    pub const fn holds_lease(self) -> bool {
        !matches!(self, Self::Stopped | Self::Waiting)
    }
}

impl fmt::Display for EngineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Unresponsive => "unresponsive",
        })
    }
}

/// One model's engine at one moment, running or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineSnapshot {
    /// Which model it serves.
    pub model: ModelId,
    /// Where it is in its life.
    pub state: EngineState,
    /// At which priority it asks for its lease.
    pub priority: Priority,
    /// True when it must not be evicted.
    pub pinned: bool,
    /// What its owner said it needs.
    pub declared: ResourceVector,
    /// What it is believed to need, which the next load asks for.
    pub believed: ResourceVector,
    /// Its lease, where it holds one.
    pub lease: Option<LeaseId>,
    /// What its lease holds.
    pub promised: ResourceVector,
    /// What it is measured to use.
    pub used: ResourceVector,
    /// The most it was measured to use since it was loaded.
    pub peak: ResourceVector,
    /// How many measurements that is of.
    pub samples: u32,
    /// How many requests it may work on at once.
    pub slots: usize,
    /// How many threads it computes with; zero where that is unknown.
    pub threads: u32,
    /// Requests in progress.
    pub in_progress: usize,
    /// Requests that wait for it to be ready.
    pub waiting: usize,
    /// Requests for it so far, whether it ran or not.
    pub arrivals: u64,
    /// When it was last asked for; none before the first time.
    pub last_used: Option<Timestamp>,
    /// When it became ready; none where it is not.
    pub ready_since: Option<Timestamp>,
    /// How long its load takes, measured where it was, else declared.
    pub load_time: Duration,
    /// How long it has not answered its health probe; zero where it answers.
    pub silent: Duration,
    /// How many probes in a row it has missed.
    pub missed_probes: u32,
}

/// What the optimizer may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Action {
    /// Loads a model ahead of its requests.
    Prewarm {
        /// Which.
        model: ModelId,
    },
    /// Unloads a model: takes nothing new, ends what it has begun, stops.
    Evict {
        /// Which.
        model: ModelId,
        /// For whom its resources are meant, where for somebody.
        beneficiary: Option<ConsumerId>,
    },
    /// Kills an engine that does not answer and starts another in its place, under its lease.
    Replace {
        /// Whose.
        model: ModelId,
    },
    /// Changes what a model's lease holds.
    ResizeLease {
        /// Whose.
        model: ModelId,
        /// To what.
        to: ResourceVector,
    },
    /// Changes what the pool may promise.
    SetLimit {
        /// To what.
        limit: ResourceVector,
    },
    /// Changes how many threads a consumer runs.
    SetThreads {
        /// Whose.
        consumer: ConsumerId,
        /// To how many.
        threads: u32,
    },
    /// Puts another strategy into force in a cache.
    Retune {
        /// Which strategy.
        strategy: CacheStrategy,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prewarm { model } => write!(f, "prewarm {model}"),
            Self::Evict { model, .. } => write!(f, "evict {model}"),
            Self::Replace { model } => write!(f, "replace {model}"),
            Self::ResizeLease { model, to } => write!(f, "resize the lease of {model} to {to}"),
            Self::SetLimit { limit } => write!(f, "set the limit to {limit}"),
            Self::SetThreads { consumer, threads } => {
                write!(f, "run {consumer} on {threads} threads")
            }
            Self::Retune { strategy } => write!(
                f,
                "run cache {} by {} with capacity {}",
                strategy.cache, strategy.policy, strategy.capacity
            ),
        }
    }
}

/// An action with its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedAction {
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
}

/// What came of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionOutcome {
    /// It is done.
    Done,
    /// It has begun and goes on by itself.
    Begun,
    /// There was nothing to do any more.
    Moot,
}

/// Why an action could not be done. Everything is then as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// There is no such model.
    #[error("there is no model {model}")]
    UnknownModel {
        /// Which was named.
        model: ModelId,
    },
    /// Whoever was asked has no means to do it.
    #[error("{action} is not possible here")]
    Unsupported {
        /// What was asked.
        action: String,
    },
    /// A step of it failed.
    #[error("{action}: {step} failed: {cause}")]
    Failed {
        /// What was asked.
        action: String,
        /// Which step.
        step: &'static str,
        /// What was wrong.
        cause: String,
    },
}

/// The engines of a host: seen, and acted upon, by the optimizer.
#[async_trait]
pub trait Fleet: Send + Sync + fmt::Debug {
    /// Every model that can be asked for, running or not.
    fn engines(&self) -> Vec<EngineSnapshot>;

    /// What came in and went out since this was last asked; none where nobody counts.
    fn traffic(&self) -> Option<LoadMetrics>;

    /// Does what the optimizer decided, or begins to.
    ///
    /// # Errors
    ///
    /// When it can't be done; everything is then as it was.
    ///
    /// # Cancel safety
    ///
    /// An action that has begun goes on when the future is dropped.
    async fn apply(&self, action: &PlannedAction) -> Result<ActionOutcome, ActionError>;
}
