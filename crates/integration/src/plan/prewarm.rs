//! Models loaded ahead of their requests.

use std::cmp::Ordering;
use std::time::Duration;

use plimsoll_core_types::{
    Action, ConsumerId, EngineSnapshot, EngineState, Priority, Ratio, Reason, ResourceVector,
    Timestamp,
};

use super::Planner;
use super::draft::Draft;
use crate::needs::expected;

/// Victims must be expected to cost less than this share of what the prewarm is expected to save.
const WORTH: f64 = 0.7;

impl Planner {
    /// Loads at most one model ahead: the one that saves most, where a forecast with skill says
    /// that it will be needed, and where the models that give way are needed less.
    pub(super) fn plan_prewarm(&mut self, draft: &mut Draft<'_>) {
        if is_loading(draft) {
            return;
        }
        let mut wanted: Vec<_> = draft
            .snapshot
            .engines
            .iter()
            .filter(|e| e.state == EngineState::Stopped && e.waiting == 0)
            .filter(|e| e.believed.fits_in(&draft.snapshot.pool.limit))
            .filter_map(|e| self.probability(e, draft).map(|(p, within)| (e, p, within)))
            .collect();
        wanted.sort_by_cached_key(|(e, p, _)| Descending(self.saving(draft, e, *p)));
        for (engine, probability, within) in wanted {
            if self.prewarm(draft, engine, probability, within) {
                return;
            }
        }
    }

    /// How probably `engine` is needed by the time that it would be ready, and when that is; none
    /// below the threshold, which rises with each prewarm of it that was for nothing.
    fn probability(&self, engine: &EngineSnapshot, draft: &Draft<'_>) -> Option<(Ratio, Duration)> {
        let forecast = draft.sight.skilled(&engine.model)?;
        let margin = forecast.horizons.first()?.horizon * 2;
        let within = engine.load_time + margin;
        let probability = expected(forecast, within);
        let threshold = self.verdicts.threshold(&engine.model, self.config.prewarm_probability);
        (probability >= threshold).then_some((probability, within))
    }

    fn prewarm<'a>(
        &mut self,
        draft: &mut Draft<'a>,
        engine: &'a EngineSnapshot,
        probability: Ratio,
        within: Duration,
    ) -> bool {
        let now = draft.snapshot.at;
        let asked = self.asked(draft, engine);
        if !asked.fits_in(&draft.free) || self.is_kept_out(&engine.model, draft) {
            let lacking = asked.saturating_sub(&draft.free);
            let victims = self.victims(draft, &engine.model, &lacking, false);
            let Some(victims) = victims else { return false };
            if victims.expected_cost() > WORTH * self.saving(draft, engine, probability) {
                return false;
            }
            if !self.may_prewarm(engine, now) {
                return false;
            }
            self.evict(draft, &victims, &ConsumerId::from(&engine.model));
        } else if !self.may_prewarm(engine, now) {
            return false;
        }
        draft.take(&asked);
        let reason = Reason::Forecast { probability, within };
        draft.push(Action::Prewarm { model: engine.model.clone() }, reason);
        true
    }

    /// What it is believed to need, with whatever is loaded together with it.
    fn asked(&self, draft: &Draft<'_>, engine: &EngineSnapshot) -> ResourceVector {
        let party = self.config.groups.loaded_with(&engine.model);
        let others = party.iter().filter(|model| **model != engine.model);
        let others = others.filter_map(|model| draft.sight.engine(model.as_str()));
        let stopped = others.filter(|other| other.state == EngineState::Stopped);
        stopped.fold(engine.believed, |sum, other| sum.saturating_add(&other.believed))
    }

    /// What has just been evicted is not loaded ahead: one of both was wrong, and time will tell.
    fn may_prewarm(&mut self, engine: &EngineSnapshot, now: Timestamp) -> bool {
        let model = engine.model.as_str();
        let pause = self.config.cool_down;
        !self.cool.is_cooling("evict", model, now) && self.cool.allow("prewarm", model, now, pause)
    }

    /// Seconds of waiting that loading it ahead is expected to save.
    fn saving(&self, draft: &Draft<'_>, engine: &EngineSnapshot, probability: Ratio) -> f64 {
        let return_cost = self.needs.return_cost(engine, draft.sight);
        probability.min_one().get() * return_cost.as_secs_f64()
    }
}

/// Largest first.
#[derive(PartialEq)]
struct Descending(f64);

impl Eq for Descending {}

impl Ord for Descending {
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl PartialOrd for Descending {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// True while anything loads or waits to: a prewarm must not compete with what is asked for.
fn is_loading(draft: &Draft<'_>) -> bool {
    let loads = |state| matches!(state, EngineState::Starting | EngineState::Waiting);
    let waits = draft.snapshot.pool.waiters.iter().any(|w| w.priority >= Priority::BestEffort);
    waits || draft.snapshot.engines.iter().any(|engine| loads(engine.state))
}
