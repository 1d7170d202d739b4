//! Leases that follow what is measured.

use plimsoll_core_types::{Action, EngineSnapshot, EngineState, Reason, ResourceVector};

use super::Planner;
use super::draft::Draft;

impl Planner {
    /// Shrinks leases to what is believed once enough was measured, and grows those that are
    /// outgrown at once.
    pub(super) fn plan_footprints(&mut self, draft: &mut Draft<'_>) {
        let snapshot = draft.snapshot;
        for engine in snapshot.engines.iter().filter(|e| e.state == EngineState::Ready) {
            let Some(to) = self.lease_wanted(engine) else { continue };
            let now = snapshot.at;
            let model = engine.model.as_str();
            // A lease that is outgrown is short now; whatever was done before.
            let grows = !to.fits_in(&engine.promised);
            if draft.resizes(&engine.model) || (!grows && !self.may("resize_lease", model, now)) {
                continue;
            }
            if grows {
                let pause = self.pause("resize_lease", model);
                self.cool.note("resize_lease", model, now, pause);
            }
            let reason = Reason::Measured {
                believed: engine.promised.memory(),
                measured: engine.peak.memory(),
                samples: engine.samples,
            };
            draft.push(Action::ResizeLease { model: engine.model.clone(), to }, reason);
        }
    }

    fn lease_wanted(&self, engine: &EngineSnapshot) -> Option<ResourceVector> {
        let (promised, peak) = (engine.promised.memory(), engine.peak.memory());
        let believed = engine.believed.memory().max(peak);
        let outgrown = peak > promised;
        let slack = promised.scaled(self.config.footprint_slack);
        let oversized = engine.samples >= self.config.footprint_samples
            && believed.saturating_add(slack) < promised;
        (outgrown || oversized).then(|| engine.promised.with_memory(believed))
    }
}
