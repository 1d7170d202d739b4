//! What was said, beside what came.

use plimsoll_core_types::Ratio;
use serde::{Deserialize, Serialize};

/// What was said of steps to come, until they come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pending {
    /// The step, and what was said of it.
    slots: Vec<Option<(u64, f64)>>,
}

impl Pending {
    pub(super) fn new(steps: usize) -> Self {
        Self { slots: vec![None; steps + 1] }
    }

    fn slot(&mut self, step: u64) -> Option<&mut Option<(u64, f64)>> {
        let count = self.slots.len().max(1) as u64;
        self.slots.get_mut((step % count) as usize)
    }

    pub(super) fn note(&mut self, step: u64, said: f64) {
        if let Some(slot) = self.slot(step) {
            *slot = Some((step, said));
        }
    }

    pub(super) fn take(&mut self, step: u64) -> Option<f64> {
        let (noted, said) = self.slot(step)?.take()?;
        (noted == step).then_some(said)
    }
}

/// What was provided, used and lost, and the same of the static rule, which provides for the
/// highest demand so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Backtest {
    /// How many amounts were compared with the truth.
    pub compared: u64,
    /// How many of them were too little.
    pub short: u64,
    /// All demand, in the series' unit times steps; so are all that follow.
    pub demand: f64,
    /// All that was provided.
    pub provided: f64,
    /// Demand beyond it.
    pub lost: f64,
    /// What the static rule would have provided.
    pub static_provided: f64,
    /// Demand beyond that.
    pub static_lost: f64,
    /// The highest demand so far.
    pub peak: f64,
}

/// What amounts have been worth, in shares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// How many amounts were compared with the truth.
    pub compared: u64,
    /// How much less lay idle than under the static rule; negative where it was more.
    pub waste_saved: f64,
    /// Demand beyond what was provided, of all.
    pub lost: f64,
    /// The same under the static rule.
    pub static_lost: f64,
    /// How many amounts sufficed, of all.
    pub sufficed: Ratio,
}

impl Backtest {
    /// Learns that `used` was used where `provided` was said (no number where nothing was). Answers
    /// what was lost, as a share of a usual step's demand.
    pub(super) fn learn(&mut self, used: f64, provided: f64, headroom: f64) -> Option<f64> {
        let rule = self.peak * (1.0 + headroom);
        self.peak = self.peak.max(used);
        if !provided.is_finite() || !used.is_finite() {
            return None;
        }
        let lost = (used - provided).max(0.0);
        self.compared += 1;
        self.short += u64::from(lost > 1e-9 * used.abs());
        self.demand += used;
        self.provided += provided;
        self.lost += lost;
        self.static_provided += rule;
        self.static_lost += (used - rule).max(0.0);
        let usual = self.demand / self.compared as f64;
        (usual > 0.0).then(|| lost / usual)
    }

    /// What lay idle.
    pub fn waste(&self) -> f64 {
        self.provided - (self.demand - self.lost)
    }

    /// What would have lain idle under the static rule.
    pub fn static_waste(&self) -> f64 {
        self.static_provided - (self.demand - self.static_lost)
    }

    /// The same in shares; none before the first comparison, or where there was no demand.
    pub fn gain(&self) -> Option<Gain> {
        if self.compared == 0 || self.demand <= 0.0 {
            return None;
        }
        let idle = self.static_waste();
        let waste_saved = if idle > 0.0 { 1.0 - self.waste() / idle } else { 0.0 };
        let sufficed = 1.0 - self.short as f64 / self.compared as f64;
        Some(Gain {
            compared: self.compared,
            waste_saved,
            lost: self.lost / self.demand,
            static_lost: self.static_lost / self.demand,
            sufficed: Ratio::saturating(sufficed),
        })
    }
}
