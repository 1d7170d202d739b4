//! The whole system at one moment, which plans are made from.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cache::CacheStrategy;
use crate::clock::Timestamp;
use crate::cpu::ThreadPlan;
use crate::engine::{ActionOutcome, EngineSnapshot, PlannedAction};
use crate::memory::PressureLevel;
use crate::pool::ResourceStatus;
use crate::predict::ResourceForecast;
use crate::report::Better;
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
    /// What it is expected to be worth, and later what it was; none where that can't be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
}

/// What a decision changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Measure {
    /// Seconds that requests wait for a model; less is better.
    WaitSeconds,
    /// Seconds from a request's arrival to its answer, on average; less is better.
    ResponseSeconds,
    /// Bytes that leases hold; less is better.
    PromisedBytes,
    /// Bytes that may be promised; neither way is better.
    LimitBytes,
    /// Hits ÷ look-ups of a cache; more is better.
    HitRatio,
    /// Seconds in which a model serves nobody; less is better.
    OutageSeconds,
    /// Requests that wait; less is better.
    Queued,
}

impl Measure {
    /// Which way it gets better; none where neither is.
    pub const fn better(self) -> Option<Better> {
        match self {
            Self::HitRatio => Some(Better::Higher),
            Self::LimitBytes => None,
            _ => Some(Better::Lower),
        }
    }

    /// Its name with its unit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WaitSeconds => "wait_seconds",
            Self::ResponseSeconds => "response_seconds",
            Self::PromisedBytes => "promised_bytes",
            Self::LimitBytes => "limit_bytes",
            Self::HitRatio => "hit_ratio",
            Self::OutageSeconds => "outage_seconds",
            Self::Queued => "queued",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a decision is expected to be worth, and what it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Of what.
    pub measure: Measure,
    /// What is expected without the decision.
    pub without: f64,
    /// What is expected with it.
    pub expected: f64,
    /// What was seen; none while it is too early to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
}

/// What a decision turned out to be worth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// When that was clear.
    pub at: Timestamp,
    /// What it was.
    pub with: f64,
    /// What it would have been without the decision, as far as that can be told.
    pub without: f64,
    /// True where the decision stands; false where it did harm, and is taken back or not repeated
    /// for longer.
    pub kept: bool,
}
