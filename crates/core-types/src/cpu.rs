//! The interface of whoever knows and divides CPU.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::id::{ConsumerId, ModelId, TaskId, TenantId, WorkerId};
use crate::priority::Priority;
use crate::reason::Reason;
use crate::units::{Millicores, Ratio};

/// Accounts CPU by task, evens it out over workers, and divides threads among engines.
pub trait CpuManager: Send + Sync + std::fmt::Debug {
    /// Accounts what `task` has used since it was last told.
    fn track_usage(&self, task: &Task);

    /// The fewest moves of tasks that even out the workers; none where they are even enough.
    fn balance_load(&self) -> WorkerMoves;

    /// How many threads each engine should run, never more in all than there are cores.
    fn optimize_threads(&self) -> ThreadPlan;
}

/// What CPU time is accounted to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskClass {
    /// For which model, where for one.
    pub model: Option<ModelId>,
    /// On whose behalf.
    pub tenant: TenantId,
    /// At which priority.
    pub priority: Priority,
}

/// CPU time of one task since it was last told, for [`CpuManager::track_usage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Which task.
    pub id: TaskId,
    /// Whose consumption it is: an engine, a pool, a job.
    pub consumer: ConsumerId,
    /// What it is accounted to.
    pub class: TaskClass,
    /// Where it runs, where that can be chosen.
    pub worker: Option<WorkerId>,
    /// Until when this accounts.
    pub at: Timestamp,
    /// CPU time used.
    pub cpu: Duration,
    /// Time spent ready to run, waiting for a core.
    pub waited: Duration,
    /// Work done in that time, in the consumer's own unit (requests, tokens); zero where unknown.
    pub work: u64,
    /// How many threads did it; at least one.
    pub threads: u32,
}

/// What [`CpuManager::balance_load`] would move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerMoves {
    /// The moves; empty where the workers are even enough.
    pub moves: Vec<WorkerMove>,
    /// The busiest worker's load ÷ the mean, before.
    pub imbalance_before: Ratio,
    /// The same after the moves.
    pub imbalance_after: Ratio,
}

/// One task's move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerMove {
    /// Which task.
    pub task: TaskId,
    /// From where.
    pub from: WorkerId,
    /// To where.
    pub to: WorkerId,
}

/// What [`CpuManager::optimize_threads`] would give to whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadPlan {
    /// What there is to divide: affinity, quotas of every ancestor, pressure considered.
    pub cores: Millicores,
    /// What each gets.
    pub assignments: Vec<ThreadAssignment>,
}

/// What one consumer gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThreadAssignment {
    /// Who.
    pub consumer: ConsumerId,
    /// How many threads it should run; at least one.
    pub threads: u32,
    /// Its share of the cores.
    pub share: Millicores,
    /// Why.
    pub reason: Reason,
}
