//! Who is there, how fast each is, and the plan that follows from it.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, Dimension, Millicores, Priority, Reason, ThreadAssignment, ThreadPlan, Timestamp,
};

use super::config::PlanConfig;
use super::curve::SpeedCurve;
use super::divide::{Claim, divide};
use super::fit::{CurveFitter, Fit};

/// What an engine did over some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Throughput {
    /// Which engine.
    pub consumer: ConsumerId,
    /// How much its time counts.
    pub priority: Priority,
    /// Until when.
    pub at: Timestamp,
    /// With how many threads.
    pub threads: u32,
    /// How many units of work it finished; zero where nobody counts them.
    pub work: u64,
    /// For how long it had something to do, on the clock: not CPU time.
    pub busy: Duration,
}

/// How many threads an engine may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineLimits {
    /// The most; default no limit.
    pub most: u32,
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self { most: u32::MAX }
    }
}

/// Learns how fast each engine is, and divides cores among them.
///
/// Pure: it is told the time, and gives the same plan for the same observations.
#[derive(Debug)]
pub struct ThreadPlanner {
    config: PlanConfig,
    engines: BTreeMap<ConsumerId, Engine>,
}

#[derive(Debug)]
struct Engine {
    priority: Priority,
    limits: EngineLimits,
    fitter: CurveFitter,
    threads: u32,
    seen: Timestamp,
    /// Not yet enough for an observation.
    work: u64,
    busy: Duration,
    /// Share of time that it is busy, faded.
    busy_share: f64,
    planned: Option<u32>,
    is_probed: bool,
}

impl ThreadPlanner {
    /// A planner that knows nobody.
    pub const fn new(config: PlanConfig) -> Self {
        Self { config, engines: BTreeMap::new() }
    }

    /// Sets how many threads `consumer` may have, and lets it take part from `now` on.
    pub fn limit(&mut self, consumer: &ConsumerId, limits: EngineLimits, now: Timestamp) {
        self.engine(consumer, now).limits = limits;
    }

    /// Learns what an engine did since it was last told of.
    pub fn observe(&mut self, seen: &Throughput) {
        let (least_work, enough) =
            (self.config.work_for_a_sample.max(1), self.config.busy_for_a_sample);
        let load_over = self.config.load_over.as_secs_f64();
        let engine = self.engine(&seen.consumer, seen.at);
        let elapsed = seen.at.saturating_since(engine.seen);
        let busy = seen.busy.min(elapsed);
        if !elapsed.is_zero() {
            let share = busy.as_secs_f64() / elapsed.as_secs_f64();
            let keep = (-elapsed.as_secs_f64() / load_over.max(1e-9)).exp();
            engine.busy_share = keep * engine.busy_share + (1.0 - keep) * share;
        }
        (engine.seen, engine.priority) = (engine.seen.max(seen.at), seen.priority);
        let threads = seen.threads.max(1);
        if threads != engine.threads {
            // Part of this was done with the old number and part with the new: it tells of none.
            (engine.threads, engine.work, engine.busy) = (threads, 0, Duration::ZERO);
            return;
        }
        engine.work += seen.work;
        engine.busy += busy;
        let is_enough = engine.work >= least_work || engine.busy >= enough;
        if is_enough && engine.work > 0 && !engine.busy.is_zero() {
            let speed = engine.work as f64 / engine.busy.as_secs_f64();
            engine.fitter.observe(threads, speed, seen.at);
            (engine.work, engine.busy) = (0, Duration::ZERO);
        }
    }

    /// How many threads the last plan gave in all.
    pub fn planned(&self) -> u32 {
        let planned = self.engines.values().filter_map(|engine| engine.planned);
        planned.fold(0, u32::saturating_add)
    }

    /// Forgets `consumer`: it is gone for good.
    pub fn forget(&mut self, consumer: &ConsumerId) {
        self.engines.remove(consumer);
    }

    /// What is known of how fast `consumer` is.
    pub fn fit(&self, consumer: &ConsumerId, now: Timestamp) -> Option<Fit> {
        self.engines.get(consumer)?.fitter.fit(now)
    }

    /// Divides `cores` among the engines that have been heard of lately.
    ///
    /// Threads in all are never more than whole cores, save that each engine has at least one.
    /// The last plan stands until another is better by
    /// [`least_improvement`](PlanConfig::least_improvement), or it does not fit any more.
    pub fn plan(&mut self, cores: Millicores, now: Timestamp) -> ThreadPlan {
        let config = &self.config;
        let whole = u32::try_from(cores.get() / 1000).unwrap_or(u32::MAX);
        let is_present = |engine: &Engine| now.saturating_since(engine.seen) <= config.forget_after;
        let present: Vec<_> =
            self.engines.iter_mut().filter(|(_, engine)| is_present(engine)).collect();
        let fits: Vec<_> = present.iter().map(|(_, engine)| engine.fitter.fit(now)).collect();
        let claims: Vec<_> = present
            .iter()
            .zip(&fits)
            .map(|((_, engine), fit)| engine.claim(config, fit.as_ref()))
            .collect();
        let best = divide(whole, &claims, config.least_gain.get());
        let last: Vec<_> = present
            .iter()
            .zip(&claims)
            .map(|((_, engine), claim)| engine.planned.filter(|threads| *threads <= claim.most))
            .collect();
        let mut threads = settle(whole, &claims, best, &last, config.least_improvement.get());
        let probed = probe(&present, &fits, &threads, config);
        if let Some((index, half)) = probed {
            threads[index] = half;
        }
        let shares = shares(cores, &claims, &threads);
        let mut assignments = Vec::with_capacity(present.len());
        for (index, (consumer, engine)) in present.into_iter().enumerate() {
            engine.is_probed = probed.is_some_and(|(probed, _)| probed == index);
            // A trial is no plan: what stood before it stands after it, until it has told.
            if !engine.is_probed {
                engine.planned = Some(threads[index]);
            }
            let reason = engine.reason(fits[index].as_ref(), threads[index], &claims[index]);
            assignments.push(ThreadAssignment {
                consumer: consumer.clone(),
                threads: threads[index],
                share: shares[index],
                reason,
            });
        }
        ThreadPlan { cores, assignments }
    }

    fn engine(&mut self, consumer: &ConsumerId, now: Timestamp) -> &mut Engine {
        if !self.engines.contains_key(consumer) && self.engines.len() >= self.config.most_engines {
            let silent = self.engines.iter().min_by_key(|(_, engine)| engine.seen);
            if let Some(consumer) = silent.map(|(consumer, _)| consumer.clone()) {
                self.engines.remove(&consumer);
            }
        }
        self.engines.entry(consumer.clone()).or_insert_with(|| Engine {
            priority: Priority::default(),
            limits: EngineLimits::default(),
            fitter: CurveFitter::new(self.config.memory),
            threads: 0,
            seen: now,
            work: 0,
            busy: Duration::ZERO,
            busy_share: 0.0,
            planned: None,
            is_probed: false,
        })
    }
}

impl Engine {
    fn claim(&self, config: &PlanConfig, fit: Option<&Fit>) -> Claim {
        let threads = self.threads.max(1);
        // Of an engine whose speed nobody knows, only its being busy counts.
        let assumed = SpeedCurve::ASSUMED;
        let (curve, explored) = match fit {
            Some(fit) => (fit.curve, f64::from(fit.most_threads) * config.explore.get().max(1.0)),
            // First it must be seen with what it has.
            None => (assumed, f64::from(threads)),
        };
        let most = self.limits.most.min(explored.min(f64::from(u32::MAX)) as u32).max(1);
        let busy = self.busy_share.max(config.least_load.get());
        let load = busy * curve.speed(threads);
        Claim { weight: config.weight(self.priority), load, curve, most }
    }

    fn reason(&self, fit: Option<&Fit>, threads: u32, claim: &Claim) -> Reason {
        let Some(fit) = fit else {
            return Reason::TooFewSamples { seen: 0, needed: 1 };
        };
        let now = self.threads.max(1);
        if self.is_probed {
            return Reason::TooFewSamples { seen: fit.counts, needed: 2 };
        }
        let (current, candidate) = (claim.curve.speed(now), claim.curve.speed(threads));
        let what = "work/s".to_owned();
        match threads.cmp(&now) {
            std::cmp::Ordering::Equal => Reason::AsGood { what, current },
            _ if candidate >= current => Reason::Better { what, current, candidate },
            // It gives way: others save more time with these cores than it loses.
            _ => Reason::Demand { wanted: u64::from(threads) * 1000, dimension: Dimension::Cpu },
        }
    }
}

/// An engine that should be tried with half its threads, because it was never seen with another
/// number. One that is being tried goes on.
fn probe(
    present: &[(&ConsumerId, &mut Engine)],
    fits: &[Option<Fit>],
    threads: &[u32],
    config: &PlanConfig,
) -> Option<(usize, u32)> {
    let is_unknown = |index: &usize| {
        let fit = fits[*index].as_ref().filter(|fit| fit.counts == 1 && fit.most_threads > 1);
        fit.is_some_and(|fit| {
            let is_observed = fit.observations >= f64::from(config.probe_after) * 0.9;
            // Others have taken its threads already: that will tell as much.
            is_observed && threads[*index] >= fit.most_threads
        })
    };
    let unknown = || (0..present.len()).filter(is_unknown);
    let under_way = unknown().find(|index| present[*index].1.is_probed);
    let index = under_way.or_else(|| unknown().next())?;
    Some((index, (threads[index] / 2).max(1)))
}

/// The last plan where it still fits and `best` is not clearly better, else `best`.
fn settle(
    cores: u32,
    claims: &[Claim],
    best: Vec<u32>,
    last: &[Option<u32>],
    least_improvement: f64,
) -> Vec<u32> {
    let Some(last) = last.iter().copied().collect::<Option<Vec<u32>>>() else { return best };
    let most = u64::from(cores).max(claims.len() as u64);
    let fits = last.iter().map(|threads| u64::from(*threads)).sum::<u64>() <= most;
    let cost = |threads: &[u32]| -> f64 {
        claims.iter().zip(threads).map(|(claim, threads)| claim.cost(*threads)).sum()
    };
    let is_clear = cost(&best) < cost(&last) * (1.0 - least_improvement);
    if fits && !is_clear { last } else { best }
}

/// What each gets of the cores: as many as it has threads, or where there are too few, in
/// proportion to its weighted load. Never more than `cores` in all.
fn shares(cores: Millicores, claims: &[Claim], threads: &[u32]) -> Vec<Millicores> {
    let whole = |threads: u32| Millicores::from_cores(u64::from(threads));
    let sum: u64 = threads.iter().map(|threads| whole(*threads).get()).sum();
    if sum <= cores.get() {
        return threads.iter().map(|threads| whole(*threads)).collect();
    }
    let costs = claims.iter().zip(threads).map(|(claim, threads)| claim.cost(*threads));
    let costs: Vec<f64> = costs.collect();
    let total: f64 = costs.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let share = |cost: &f64| Millicores::from_f64((cores.as_f64() * cost / total).floor());
    costs.iter().zip(threads).map(|(cost, threads)| share(cost).min(whole(*threads))).collect()
}

#[cfg(test)]
mod tests;
