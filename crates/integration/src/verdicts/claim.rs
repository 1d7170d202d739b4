//! What must come true for an action to have been worth it.

use std::time::Duration;

use plimsoll_core_types::{
    Action, CacheStrategy, ConsumerId, Effect, EngineSnapshot, EngineState, Measure, ModelId,
    PlannedAction, Reason, ResourceVector,
};

use super::flow::{Flow, Flows};
use super::judge::line_of;
use crate::config::PlanConfig;
use crate::sight::Sight;

/// How long a shrunken lease, fewer threads or a new strategy must prove itself, at least.
pub(super) const TRIAL: Duration = Duration::from_secs(5);

/// What must come true, with what is needed to tell.
#[derive(Debug)]
pub(super) enum Claim {
    /// More than `before` requests have come for the model, which then need not wait for a load.
    Asked { before: u64, load: Duration },
    /// The engine uses no more than `amount`; it had `before`.
    Within { amount: ResourceVector, before: ResourceVector },
    /// The one it gave way to gains more than the model's own users lose.
    NotMissed { asked: u64, load: Duration, to: Option<Beneficiary> },
    /// The engine serves again.
    Back,
    /// What the pool may promise is `limit`.
    Line { limit: ResourceVector },
    /// Requests take no longer than they would have with `before` threads.
    NoSlower { consumer: ConsumerId, before: u32, own: Flow, base: Flow, others: (Flow, Flow) },
    /// The cache hits no less than it would have.
    HitsNoLess { strategy: CacheStrategy, previous: Option<Tally> },
    /// No more requests wait than did for all models together, or no more than are worked on.
    ShorterLine { before: usize },
    /// Whoever waited does so no more.
    Served { consumer: ConsumerId },
    /// No more requests wait than did.
    NoMoreWait { before: usize, replicas: Option<u32> },
}

/// For whom a model gave way.
#[derive(Debug)]
pub(super) struct Beneficiary {
    pub(super) consumer: ConsumerId,
    /// Requests for it so far, where it is a model that nobody waits for.
    pub(super) asked: Option<u64>,
    pub(super) load: Duration,
    /// When it no longer waited, if it did.
    pub(super) served: Option<Duration>,
}

/// What a cache had done by some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) hits: u64,
    pub(crate) lookups: u64,
    pub(crate) capacity: u64,
    pub(crate) policy: plimsoll_core_types::CachePolicy,
}

/// The claim of `planned`, what is expected of it, and by when it should have come true.
pub(super) fn claim(
    planned: &PlannedAction,
    sight: &Sight<'_>,
    config: &PlanConfig,
    flows: &Flows,
    tally: Option<Tally>,
) -> Option<(Claim, Effect, Duration)> {
    let engine = |model: &ModelId| sight.engine(model.as_str());
    // What is taken back must not be so within the cool-down.
    let trial = TRIAL.max(config.cool_down);
    match &planned.action {
        Action::Prewarm { model } => {
            let engine = engine(model)?;
            let load = engine.load_time;
            let (probability, within) = match &planned.reason {
                Reason::Forecast { probability, within } => (probability.get(), *within),
                _ => (1.0, load),
            };
            let without = probability * load.as_secs_f64();
            let claim = Claim::Asked { before: engine.arrivals, load };
            Some((claim, effect(Measure::WaitSeconds, without, 0.0), within + config.lookahead))
        }
        Action::Evict { model, beneficiary } => {
            let engine = engine(model)?;
            Some(eviction(engine, beneficiary.as_ref(), &planned.reason, sight, config))
        }
        Action::ResizeLease { model, to } => {
            let before = engine(model)?.promised;
            if !to.fits_in(&before) || *to == before {
                return None;
            }
            let (without, expected) = (before.memory().as_f64(), to.memory().as_f64());
            let claim = Claim::Within { amount: *to, before };
            Some((claim, effect(Measure::PromisedBytes, without, expected), trial))
        }
        Action::Replace { model } => {
            let load = engine(model)?.load_time;
            let limit = load * 4 + TRIAL;
            let effect = effect(Measure::OutageSeconds, limit.as_secs_f64(), load.as_secs_f64());
            Some((Claim::Back, effect, limit))
        }
        Action::SetLimit { limit } => {
            let (without, expected) = (sight.snapshot.pool.limit.memory(), limit.memory());
            let effect = effect(Measure::LimitBytes, without.as_f64(), expected.as_f64());
            Some((Claim::Line { limit: *limit }, effect, trial))
        }
        Action::SetThreads { consumer, .. } => {
            let engine = sight.engine(consumer.as_str())?;
            let base = flows.recent(&engine.model);
            let response = base.response()?;
            let claim = Claim::NoSlower {
                consumer: consumer.clone(),
                before: engine.threads,
                own: flows.total(&engine.model),
                base,
                others: flows.others(&engine.model),
            };
            Some((claim, effect(Measure::ResponseSeconds, response, response), trial))
        }
        Action::Retune { strategy } => {
            let (without, expected) = (strategy.current.get(), strategy.expected.get());
            let claim = Claim::HitsNoLess { strategy: strategy.clone(), previous: tally };
            Some((claim, effect(Measure::HitRatio, without, expected), trial))
        }
        _ => service(&planned.action, sight, trial),
    }
}

/// The same for what changes how requests are served, and with whose bytes.
fn service(
    action: &Action,
    sight: &Sight<'_>,
    trial: Duration,
) -> Option<(Claim, Effect, Duration)> {
    match action {
        Action::Scale { model, .. } | Action::Degrade { model, .. } => {
            let engine = sight.engine(model.as_str())?;
            let replicas = match action {
                Action::Scale { replicas, .. } => Some(*replicas),
                _ => None,
            };
            let claim = Claim::NoMoreWait { before: engine.waiting, replicas };
            let effect = effect(Measure::Queued, engine.waiting as f64, 0.0);
            Some((claim, effect, engine.load_time + trial))
        }
        Action::Shed { .. } => {
            let before = line_of(sight).0;
            let effect = effect(Measure::Queued, before as f64, 0.0);
            Some((Claim::ShorterLine { before }, effect, trial))
        }
        Action::ShiftBytes { to, .. } => {
            let effect = effect(Measure::WaitSeconds, trial.as_secs_f64(), 0.0);
            Some((Claim::Served { consumer: to.clone() }, effect, trial))
        }
        _ => None,
    }
}

fn eviction(
    engine: &EngineSnapshot,
    beneficiary: Option<&ConsumerId>,
    reason: &Reason,
    sight: &Sight<'_>,
    config: &PlanConfig,
) -> (Claim, Effect, Duration) {
    let load = engine.load_time;
    let to = beneficiary.map(|to| beneficiary_of(to, sight));
    let need = match reason {
        Reason::GaveWay { need, .. } => need.min_one().get(),
        _ => 0.0,
    };
    let without = to.as_ref().map_or(0.0, |to| to.load.as_secs_f64());
    let effect = effect(Measure::WaitSeconds, without, need * load.as_secs_f64());
    let claim = Claim::NotMissed { asked: engine.arrivals, load, to };
    (claim, effect, config.lookahead.max(load))
}

fn beneficiary_of(to: &ConsumerId, sight: &Sight<'_>) -> Beneficiary {
    let engine = sight.engine(to.as_str());
    // It may wait for its lease, or for another one of its group to go.
    let waits = sight.waits_since(to.as_str()).is_some()
        || engine.is_some_and(|engine| engine.state == EngineState::Waiting);
    Beneficiary {
        consumer: to.clone(),
        asked: engine.filter(|_| !waits).map(|engine| engine.arrivals),
        load: engine.map_or(Duration::ZERO, |engine| engine.load_time),
        served: None,
    }
}

const fn effect(measure: Measure, without: f64, expected: f64) -> Effect {
    Effect { measure, without, expected, seen: None }
}
