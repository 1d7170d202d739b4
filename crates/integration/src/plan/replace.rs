//! Engines that do not answer.

use plimsoll_core_types::{Action, EngineState, Reason};

use super::Planner;
use super::draft::Draft;

impl Planner {
    /// Replaces engines that have missed too many probes.
    pub(super) fn plan_replacements(&mut self, draft: &mut Draft<'_>) {
        let snapshot = draft.snapshot;
        for engine in &snapshot.engines {
            let serves = matches!(engine.state, EngineState::Ready | EngineState::Unresponsive);
            let missed = engine.missed_probes >= self.config.missed_probes;
            let model = engine.model.as_str();
            let overdue = serves && missed;
            if !overdue || !self.may("replace", model, snapshot.at) {
                continue;
            }
            let reason =
                Reason::Unresponsive { silent: engine.silent, missed: engine.missed_probes };
            draft.push(Action::Replace { model: engine.model.clone() }, reason);
        }
    }
}
