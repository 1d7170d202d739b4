//! The interface of whoever makes the parts one system.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::cache::CacheOptimizer;
use crate::clock::{Clock, Timestamp};
use crate::cpu::CpuManager;
use crate::engine::Fleet;
use crate::load::LoadManager;
use crate::memory::MemoryManager;
use crate::pool::ResourcePool;
use crate::predict::ResourcePredictor;
use crate::probe::CapacityProbe;
use crate::snapshot::{Decision, SystemSnapshot};
use crate::units::Ratio;
use crate::vector::Dimension;

/// Makes one system of pool, memory, CPU, cache, prediction and load, and keeps it well.
#[async_trait]
pub trait ResourceOptimizer: Send + Sync + fmt::Debug {
    /// Takes the parts over, after it has seen that they fit together.
    ///
    /// # Errors
    ///
    /// When a part that can't be done without is missing, or two parts contradict each other.
    async fn integrate(&self, components: SystemComponents) -> Result<Integration, IntegrateError>;

    /// Says whether every invariant holds, and what the changes made so far were worth.
    fn validate(&self, integration: &Integration) -> ValidationReport;

    /// How the system is.
    fn monitor(&self) -> IntegrationStatus;
}

/// The parts of a system.
///
/// Clock, pool and fleet can't be done without. Every other part that is absent, or fails later,
/// is replaced by the safe static rule.
#[derive(Clone, Debug)]
pub struct SystemComponents {
    /// Where time is read.
    pub clock: Arc<dyn Clock>,
    /// Who hands out resources.
    pub pool: Arc<dyn ResourcePool>,
    /// What they are handed out to.
    pub fleet: Arc<dyn Fleet>,
    /// Who measures the host; each fills other dimensions.
    pub probes: Vec<Arc<dyn CapacityProbe>>,
    /// Who manages memory.
    pub memory: Option<Arc<dyn MemoryManager>>,
    /// Who manages CPU.
    pub cpu: Option<Arc<dyn CpuManager>>,
    /// Whose caches can be retuned.
    pub caches: Vec<Arc<dyn CacheOptimizer>>,
    /// Who says what is coming.
    pub predictor: Option<Arc<dyn ResourcePredictor>>,
    /// Who spreads load.
    pub load: Option<Arc<dyn LoadManager>>,
}

/// Which part of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ComponentKind {
    /// [`ResourcePool`].
    Pool,
    /// [`Fleet`].
    Fleet,
    /// [`CapacityProbe`].
    Probe,
    /// [`MemoryManager`].
    Memory,
    /// [`CpuManager`].
    Cpu,
    /// [`CacheOptimizer`].
    Cache,
    /// [`ResourcePredictor`].
    Predictor,
    /// [`LoadManager`].
    Load,
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pool => "pool",
            Self::Fleet => "fleet",
            Self::Probe => "probe",
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cache => "cache",
            Self::Predictor => "predictor",
            Self::Load => "load",
        })
    }
}

/// Whether a part does its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "health", rename_all = "snake_case")]
pub enum Health {
    /// It does.
    Healthy,
    /// It does, with something standing in.
    Degraded {
        /// What is wrong, and what stands in.
        why: String,
    },
    /// It does not; the safe static rule stands in.
    Failed {
        /// What is wrong.
        why: String,
    },
}

/// One part and how it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentStatus {
    /// Which.
    pub kind: ComponentKind,
    /// How it is.
    pub health: Health,
}

/// What [`ResourceOptimizer::integrate`] made of the parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Integration {
    /// When.
    pub at: Timestamp,
    /// The parts, and how each was found.
    pub components: Vec<ComponentStatus>,
    /// What works without, or with less than it could have.
    pub warnings: Vec<String>,
}

/// Why parts make no system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrateError {
    /// The pool promises more than the host has.
    #[error(
        "the pool's limit of {} {dimension} is above the host's capacity of {}",
        dimension.format(*limit),
        dimension.format(*capacity)
    )]
    LimitAboveCapacity {
        /// Where.
        dimension: Dimension,
        /// The pool's limit, in the dimension's unit.
        limit: u64,
        /// What the host has.
        capacity: u64,
    },
    /// The optimizer has taken over a system already.
    #[error("this optimizer has integrated a system already; make another one for another system")]
    Already,
    /// Something that the config asks for needs a part that is not there.
    #[error("there is no {part}, which {needed_by} needs")]
    Missing {
        /// Which part.
        part: ComponentKind,
        /// For what.
        needed_by: String,
    },
    /// A part that can't be done without does not answer.
    #[error("the {part} does not answer: {why}")]
    Silent {
        /// Which part.
        part: ComponentKind,
        /// What it did instead.
        why: String,
    },
    /// A name refers to nothing.
    #[error("{field} names {name}, which is not there")]
    Unknown {
        /// Where the name stands.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// Things stand in for each other in a circle.
    #[error("{field} goes round in a circle: {}", path.join(" → "))]
    Cycle {
        /// Where they are named.
        field: &'static str,
        /// The circle; the first name is the last as well.
        path: Vec<String>,
    },
    /// Numbers that can't be of the unit that they are read in.
    #[error("{part}: {problem}; check its unit")]
    Unit {
        /// Whose.
        part: ComponentKind,
        /// The numbers.
        problem: String,
    },
    /// Two caches have one name.
    #[error("cache {cache} is there twice; each must have its own name")]
    CacheTwice {
        /// The name.
        cache: String,
    },
    /// Two models have one name.
    #[error("model {model} is there twice; each must have its own name")]
    Twice {
        /// The name.
        model: String,
    },
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it holds.
    pub holds: bool,
    /// The numbers.
    pub detail: String,
}

/// What [`ResourceOptimizer::validate`] found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// When.
    pub at: Timestamp,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
    /// Changes whose effect has been judged so far.
    pub judged: u64,
    /// How many of them were kept.
    pub kept: u64,
    /// How many of them were taken back.
    pub rolled_back: u64,
}

impl ValidationReport {
    /// True when every check holds.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }
}

/// The key figures of a system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyMetrics {
    /// Largest over the dimensions of used ÷ promised.
    pub allocation_efficiency: Ratio,
    /// Largest over the dimensions of promised ÷ limit.
    pub promised_share: Ratio,
    /// Largest over the dimensions of used ÷ capacity.
    pub utilization: Ratio,
    /// Failed ÷ all requests.
    pub error_rate: Ratio,
    /// Median response time; none before the first response.
    pub latency_p50: Option<Duration>,
    /// All but one in a hundred responses took at most this; none before the first.
    pub latency_p99: Option<Duration>,
}

/// How a system is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntegrationStatus {
    /// When.
    pub at: Timestamp,
    /// How many times it has gone round.
    pub ticks: u64,
    /// How each part is.
    pub components: Vec<ComponentStatus>,
    /// What it last saw; none before the first time round.
    pub snapshot: Option<SystemSnapshot>,
    /// The key figures; none before the first time round.
    pub metrics: Option<KeyMetrics>,
    /// The latest decisions, the newest last, at most as many as the config says.
    pub decisions: Vec<Decision>,
    /// What is wrong now.
    pub alerts: Vec<Alert>,
}
