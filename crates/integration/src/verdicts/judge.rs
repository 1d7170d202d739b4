//! Whether what an action claimed has come true.

use std::time::Duration;

use plimsoll_core_types::{
    Action, CacheStrategy, ConsumerId, EngineSnapshot, EngineState, Reason, ResourceVector,
};

use super::claim::{Beneficiary, Claim, TRIAL, Tally};
use super::flow::{Flow, Flows};
use crate::sight::Sight;

/// A trial that needs requests to be judged ends without a verdict after this long.
const PATIENCE: Duration = Duration::from_mins(1);

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
pub(super) struct Evidence<'a, 's> {
    pub(super) sight: &'a Sight<'s>,
    pub(super) flows: &'a Flows,
    pub(super) tally: Option<Tally>,
    pub(super) elapsed: Duration,
    pub(super) over: bool,
}

const fn settled(with: f64, without: f64, kept: bool) -> Verdict {
    Verdict::Settled { with, without, kept, undo: None }
}

impl Claim {
    pub(super) fn judge(&mut self, subject: &str, seen: &Evidence<'_, '_>) -> Verdict {
        let engine = seen.sight.engine(subject);
        match self {
            Self::Line { limit } => line(limit, seen),
            Self::HitsNoLess { strategy, previous } => hits(strategy, *previous, seen),
            Self::ShorterLine { before } => shorter_line(*before, seen),
            Self::Served { consumer } => served(consumer, seen),
            // A model that is gone leaves nothing to judge.
            _ => engine.map_or(Verdict::Void, |engine| self.judge_engine(engine, seen)),
        }
    }

    fn judge_engine(&mut self, engine: &EngineSnapshot, seen: &Evidence<'_, '_>) -> Verdict {
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

fn line(limit: &ResourceVector, seen: &Evidence<'_, '_>) -> Verdict {
    let with = seen.sight.snapshot.pool.limit;
    match with == *limit {
        true => settled(with.memory().as_f64(), limit.memory().as_f64(), true),
        false if seen.over => settled(with.memory().as_f64(), limit.memory().as_f64(), false),
        false => Verdict::Open,
    }
}

fn asked(before: u64, load: Duration, engine: &EngineSnapshot, seen: &Evidence<'_, '_>) -> Verdict {
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
    seen: &Evidence<'_, '_>,
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
    seen: &Evidence<'_, '_>,
) -> Verdict {
    if let Some(to) = to
        && to.served.is_none()
        && seen.sight.waits_since(to.consumer.as_str()).is_none()
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

fn gain(to: &Beneficiary, seen: &Evidence<'_, '_>) -> f64 {
    let engine = seen.sight.engine(to.consumer.as_str());
    match (to.asked, engine) {
        // A model that is loaded ahead gains only where it is asked for.
        (Some(before), Some(engine)) if engine.arrivals > before => to.load.as_secs_f64(),
        (Some(_), _) => 0.0,
        (None, _) => {
            to.served.map_or(0.0, |served| seen.elapsed.saturating_sub(served).as_secs_f64())
        }
    }
}

/// How many requests wait, and how many are worked on.
pub(super) fn line_of(sight: &Sight<'_>) -> (usize, usize) {
    let engines = sight.snapshot.engines.iter();
    engines.fold((0, 0), |(waits, works), e| (waits + e.waiting, works + e.in_progress))
}

fn shorter_line(before: usize, seen: &Evidence<'_, '_>) -> Verdict {
    if !seen.over {
        return Verdict::Open;
    }
    let (waits, works) = line_of(seen.sight);
    settled(waits as f64, before as f64, waits <= before.max(works))
}

fn served(consumer: &ConsumerId, seen: &Evidence<'_, '_>) -> Verdict {
    let waited = seen.elapsed.as_secs_f64();
    match seen.sight.waits_since(consumer.as_str()) {
        None => settled(waited, waited.max(TRIAL.as_secs_f64()), true),
        Some(_) if seen.over => settled(waited, waited, false),
        Some(_) => Verdict::Open,
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
    seen: &Evidence<'_, '_>,
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
fn hits(strategy: &CacheStrategy, previous: Option<Tally>, seen: &Evidence<'_, '_>) -> Verdict {
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
