//! Threads and caches that others would run differently.

use plimsoll_core_types::{Action, EngineState};

use super::Planner;
use super::draft::Draft;

impl Planner {
    /// Puts the proposals of the CPU manager and of the caches into the plan, each subject at
    /// most once a cool-down.
    pub(super) fn plan_retunes(&mut self, draft: &mut Draft<'_>) {
        let snapshot = draft.snapshot;
        let now = snapshot.at;
        for assignment in snapshot.threads.iter().flat_map(|plan| &plan.assignments) {
            let engine = draft.sight.engine(assignment.consumer.as_str());
            let runs_otherwise = engine.is_some_and(|engine| {
                engine.state == EngineState::Ready
                    && engine.threads > 0
                    && engine.threads != assignment.threads
            });
            if runs_otherwise && self.may("set_threads", assignment.consumer.as_str(), now) {
                let (consumer, threads) = (assignment.consumer.clone(), assignment.threads);
                let action = Action::SetThreads { consumer, threads };
                draft.push(action, assignment.reason.clone());
            }
        }
        for strategy in &snapshot.strategies {
            if self.may("retune", strategy.cache.as_str(), now) {
                let reason = strategy.reason.clone();
                draft.push(Action::Retune { strategy: strategy.clone() }, reason);
            }
        }
    }
}
