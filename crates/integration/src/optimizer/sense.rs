//! From components to a snapshot.

use std::time::Duration;

use plimsoll_core_types::{
    AllocationEvent, CacheMetrics, CacheStrategy, ComponentKind, ConsumerId, EngineSnapshot,
    Health, IntegrateError, Integration, LoadMetrics, MemoryAllocation, MemoryKind, ResourceUsage,
    ResourceVector, Sample, SystemComponents, SystemSnapshot, ThreadPlan, Timestamp, UsagePattern,
};

use super::contain::Wards;
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
        Self {
            planner,
            series: Series::new(config.sample_every, config.history, host),
            wards: Wards::default(),
            alerts: AlertBook::default(),
            last: Sensed {
                capacity: vec![ResourceVector::ZERO; probes],
                used: vec![ResourceVector::ZERO; probes],
                ..Sensed::default()
            },
            components,
        }
    }

    /// Sees that the parts fit together, and says what is missing.
    pub(super) fn inspect(&mut self) -> Result<Integration, IntegrateError> {
        let now = self.components.clock.now();
        self.probe(now);
        let capacity = total(&self.last.capacity);
        let limit = self.components.pool.monitor().limit;
        for (dimension, limit) in limit.iter() {
            let capacity = capacity.get(dimension);
            if capacity > 0 && limit > capacity {
                return Err(IntegrateError::LimitAboveCapacity { dimension, limit, capacity });
            }
        }
        let mut names: Vec<_> =
            self.components.fleet.engines().into_iter().map(|e| e.model).collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(IntegrateError::Twice { model: pair[0].to_string() });
        }
        let warnings = self.admit();
        Ok(Integration { at: now, components: self.wards.statuses(), warnings })
    }

    /// Takes note of the parts there are, and says what goes without.
    fn admit(&mut self) -> Vec<String> {
        let parts = &self.components;
        let present = [
            (ComponentKind::Pool, true, ""),
            (ComponentKind::Fleet, true, ""),
            (ComponentKind::Probe, !parts.probes.is_empty(), "the limit stays what it is"),
            (ComponentKind::Memory, parts.memory.is_some(), "memory pressure is not seen"),
            (ComponentKind::Cpu, parts.cpu.is_some(), "threads stay what they are"),
            (ComponentKind::Cache, !parts.caches.is_empty(), "no cache is retuned"),
            (ComponentKind::Predictor, parts.predictor.is_some(), "nothing is loaded ahead"),
            (ComponentKind::Load, parts.load.is_some(), "admission limits stay what they are"),
        ];
        let mut warnings = Vec::new();
        for (kind, there, without) in present {
            if there {
                self.wards.admit(kind);
            } else {
                warnings.push(format!("no {kind}: {without}"));
            }
        }
        warnings
    }

    /// Measures everything there is, and asks for what others propose.
    pub(super) fn sense(
        &mut self,
        config: &OptimizerConfig,
    ) -> (SystemSnapshot, Option<LoadMetrics>) {
        let now = self.components.clock.now();
        self.probe(now);
        // The pool is read after the engines: a lease granted in between is then one that no
        // engine shows yet, never an engine's lease that the pool does not show.
        let engines = self.components.fleet.engines();
        let mut threads = None;
        let mut traffic = None;
        if let Some(elapsed) = self.series.due(now) {
            self.learn(&engines, now, elapsed);
            threads = self.threads();
            traffic = self.traffic();
        }
        let strategies = self.strategies(now, config.analyze_every);
        let snapshot = SystemSnapshot {
            at: now,
            capacity: total(&self.last.capacity),
            used: total(&self.last.used),
            pool: self.components.pool.monitor(),
            engines,
            forecasts: self.series.forecasts.clone(),
            pressure: self.last.pressure,
            threads,
            strategies,
        };
        (snapshot, traffic)
    }

    /// Reads every probe; the last reading stands in for one that fails.
    fn probe(&mut self, now: Timestamp) {
        for (index, probe) in self.components.probes.iter().enumerate() {
            match self.wards.ask(ComponentKind::Probe, || probe.sample(now)) {
                Some(Ok(reading)) => {
                    self.last.capacity[index] = reading.capacity;
                    self.last.used[index] = reading.used;
                    if let Some(note) = reading.notes.first() {
                        let why = format!("{}: {}", note.source, note.problem);
                        self.wards.set(ComponentKind::Probe, Health::Degraded { why });
                    }
                }
                Some(Err(error)) => {
                    let why = error.to_string();
                    self.wards.set(ComponentKind::Probe, Health::Failed { why });
                }
                None => {}
            }
        }
    }

    /// Feeds what is new to the predictor and to the memory manager.
    fn learn(&mut self, engines: &[EngineSnapshot], now: Timestamp, elapsed: Duration) {
        let used = total(&self.last.used).memory();
        self.series.memory.push(Sample { at: now, value: Some(used.as_f64()) });
        if let Some(predictor) = &self.components.predictor {
            let histories = self.series.sample_rates(engines, now, elapsed);
            let forecasts = self.wards.ask(ComponentKind::Predictor, || {
                let forecast = |history: &&plimsoll_core_types::UsageHistory| {
                    let last = history.last()?;
                    let (key, value) = (history.key().clone(), last.value?);
                    predictor.validate(&ResourceUsage { key, at: last.at, value });
                    Some(predictor.forecast(history))
                };
                histories.iter().filter_map(forecast).collect()
            });
            self.series.forecasts = forecasts.unwrap_or_default();
        }
        if let Some(memory) = &self.components.memory {
            let pattern = self.memory_pattern(now);
            let forecast = self.wards.ask(ComponentKind::Memory, || {
                for engine in engines.iter().filter(|engine| engine.samples > 0) {
                    memory.track(measured(engine, now));
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
        let cpu = self.components.cpu.as_ref()?;
        self.wards.ask(ComponentKind::Cpu, || cpu.optimize_threads())
    }

    fn traffic(&mut self) -> Option<LoadMetrics> {
        let fleet = &self.components.fleet;
        let traffic = self.wards.ask(ComponentKind::Fleet, || fleet.traffic()).flatten()?;
        if let Some(load) = &self.components.load {
            self.wards.ask(ComponentKind::Load, || load.optimize(&traffic));
        }
        Some(traffic)
    }

    /// What each cache would rather be run by.
    fn strategies(&mut self, now: Timestamp, every: Duration) -> Vec<CacheStrategy> {
        if self.components.caches.is_empty() || !self.series.analysis_due(now, every) {
            return Vec::new();
        }
        let mut proposals = Vec::new();
        for cache in &self.components.caches {
            let answer = self.wards.ask(ComponentKind::Cache, || {
                let metrics = cache.monitor();
                let pattern = cache_pattern(&metrics, every);
                (cache.analyze(&pattern), metrics)
            });
            if let Some((strategy, metrics)) = answer
                && (strategy.policy != metrics.policy || strategy.capacity != metrics.capacity)
            {
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
fn total(readings: &[ResourceVector]) -> ResourceVector {
    readings.iter().fold(ResourceVector::ZERO, |sum, reading| sum.saturating_add(reading))
}
