//! The whole system at one moment, which plans are made from.

use serde::{Deserialize, Serialize};

use crate::cache::CacheStrategy;
use crate::clock::Timestamp;
use crate::cpu::ThreadPlan;
use crate::engine::{ActionOutcome, EngineSnapshot, PlannedAction};
use crate::memory::PressureLevel;
use crate::pool::ResourceStatus;
use crate::predict::ResourceForecast;
use crate::vector::ResourceVector;

/// The whole system at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemSnapshot {
    /// When.
    pub at: Timestamp,
    /// What the host has for everybody.
    pub capacity: ResourceVector,
    /// What everybody on the host uses.
    pub used: ResourceVector,
    /// What is promised to whom, and who waits.
    pub pool: ResourceStatus,
    /// Every model, running or not.
    pub engines: Vec<EngineSnapshot>,
    /// Where each model's request rate is heading.
    pub forecasts: Vec<ResourceForecast>,
    /// How tight memory is.
    pub pressure: PressureLevel,
    /// How the CPU manager would divide threads; none where there is no such manager.
    pub threads: Option<ThreadPlan>,
    /// What each cache's optimizer would run it by, where that differs from how it is run.
    pub strategies: Vec<CacheStrategy>,
}

/// One decision of the optimizer, with its reason and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// What, and why.
    pub planned: PlannedAction,
    /// What came of it, or the error's text.
    pub outcome: Result<ActionOutcome, String>,
}
