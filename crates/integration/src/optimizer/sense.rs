//! From components to a snapshot.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    AllocationEvent, CacheMetrics, CacheStrategy, ComponentKind, ConsumerId, EngineSnapshot,
    Health, LoadMetrics, MemoryAllocation, MemoryKind, ResourceUsage, ResourceVector, Sample,
    SystemComponents, SystemSnapshot, ThreadPlan, Timestamp, UsagePattern,
};

use super::contain::{Patience, Wards};
use super::series::Series;
use super::{Loop, Sensed};
use crate::alerts::AlertBook;
use crate::config::OptimizerConfig;
use crate::plan::Planner;

/// Whose the series of the whole host are.
const HOST: &str = "host";

impl Loop {
    pub(super) fn new(components: SystemComponents, config: &OptimizerConfig) -> Self {
        let host = ConsumerId::new(HOST).expect("a constant name is well formed");
        let planner = Planner::new(config.plan.clone()).expect("checked with the whole config");
        let probes = components.probes.len();
        let patience = Patience {
            slow_after: config.slow_after,
            hung_after: config.hung_after,
            isolate: config.isolate,
        };
        Self {
            planner,
            series: Series::new(config.sample_every, config.history, host),
            wards: Wards::new(Arc::clone(&components.clock), patience),
            alerts: AlertBook::default(),
            last: Sensed {
                capacity: vec![ResourceVector::ZERO; probes],
                used: vec![ResourceVector::ZERO; probes],
                ..Sensed::default()
            },
            spare: None,
            components,
        }
    }

    /// Measures everything there is, and asks for what others propose. None where pool or fleet
    /// do not answer, without which nothing can be planned.
    pub(super) fn sense(
        &mut self,
        config: &OptimizerConfig,
    ) -> Option<(SystemSnapshot, Option<LoadMetrics>)> {
        let now = self.components.clock.now();
        self.probe(now);
        // The pool is read after the engines: a lease granted in between is then one that no
        // engine shows yet, never an engine's lease that the pool does not show.
        let fleet = Arc::clone(&self.components.fleet);
        let (engines, told) = self.spare.take().unzip();
        let engines = self.wards.ask((ComponentKind::Fleet, 0), move || match engines {
            Some(mut engines) => {
                fleet.engines_into(&mut engines);
                engines
            }
            None => fleet.engines(),
        })?;
        let mut threads = None;
        let mut traffic = None;
        if let Some(elapsed) = self.series.due(now) {
            self.learn(&engines, now, elapsed);
            threads = self.threads();
            traffic = self.traffic();
        }
        let strategies = self.strategies(now, config.analyze_every);
        let pool = Arc::clone(&self.components.pool);
        let snapshot = SystemSnapshot {
            at: now,
            capacity: total(&self.last.capacity),
            used: total(&self.last.used),
            pool: self.wards.ask((ComponentKind::Pool, 0), move || match told {
                Some(mut told) => {
                    pool.monitor_into(&mut told);
                    told
                }
                None => pool.monitor(),
            })?,
            engines,
            forecasts: self.series.forecasts.clone(),
            pressure: self.last.pressure,
            threads,
            strategies,
        };
        Some((snapshot, traffic))
    }

    /// Reads every probe; the last reading stands in for one that fails.
    pub(super) fn probe(&mut self, now: Timestamp) {
        for index in 0..self.components.probes.len() {
            let probe = Arc::clone(&self.components.probes[index]);
            let part = (ComponentKind::Probe, index);
            match self.wards.ask(part, move || probe.sample(now)) {
                Some(Ok(reading)) => {
                    self.last.capacity[index] = reading.capacity;
                    self.last.used[index] = reading.used;
                    if let Some(note) = reading.notes.first() {
                        let why = format!("{}: {}", note.source, note.problem);
                        self.wards.set(part, Health::Degraded { why });
                    }
                }
                Some(Err(error)) => {
                    let why = error.to_string();
                    self.wards.set(part, Health::Failed { why });
                }
                None => {}
            }
        }
    }

    /// Feeds what is new to the predictor and to the memory manager.
    fn learn(&mut self, engines: &[EngineSnapshot], now: Timestamp, elapsed: Duration) {
        let used = total(&self.last.used).memory();
        self.series.memory.push(Sample { at: now, value: Some(used.as_f64()) });
        if let Some(predictor) = self.components.predictor.clone() {
            let histories = self.series.sample_rates(engines, now, elapsed);
            let forecasts = self.wards.ask((ComponentKind::Predictor, 0), move || {
                let forecast = |history: Arc<plimsoll_core_types::UsageHistory>| {
                    let last = history.last()?;
                    let (key, value) = (history.key().clone(), last.value?);
                    predictor.validate(&ResourceUsage { key, at: last.at, value });
                    Some(predictor.forecast(&history))
                };
                histories.into_iter().filter_map(forecast).collect()
            });
            self.series.forecasts = forecasts.unwrap_or_default();
        }
        if let Some(memory) = self.components.memory.clone() {
            let pattern = self.memory_pattern(now);
            let measured: Vec<_> = engines
                .iter()
                .filter(|engine| engine.samples > 0)
                .map(|engine| measured(engine, now))
                .collect();
            let forecast = self.wards.ask((ComponentKind::Memory, 0), move || {
                for allocation in measured {
                    memory.track(allocation);
                }
                memory.forecast(&pattern)
            });
            self.last.pressure = forecast.map(|forecast| forecast.pressure).unwrap_or_default();
        }
    }

    fn memory_pattern(&self, now: Timestamp) -> UsagePattern {
        let history = &self.series.memory;
        let values = || history.iter().filter_map(|sample| sample.value);
        let count = values().count().max(1) as f64;
        let bytes = plimsoll_core_types::Bytes::from_f64;
        let first = history.iter().next().map_or(now, |sample| sample.at);
        UsagePattern {
            subject: history.key().subject.clone(),
            window: now.saturating_since(first),
            mean: ResourceVector::new().with_memory(bytes(values().sum::<f64>() / count)),
            peak: ResourceVector::new().with_memory(bytes(values().fold(0.0, f64::max))),
            histories: vec![history.clone()],
            accesses: plimsoll_core_types::AccessSample::default(),
        }
    }

    fn threads(&mut self) -> Option<ThreadPlan> {
        let cpu = self.components.cpu.clone()?;
        self.wards.ask((ComponentKind::Cpu, 0), move || cpu.optimize_threads())
    }

    fn traffic(&mut self) -> Option<LoadMetrics> {
        let fleet = Arc::clone(&self.components.fleet);
        let traffic = self.wards.ask((ComponentKind::Fleet, 0), move || fleet.traffic())??;
        if let Some(load) = self.components.load.clone() {
            let told = traffic.clone();
            self.wards.ask((ComponentKind::Load, 0), move || load.optimize(&told));
        }
        Some(traffic)
    }

    /// What each cache would rather be run by.
    fn strategies(&mut self, now: Timestamp, every: Duration) -> Vec<CacheStrategy> {
        if self.components.caches.is_empty() || !self.series.analysis_due(now, every) {
            return Vec::new();
        }
        let mut proposals = Vec::new();
        for index in 0..self.components.caches.len() {
            let cache = Arc::clone(&self.components.caches[index]);
            let answer = self.wards.ask((ComponentKind::Cache, index), move || {
                let metrics = cache.monitor();
                let pattern = cache_pattern(&metrics, every);
                (cache.analyze(&pattern), metrics)
            });
            let Some((strategy, metrics)) = answer else { continue };
            self.planner.observe_cache(&metrics);
            if strategy.policy != metrics.policy || strategy.capacity != metrics.capacity {
                proposals.push(strategy);
            }
        }
        proposals
    }
}

/// A pattern that names the cache and leaves the accesses to the cache's own sample.
fn cache_pattern(metrics: &CacheMetrics, window: Duration) -> UsagePattern {
    UsagePattern {
        subject: ConsumerId::from(&metrics.cache),
        window,
        mean: ResourceVector::ZERO,
        peak: ResourceVector::ZERO,
        histories: Vec::new(),
        accesses: plimsoll_core_types::AccessSample::default(),
    }
}

fn measured(engine: &EngineSnapshot, now: Timestamp) -> MemoryAllocation {
    MemoryAllocation {
        consumer: ConsumerId::from(&engine.model),
        kind: MemoryKind::Anonymous,
        event: AllocationEvent::Measured,
        bytes: engine.used.memory(),
        at: now,
    }
}

/// Each probe fills other dimensions.
pub(super) fn total(readings: &[ResourceVector]) -> ResourceVector {
    readings.iter().fold(ResourceVector::ZERO, |sum, reading| sum.saturating_add(reading))
}
