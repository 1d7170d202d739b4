//! How threads are planned.

use std::time::Duration;

use plimsoll_core_types::{Priority, Ratio};

/// How a [`ThreadPlanner`](super::ThreadPlanner) plans. Every value is a valid one.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanConfig {
    /// How long an observation of an engine's speed stands before it has faded to a third. Default
    /// 10 minutes: long enough to know every thread count that was tried, short enough to notice
    /// that the machine or the model has changed.
    pub memory: Duration,
    /// How long after its last sign of life an engine still takes part. Default 1 minute.
    pub forget_after: Duration,
    /// Units of work that make one observation of speed; fewer are added up first, because work
    /// is counted when it ends. Default 4; 0 is as 1.
    pub work_for_a_sample: u64,
    /// Being busy for so long makes an observation too, however little work it was. Default 2 s.
    pub busy_for_a_sample: Duration,
    /// By which part another thread must speed an engine up to be given to it. Default 3%.
    pub least_gain: Ratio,
    /// By which part the whole must be better before a plan replaces the last. Default 5%: moving
    /// threads costs an engine a moment.
    pub least_improvement: Ratio,
    /// How far beyond the largest thread count that was observed a plan may go, as a factor.
    /// Default 2: what lies further is a guess, and is tried in steps.
    pub explore: Ratio,
    /// How many observations with one number of threads make an engine be tried with half of it,
    /// where it was never seen with another: what it came with may be far too many. Default 3. One
    /// engine is tried at a time, until it was observed once. Observations fade, so that this
    /// happens again after a few times [`memory`](Self::memory).
    pub probe_after: u32,
    /// Time constant of the measured load. Default 10 s.
    pub load_over: Duration,
    /// The least share of time that an engine is taken to be busy, so that one that has nothing to
    /// do just now still has a claim. Default 5%.
    pub least_load: Ratio,
    /// How much the time of each priority counts, the lowest first. Default 1, 2, 4, 8, 16; zero
    /// is as little as can be.
    pub weights: [u32; Priority::COUNT],
    /// How many engines are known at once; the one longest silent makes room. Default 1024.
    pub most_engines: usize,
}

impl Default for PlanConfig {
    fn default() -> Self {
        Self {
            memory: Duration::from_mins(10),
            forget_after: Duration::from_mins(1),
            work_for_a_sample: 4,
            busy_for_a_sample: Duration::from_secs(2),
            least_gain: Ratio::saturating(0.03),
            least_improvement: Ratio::saturating(0.05),
            explore: Ratio::saturating(2.0),
            probe_after: 3,
            load_over: Duration::from_secs(10),
            least_load: Ratio::saturating(0.05),
            weights: [1, 2, 4, 8, 16],
            most_engines: 1024,
        }
    }
}

impl PlanConfig {
    pub(super) fn weight(&self, priority: Priority) -> f64 {
        f64::from(self.weights[priority.index()]).max(1e-3)
    }
}
