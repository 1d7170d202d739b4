//! How fully requests are served, by how many replicas, and with whose bytes.

use std::collections::BTreeMap;

use plimsoll_core_types::{
    Action, Bytes, CacheId, CacheMetrics, ConsumerId, Dimension, EngineSnapshot, EngineState,
    PressureLevel, Priority, Quantiles, Reason, Timestamp,
};

use super::Planner;
use super::draft::Draft;
use crate::per_model::PerModel;
use crate::resilience::{Ladder, LadderConfig, ScaleInput, Scaler};

/// A wait for a lease as long as this is as much as there may be.
const LONG_WAIT: f64 = 10.0;
/// A forecast counts with the quantile that load stays below nine times of ten.
const UPPER: f64 = 0.9;

/// What is remembered of each model's service. Holds one entry for each model of the last
/// snapshot, and one for each cache.
#[derive(Debug, Default)]
pub(super) struct Services {
    ladders: PerModel<Ladder>,
    scalers: PerModel<Scaling>,
    caches: BTreeMap<CacheId, (Bytes, f64)>,
    pub(super) shedding: Option<Ladder>,
}

#[derive(Debug)]
struct Scaling {
    scaler: Scaler,
    ordered: Option<(u32, Timestamp)>,
}

impl Services {
    pub(super) fn observe_cache(&mut self, metrics: &CacheMetrics) {
        if let Some(bytes) = metrics.bytes {
            let per_byte = metrics.hits as f64 / bytes.as_f64().max(1.0);
            self.caches.insert(metrics.cache.clone(), (bytes, per_byte));
        }
    }
}

impl Services {
    /// `action` was not done: what it was about is as it was.
    pub(super) fn not_done(&mut self, action: &Action) {
        match action {
            Action::Degrade { model, .. } => {
                self.ladders.get_mut(model).into_iter().for_each(Ladder::not_taken);
            }
            Action::Shed { .. } => self.shedding.iter_mut().for_each(Ladder::not_taken),
            Action::Scale { model, .. } => {
                self.scalers.get_mut(model).into_iter().for_each(|state| state.ordered = None);
            }
            _ => {}
        }
    }
}

impl Planner {
    pub(super) fn plan_services(&mut self, draft: &mut Draft<'_>) {
        self.plan_levels(draft);
        self.plan_replicas(draft);
        self.plan_shifts(draft);
    }

    /// Serves a model less fully while it is under strain.
    fn plan_levels(&mut self, draft: &mut Draft<'_>) {
        let Some(degrading) = &self.config.degrading else { return };
        let snapshot = draft.snapshot;
        let fresh = |engine: &EngineSnapshot| {
            let alias = degrading.aliases.get(&engine.model).cloned();
            let (enter_after, leave_after) = (degrading.enter_after, degrading.leave_after);
            let config =
                LadderConfig { enter_after, leave_after, ..LadderConfig::with_alias(alias) };
            Ladder::new(config).expect("made of a config that was checked")
        };
        let ladders = self.services.ladders.follow(&snapshot.engines, fresh);
        for (ladder, engine) in ladders.zip(&snapshot.engines) {
            if let Some(step) = ladder.observe(Some(strain(engine, draft)), snapshot.at) {
                let action = Action::Degrade { model: engine.model.clone(), to: step.to };
                draft.push(action, step.reason);
            }
        }
    }

    /// Counts replicas out, where a model may have several.
    fn plan_replicas(&mut self, draft: &mut Draft<'_>) {
        let Some(scaling) = self.config.scaling.clone() else { return };
        let snapshot = draft.snapshot;
        let fresh = |_: &EngineSnapshot| Scaling {
            scaler: Scaler::new(scaling.scale.clone()).expect("checked with the whole config"),
            ordered: None,
        };
        let scalers = self.services.scalers.follow(&snapshot.engines, fresh);
        for (state, engine) in scalers.zip(&snapshot.engines) {
            let serves = engine.state == EngineState::Ready;
            let gone = matches!(engine.state, EngineState::Stopped | EngineState::Draining);
            if gone || draft.leaves(&engine.model) {
                // What was ordered went with the rest, and who asks for the model loads it.
                state.ordered = None;
                continue;
            }
            let ready = if serves { (engine.slots / scaling.slots.max(1)) as u32 } else { 0 };
            let grace = engine.load_time * 4 + self.config.cool_down;
            let pending = state.ordered.map_or(0, |(ordered, at)| {
                let fresh = snapshot.at.saturating_since(at) < grace;
                if fresh { ordered.saturating_sub(ready) } else { 0 }
            });
            let response = self.verdicts.response(&engine.model);
            let ahead = || {
                let forecast = draft.sight.skilled(&engine.model)?;
                let mut horizons = forecast.horizons.iter();
                let at = horizons.find(|h| h.horizon >= engine.load_time);
                let rate = at.or(forecast.horizons.last())?;
                Some(upper(&rate.quantiles) * response?)
            };
            let input = ScaleInput {
                at: snapshot.at,
                ready,
                pending,
                slots: scaling.slots,
                in_system: engine.in_progress + engine.waiting,
                forecast: ahead(),
            };
            let model = engine.model.as_str();
            let Some(order) = state.scaler.observe(&input) else { continue };
            // Up is urgent, and bounded by what is pending; down cools down.
            let less = order.replicas < ready + pending;
            let pause = self.config.cool_down * (1 << self.verdicts.failures("scale", model));
            if less && !self.cool.allow("scale", model, snapshot.at, pause) {
                continue;
            }
            self.cool.note("scale", model, snapshot.at, pause);
            state.ordered = Some((order.replicas, snapshot.at));
            let action = Action::Scale { model: engine.model.clone(), replicas: order.replicas };
            draft.push(action, order.reason);
        }
    }

    /// Moves bytes from the cache that gains least by them to a waiter that nobody else gives way
    /// to.
    fn plan_shifts(&mut self, draft: &mut Draft<'_>) {
        let Some(least) = self.config.cache_least else { return };
        let snapshot = draft.snapshot;
        let waiting = |w: &&plimsoll_core_types::WaiterStatus| w.priority > Priority::BestEffort;
        for waiter in snapshot.pool.waiters.iter().filter(waiting) {
            let lacking = waiter.amount.saturating_sub(&draft.free).memory();
            // What was planned with has been taken off what is free already.
            if lacking.is_zero() || draft.helps(&waiter.consumer) {
                continue;
            }
            let holds = |cache: &CacheId| draft.sight.holds_lease(cache.as_str());
            let spare = |bytes: Bytes| bytes.saturating_sub(least);
            let mut candidates: Vec<_> = self.services.caches.iter().collect();
            candidates.retain(|(cache, (bytes, _))| spare(*bytes) >= lacking && holds(cache));
            candidates.sort_by(|a, b| a.1.1.total_cmp(&b.1.1));
            let Some((cache, _)) = candidates.first() else { continue };
            let from = ConsumerId::from(*cache);
            if self.cool.is_cooling("shift_bytes", from.as_str(), snapshot.at) {
                continue;
            }
            let pause = self.pause("shift_bytes", waiter.consumer.as_str());
            self.cool.note("shift_bytes", from.as_str(), snapshot.at, pause);
            let reason = Reason::Demand { wanted: lacking.get(), dimension: Dimension::Memory };
            let to = waiter.consumer.clone();
            draft.push(Action::ShiftBytes { from, to, bytes: lacking }, reason);
        }
    }
}

/// How hard things are for a model: 1 is as much as there may be.
fn strain(engine: &EngineSnapshot, draft: &Draft<'_>) -> f64 {
    let snapshot = draft.snapshot;
    let host: f64 = match snapshot.pressure {
        PressureLevel::Calm | PressureLevel::Elevated => 0.0,
        PressureLevel::High => 1.0,
        PressureLevel::Critical => 1.5,
    };
    // A line as long as the slots that it waits for.
    let in_system = (engine.in_progress + engine.waiting) as f64;
    let line = match engine.state {
        EngineState::Ready => in_system / (2 * engine.slots.max(1)) as f64,
        _ => 0.0,
    };
    let since = draft.sight.waits_since(engine.model.as_str());
    let waited = since.map_or(0.0, |since| snapshot.at.saturating_since(since).as_secs_f64());
    host.max(line).max(waited / LONG_WAIT)
}

fn upper(quantiles: &Quantiles) -> f64 {
    quantiles.at(UPPER)
}
