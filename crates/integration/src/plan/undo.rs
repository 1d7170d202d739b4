//! Changes that did harm, taken back.

use plimsoll_core_types::{Action, EngineState};

use super::Planner;
use super::draft::Draft;

impl Planner {
    /// Takes back what was judged to have done harm, and lets it cool down for longer than the
    /// last time.
    pub(super) fn plan_undo(&mut self, draft: &mut Draft<'_>) {
        let snapshot = draft.snapshot;
        for planned in self.verdicts.take_undo() {
            if let Action::ResizeLease { model, to } = &planned.action {
                let engine = draft.sight.engine(model.as_str());
                let short = engine.is_some_and(|engine| {
                    engine.state == EngineState::Ready && !to.fits_in(&engine.promised)
                });
                if !short {
                    continue;
                }
            }
            let (kind, subject) = (planned.action.kind(), planned.action.subject());
            let pause = self.pause(kind, subject);
            self.cool.note(kind, subject, snapshot.at, pause);
            draft.push(planned.action, planned.reason);
        }
    }
}
