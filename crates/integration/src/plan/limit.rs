//! The line itself: what may be promised beside what others use.

use plimsoll_core_types::{Action, Bytes, Dimension, Reason, SystemSnapshot};

use super::Planner;
use super::draft::Draft;

/// Changes of the line that are smaller than this share of the budget are left for later.
const STEP: u64 = 50;

impl Planner {
    /// Lowers the line when others on the host use what was meant for engines, and raises it
    /// again when they are done.
    pub(super) fn plan_limit(&mut self, draft: &mut Draft<'_>) {
        let snapshot = draft.snapshot;
        let Some(memory) = self.memory_line(snapshot) else { return };
        let current = snapshot.pool.limit.memory();
        let budget = self.config.budget.memory();
        let step = Bytes::new(budget.get() / STEP);
        let far = current.get().abs_diff(memory.get()) > step.get();
        let back = memory == budget && current != budget;
        if !(far || back) || !self.may("set_limit", "pool", snapshot.at) {
            return;
        }
        let reason = Reason::Demand { wanted: memory.get(), dimension: Dimension::Memory };
        draft.push(Action::SetLimit { limit: snapshot.pool.limit.with_memory(memory) }, reason);
    }

    /// Budget, or what the host has beside others' use and the reserve where that is less. None
    /// where the host's memory is not known, or nothing of it was budgeted.
    fn memory_line(&self, snapshot: &SystemSnapshot) -> Option<Bytes> {
        let (capacity, budget) = (snapshot.capacity.memory(), self.config.budget.memory());
        if capacity.is_zero() || budget.is_zero() {
            return None;
        }
        let own: Bytes = snapshot.engines.iter().map(|engine| engine.used.memory()).sum();
        let others = snapshot.used.memory().saturating_sub(own);
        let room = capacity.saturating_sub(others).saturating_sub(self.config.reserve);
        Some(budget.min(room))
    }
}
