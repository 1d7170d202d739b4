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
use crate::units::Bytes;
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
    /// Changes how many engines serve a model.
    Scale {
        /// Whose.
        model: ModelId,
        /// To how many, those that are still to start included.
        replicas: u32,
    },
    /// Refuses requests below a priority, or stops refusing any.
    Shed {
        /// The lowest priority that is still let in; none lets everybody in.
        below: Option<Priority>,
    },
    /// Serves a model's requests at another level.
    Degrade {
        /// Whose.
        model: ModelId,
        /// At which level from now on.
        to: ServiceLevel,
    },
    /// Moves memory from one holder to another, such as from a cache to a model's lease.
    ShiftBytes {
        /// Who gives.
        from: ConsumerId,
        /// Who gets.
        to: ConsumerId,
        /// How much.
        bytes: Bytes,
    },
}

/// How fully a model's requests are served; later levels give up more than earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "level", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServiceLevel {
    /// As asked.
    #[default]
    Full,
    /// By the same model with a smaller context, or on fewer replicas.
    Reduced,
    /// By another, smaller model.
    Alias {
        /// Which.
        model: ModelId,
    },
    /// From what is cached; the rest is refused.
    CacheOnly,
    /// From what is cached, and only above a priority; the rest is refused.
    Shed {
        /// The lowest priority that is still let in.
        below: Priority,
    },
}

impl fmt::Display for ServiceLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("in full"),
            Self::Reduced => f.write_str("reduced"),
            Self::Alias { model } => write!(f, "by {model}"),
            Self::CacheOnly => f.write_str("from the cache only"),
            Self::Shed { below } => write!(f, "from priority {below} up only"),
        }
    }
}

impl Action {
    /// Its name, which programs can count by.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Prewarm { .. } => "prewarm",
            Self::Evict { .. } => "evict",
            Self::Replace { .. } => "replace",
            Self::ResizeLease { .. } => "resize_lease",
            Self::SetLimit { .. } => "set_limit",
            Self::SetThreads { .. } => "set_threads",
            Self::Retune { .. } => "retune",
            Self::Scale { .. } => "scale",
            Self::Shed { .. } => "shed",
            Self::Degrade { .. } => "degrade",
            Self::ShiftBytes { .. } => "shift_bytes",
        }
    }

    /// Of what or whom it changes something: a model, a consumer or a cache by its name, `pool`
    /// or `requests` where it is neither.
    pub fn subject(&self) -> &str {
        match self {
            Self::Prewarm { model }
            | Self::Evict { model, .. }
            | Self::Replace { model }
            | Self::ResizeLease { model, .. }
            | Self::Scale { model, .. }
            | Self::Degrade { model, .. } => model.as_str(),
            Self::SetLimit { .. } => "pool",
            Self::SetThreads { consumer, .. } => consumer.as_str(),
            Self::Retune { strategy } => strategy.cache.as_str(),
            Self::Shed { .. } => "requests",
            Self::ShiftBytes { to, .. } => to.as_str(),
        }
    }
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
            Self::Scale { model, replicas } => write!(f, "run {model} on {replicas} replicas"),
            Self::Shed { below: Some(below) } => write!(f, "refuse requests below {below}"),
            Self::Shed { below: None } => f.write_str("refuse no requests"),
            Self::Degrade { model, to } => write!(f, "serve {model} {to}"),
            Self::ShiftBytes { from, to, bytes } => write!(f, "move {bytes} from {from} to {to}"),
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

    /// The same, written over an earlier list, whose room can be used again.
    fn engines_into(&self, engines: &mut Vec<EngineSnapshot>) {
        *engines = self.engines();
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_reads_as_a_sentence_and_names_its_subject() {
        let model = || ModelId::new("m").unwrap();
        let check = |action: Action, text: &str, kind: &str, subject: &str| {
            assert_eq!(action.to_string(), text);
            assert_eq!((action.kind(), action.subject()), (kind, subject));
            let json = serde_json::to_string(&action).unwrap();
            assert!(json.starts_with(&format!("{{\"action\":\"{kind}\"")), "{json}");
            assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), action);
        };
        let scale = Action::Scale { model: model(), replicas: 3 };
        check(scale, "run m on 3 replicas", "scale", "m");
        let shed = Action::Shed { below: Some(Priority::Normal) };
        check(shed, "refuse requests below normal", "shed", "requests");
        check(Action::Shed { below: None }, "refuse no requests", "shed", "requests");
        let to = ServiceLevel::Alias { model: ModelId::new("s").unwrap() };
        check(Action::Degrade { model: model(), to }, "serve m by s", "degrade", "m");
        let (from, to) = (ConsumerId::new("c").unwrap(), ConsumerId::from(&model()));
        let shift = Action::ShiftBytes { from, to, bytes: Bytes::from_mib(8) };
        check(shift, "move 8 MiB from c to m", "shift_bytes", "m");
    }

    #[test]
    fn levels_are_ordered_by_what_they_give_up() {
        let alias = ServiceLevel::Alias { model: ModelId::new("s").unwrap() };
        let shed = ServiceLevel::Shed { below: Priority::High };
        let ladder =
            [ServiceLevel::Full, ServiceLevel::Reduced, alias, ServiceLevel::CacheOnly, shed];
        assert!(ladder.is_sorted());
    }
}
