//! What must come true for an action to have been worth it.

use std::time::Duration;

use plimsoll_core_types::{
    Action, CacheStrategy, ConsumerId, Effect, EngineSnapshot, EngineState, Measure, ModelId,
    PlannedAction, Reason, ResourceVector, SystemSnapshot,
};

use super::flow::{Flow, Flows};
use crate::config::PlanConfig;

/// How long a shrunken lease, fewer threads or a new strategy must prove itself, at least.
const TRIAL: Duration = Duration::from_secs(5);
/// A trial that needs requests to be judged ends without a verdict after this long.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

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
    snapshot: &SystemSnapshot,
    config: &PlanConfig,
    flows: &Flows,
    tally: Option<Tally>,
) -> Option<(Claim, Effect, Duration)> {
    let engine = |model: &ModelId| snapshot.engines.iter().find(|e| e.model == *model);
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
            Some(eviction(engine, beneficiary.as_ref(), &planned.reason, snapshot, config))
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
            let (without, expected) = (snapshot.pool.limit.memory(), limit.memory());
            let effect = effect(Measure::LimitBytes, without.as_f64(), expected.as_f64());
            Some((Claim::Line { limit: *limit }, effect, trial))
        }
        Action::SetThreads { consumer, .. } => {
            let engine = snapshot.engines.iter().find(|e| e.model.as_str() == consumer.as_str())?;
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
        Action::Scale { model, .. } | Action::Degrade { model, .. } => {
            let engine = engine(model)?;
            let replicas = match planned.action {
                Action::Scale { replicas, .. } => Some(replicas),
                _ => None,
            };
            let claim = Claim::NoMoreWait { before: engine.waiting, replicas };
            let effect = effect(Measure::Queued, engine.waiting as f64, 0.0);
            Some((claim, effect, engine.load_time + trial))
        }
        _ => None,
    }
}

fn eviction(
    engine: &EngineSnapshot,
    beneficiary: Option<&ConsumerId>,
    reason: &Reason,
    snapshot: &SystemSnapshot,
    config: &PlanConfig,
) -> (Claim, Effect, Duration) {
    let load = engine.load_time;
    let to = beneficiary.map(|to| beneficiary_of(to, snapshot));
    let need = match reason {
        Reason::GaveWay { need, .. } => need.min_one().get(),
        _ => 0.0,
    };
    let without = to.as_ref().map_or(0.0, |to| to.load.as_secs_f64());
    let effect = effect(Measure::WaitSeconds, without, need * load.as_secs_f64());
    let claim = Claim::NotMissed { asked: engine.arrivals, load, to };
    (claim, effect, config.lookahead.max(load))
}

fn beneficiary_of(to: &ConsumerId, snapshot: &SystemSnapshot) -> Beneficiary {
    let engine = snapshot.engines.iter().find(|e| e.model.as_str() == to.as_str());
    let waits = snapshot.pool.waiters.iter().any(|waiter| waiter.consumer == *to);
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

/// How a claim stands.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Open,
    /// Nothing can be said any more.
    Void,
    Settled {
        with: f64,
        without: f64,
        kept: bool,
        /// What to do where it was not kept, beside not doing it again soon.
        undo: Option<Box<Action>>,
    },
}

/// Everything that a verdict may depend on.
pub(super) struct Evidence<'a> {
    pub(super) snapshot: &'a SystemSnapshot,
    pub(super) flows: &'a Flows,
    pub(super) tally: Option<Tally>,
    pub(super) elapsed: Duration,
    pub(super) over: bool,
}

const fn settled(with: f64, without: f64, kept: bool) -> Verdict {
    Verdict::Settled { with, without, kept, undo: None }
}

impl Claim {
    pub(super) fn judge(&mut self, subject: &str, seen: &Evidence<'_>) -> Verdict {
        let engine = seen.snapshot.engines.iter().find(|e| e.model.as_str() == subject);
        match self {
            Self::Line { limit } => line(limit, seen),
            Self::HitsNoLess { strategy, previous } => hits(strategy, *previous, seen),
            // A model that is gone leaves nothing to judge.
            _ => engine.map_or(Verdict::Void, |engine| self.judge_engine(engine, seen)),
        }
    }

    fn judge_engine(&mut self, engine: &EngineSnapshot, seen: &Evidence<'_>) -> Verdict {
        match self {
            Self::Asked { before, load } => asked(*before, *load, engine, seen),
            Self::Within { amount, before } => within(amount, before, engine, seen),
            Self::NotMissed { asked, load, to } => not_missed(*asked, *load, to, engine, seen),
            Self::Back if engine.state == EngineState::Ready && engine.missed_probes == 0 => {
                let limit = engine.load_time * 4 + TRIAL;
                settled(seen.elapsed.as_secs_f64(), limit.as_secs_f64(), true)
            }
            Self::Back if seen.over => {
                let outage = seen.elapsed.as_secs_f64();
                settled(outage, outage, false)
            }
            Self::NoSlower { consumer, before, own, base, others } => {
                let verdict = no_slower(engine, own, base, others, seen);
                undo(verdict, || Action::SetThreads {
                    consumer: consumer.clone(),
                    threads: *before,
                })
            }
            Self::NoMoreWait { before, replicas } if seen.over => {
                let waits = engine.waiting;
                let kept = waits <= *before;
                let model = engine.model.clone();
                let verdict = settled(waits as f64, *before as f64, kept);
                match *replicas {
                    // More of them can't have made it worse; one less can, and comes back.
                    Some(replicas) if *before == 0 => {
                        undo(verdict, || Action::Scale { model, replicas: replicas + 1 })
                    }
                    _ => verdict,
                }
            }
            _ => Verdict::Open,
        }
    }
}

fn undo(verdict: Verdict, action: impl FnOnce() -> Action) -> Verdict {
    match verdict {
        Verdict::Settled { with, without, kept: false, .. } => {
            Verdict::Settled { with, without, kept: false, undo: Some(Box::new(action())) }
        }
        other => other,
    }
}

fn line(limit: &ResourceVector, seen: &Evidence<'_>) -> Verdict {
    let with = seen.snapshot.pool.limit;
    match with == *limit {
        true => settled(with.memory().as_f64(), limit.memory().as_f64(), true),
        false if seen.over => settled(with.memory().as_f64(), limit.memory().as_f64(), false),
        false => Verdict::Open,
    }
}

fn asked(before: u64, load: Duration, engine: &EngineSnapshot, seen: &Evidence<'_>) -> Verdict {
    if engine.arrivals > before {
        let ready = engine.state == EngineState::Ready;
        let left = if ready { Duration::ZERO } else { load.saturating_sub(seen.elapsed) };
        return settled(left.as_secs_f64(), load.as_secs_f64(), true);
    }
    if seen.over { settled(0.0, 0.0, false) } else { Verdict::Open }
}

fn within(
    amount: &ResourceVector,
    before: &ResourceVector,
    engine: &EngineSnapshot,
    seen: &Evidence<'_>,
) -> Verdict {
    let (used, without) = (engine.used.memory(), before.memory().as_f64());
    if engine.state == EngineState::Ready && used > amount.memory() {
        let to = before.max(&before.with_memory(used));
        let taken_back = Action::ResizeLease { model: engine.model.clone(), to };
        let undo = Some(Box::new(taken_back));
        return Verdict::Settled { with: used.as_f64(), without, kept: false, undo };
    }
    if seen.over { settled(amount.memory().as_f64(), without, true) } else { Verdict::Open }
}

/// With the eviction the model's users wait for its load if they come back in time; without it the
/// other's would have: for the whole window where it was waiting, for its load where it was not.
fn not_missed(
    before: u64,
    load: Duration,
    to: &mut Option<Beneficiary>,
    engine: &EngineSnapshot,
    seen: &Evidence<'_>,
) -> Verdict {
    if let Some(to) = to
        && to.served.is_none()
        && !seen.snapshot.pool.waiters.iter().any(|w| w.consumer == to.consumer)
    {
        to.served = Some(seen.elapsed);
    }
    if !seen.over {
        return Verdict::Open;
    }
    let cost = if engine.arrivals > before { load.as_secs_f64() } else { 0.0 };
    let gain = to.as_ref().map_or(0.0, |to| gain(to, seen));
    settled(cost, gain, cost <= gain)
}

fn gain(to: &Beneficiary, seen: &Evidence<'_>) -> f64 {
    let mut engines = seen.snapshot.engines.iter();
    let engine = engines.find(|e| e.model.as_str() == to.consumer.as_str());
    match (to.asked, engine) {
        // A model that is loaded ahead gains only where it is asked for.
        (Some(before), Some(engine)) if engine.arrivals > before => to.load.as_secs_f64(),
        (Some(_), _) => 0.0,
        (None, _) => {
            to.served.map_or(0.0, |served| seen.elapsed.saturating_sub(served).as_secs_f64())
        }
    }
}

/// Slower than this many times what it would have been is harm.
const SLOWER: f64 = 1.2;

/// By difference in differences: what it was before, changed as much as all the others changed.
///
/// Source: Card and Krueger, *Minimum Wages and Employment* (American Economic Review 1994).
fn no_slower(
    engine: &EngineSnapshot,
    own: &Flow,
    base: &Flow,
    others: &(Flow, Flow),
    seen: &Evidence<'_>,
) -> Verdict {
    if !seen.over {
        return Verdict::Open;
    }
    let after = seen.flows.total(&engine.model).since(*own).response();
    let (Some(with), Some(before)) = (after, base.response()) else {
        return if seen.elapsed >= PATIENCE { Verdict::Void } else { Verdict::Open };
    };
    let now = seen.flows.others(&engine.model).0.since(others.0).response();
    let drift = match (now, others.1.response()) {
        (Some(now), Some(then)) if then > 0.0 => (now / then).clamp(0.25, 4.0),
        _ => 1.0,
    };
    let without = before * drift;
    settled(with, without, with <= without * SLOWER)
}

/// A ratio lower than it would have been by more than this is harm.
const FEWER: f64 = 0.02;
/// Fewer look-ups than this say nothing.
const LOOKUPS: u64 = 200;

/// What it would have been is what the strategy's own simulation said of the present policy over
/// the same accesses.
fn hits(strategy: &CacheStrategy, previous: Option<Tally>, seen: &Evidence<'_>) -> Verdict {
    let (Some(before), Some(now)) = (previous, seen.tally) else {
        return if seen.elapsed >= PATIENCE { Verdict::Void } else { Verdict::Open };
    };
    let lookups = now.lookups.saturating_sub(before.lookups);
    if !seen.over || lookups < LOOKUPS {
        return if seen.elapsed >= PATIENCE { Verdict::Void } else { Verdict::Open };
    }
    let with = now.hits.saturating_sub(before.hits) as f64 / lookups as f64;
    let without = strategy.current.get();
    let verdict = settled(with, without, with + FEWER >= without);
    undo(verdict, || {
        let reason = Reason::Worse { what: "hit ratio".to_owned(), without, with };
        let (policy, capacity) = (before.policy, before.capacity);
        let (expected, current) = (strategy.current, plimsoll_core_types::Ratio::saturating(with));
        let strategy =
            CacheStrategy { policy, capacity, expected, current, reason, ..strategy.clone() };
        Action::Retune { strategy }
    })
}
