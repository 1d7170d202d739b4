//! Requests refused by priority while all models together have more to do than they can.

use plimsoll_core_types::{Action, EngineState, PressureLevel, ServiceLevel};

use super::Planner;
use super::draft::Draft;
use crate::resilience::Ladder;

impl Planner {
    /// Refuses the lowest priorities while there is too much to do, and lets them in again step by
    /// step when that is over. One model under strain is served less fully instead.
    pub(super) fn plan_shedding(&mut self, draft: &mut Draft<'_>) {
        let Some(shedding) = &self.config.shedding else { return };
        let ladder = self.services.shedding.get_or_insert_with(|| {
            Ladder::new(shedding.ladder()).expect("checked with the whole config")
        });
        let Some(step) = ladder.observe(strain(draft), draft.snapshot.at) else { return };
        let below = match step.to {
            ServiceLevel::Shed { below } => Some(below),
            _ => None,
        };
        draft.push(Action::Shed { below }, step.reason);
    }
}

/// How many requests there are to twice the slots of all engines that serve or soon will. None
/// where there are no such engines, so that nobody knows how fast the line will move.
fn strain(draft: &Draft<'_>) -> Option<f64> {
    let (mut asked, mut slots) = (0, 0);
    for engine in &draft.snapshot.engines {
        asked += engine.in_progress + engine.waiting;
        if matches!(engine.state, EngineState::Ready | EngineState::Starting) {
            slots += engine.slots;
        }
    }
    let host = if draft.snapshot.pressure == PressureLevel::Critical { 1.0 } else { 0.0 };
    (slots > 0).then(|| (asked as f64 / (2 * slots) as f64).max(host))
}
