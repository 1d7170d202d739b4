//! The interface of whoever knows and manages memory.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::history::UsagePattern;
use crate::id::ConsumerId;
use crate::predict::HorizonForecast;
use crate::units::{Bytes, Ratio};
use crate::vector::DeviceIndex;

/// Tracks memory by consumer, gives some back when it gets tight, and says when it will.
pub trait MemoryManager: Send + Sync + fmt::Debug {
    /// Accounts what a consumer took, gave back, or was measured to hold.
    fn track(&self, allocation: MemoryAllocation);

    /// Starts to give memory back until use is at most `threshold` of capacity, and says what was
    /// freed at once. Does nothing where use is below it.
    fn optimize(&self, threshold: Ratio) -> Reclaimed;

    /// Where use is heading, and when it runs out.
    fn forecast(&self, pattern: &UsagePattern) -> MemoryForecast;
}

/// What memory is backed by, which says who can take it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryKind {
    /// By nothing but memory.
    Anonymous,
    /// By a file: the kernel can drop it and read it again.
    FileBacked,
    /// Shared with other processes, counted by each one's proportion.
    Shared,
    /// An accelerator's own.
    Accelerator(DeviceIndex),
}

/// What happened to a consumer's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllocationEvent {
    /// It took the amount.
    Taken,
    /// It gave the amount back.
    GivenBack,
    /// It was measured to hold the amount, whatever was tracked before.
    Measured,
}

/// One thing to account, for [`MemoryManager::track`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryAllocation {
    /// Whose.
    pub consumer: ConsumerId,
    /// Of which kind.
    pub kind: MemoryKind,
    /// What happened.
    pub event: AllocationEvent,
    /// How much.
    pub bytes: Bytes,
    /// When.
    pub at: Timestamp,
}

/// How tight memory is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum PressureLevel {
    /// There is room.
    #[default]
    Calm,
    /// New loads should be chosen with care.
    Elevated,
    /// Something should be given back.
    High,
    /// Without giving back at once, something will be killed.
    Critical,
}

impl fmt::Display for PressureLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Calm => "calm",
            Self::Elevated => "elevated",
            Self::High => "high",
            Self::Critical => "critical",
        })
    }
}

/// What [`MemoryManager::optimize`] gave back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reclaimed {
    /// What it would take to get below the threshold.
    pub asked: Bytes,
    /// What was freed at once.
    pub freed: Bytes,
    /// By whom, in the order in which they were asked.
    pub by: Vec<ReclaimedFrom>,
}

/// What one consumer gave back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReclaimedFrom {
    /// Who.
    pub consumer: ConsumerId,
    /// How much; zero where it is still at it.
    pub bytes: Bytes,
    /// How long it took.
    pub took: Duration,
}

/// Where memory use is heading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryForecast {
    /// When it was made.
    pub at: Timestamp,
    /// What is used now.
    pub used: Bytes,
    /// What there is.
    pub capacity: Bytes,
    /// How tight it is.
    pub pressure: PressureLevel,
    /// Quantiles of use at each horizon, in bytes, the nearest first; empty where too little is
    /// known.
    pub horizons: Vec<HorizonForecast>,
    /// When use reaches capacity at the present trend; none where it does not.
    pub exhausted_in: Option<Duration>,
}
