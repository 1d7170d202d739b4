//! From components to a snapshot.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    AllocationEvent, CacheMetrics, CacheOptimizer, CacheStrategy, CapacityProbe, ComponentKind,
    ConsumerId, EngineSnapshot, Health, LoadMetrics, MemoryAllocation, MemoryForecast, MemoryKind,
    ProbeError, ProbeReading, ResourceForecast, ResourceStatus, ResourceUsage, ResourceVector,
    Sample, SystemComponents, SystemSnapshot, ThreadPlan, Timestamp, UsageHistory, UsagePattern,
};

use super::contain::{Part, Patience, Wards};
use super::crew::{Answer, Calls};
use super::series::Series;
use super::{Loop, Sensed, Spare};
use crate::alerts::AlertBook;
use crate::config::OptimizerConfig;
use crate::plan::Planner;

const FLEET: Part = (ComponentKind::Fleet, 0);
const POOL: Part = (ComponentKind::Pool, 0);

/// What a probe answers.
type Reading = Result<ProbeReading, ProbeError>;
/// What is asked of a cache.
type Analysis = Answer<(CacheStrategy, CacheMetrics)>;

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
            spare: Spare::default(),
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
        let due = self.series.is_due(now);
        let mut calls = Calls::default();
        let readings = self.probe_all(&mut calls, now);
        // The pool is read after the engines: a lease granted in between is then one that no
        // engine shows yet, never an engine's lease that the pool does not show.
        let engines = self.list_engines(&mut calls);
        let pool = self.read_pool(&mut calls);
        let threads = if due { self.plan_threads(&mut calls) } else { None };
        let traffic = due.then(|| self.count(&mut calls));
        self.wards.make(calls);
        self.take_readings(readings);
        let (engines, threads) = (engines.take()?, threads.and_then(Answer::take));
        let traffic = traffic.and_then(Answer::take).flatten();
        let elapsed = self.series.due(now);
        let strategies = self.learn(config, &engines, traffic.as_ref(), now, elapsed);
        let snapshot = SystemSnapshot {
            at: now,
            capacity: total(&self.last.capacity),
            used: total(&self.last.used),
            pool: pool.take()?,
            engines,
            forecasts: self.series.forecasts.clone(),
            pressure: self.last.pressure,
            threads,
            strategies,
        };
        Some((snapshot, traffic))
    }

    fn list_engines(&mut self, calls: &mut Calls) -> Answer<Vec<EngineSnapshot>> {
        let (fleet, earlier) = (Arc::clone(&self.components.fleet), self.spare.engines.take());
        calls.add(FLEET, move || match earlier {
            Some(mut engines) => {
                fleet.engines_into(&mut engines);
                engines
            }
            None => fleet.engines(),
        })
    }

    fn read_pool(&mut self, calls: &mut Calls) -> Answer<ResourceStatus> {
        let (pool, earlier) = (Arc::clone(&self.components.pool), self.spare.pool.take());
        calls.add(POOL, move || match earlier {
            Some(mut status) => {
                pool.monitor_into(&mut status);
                status
            }
            None => pool.monitor(),
        })
    }

    fn plan_threads(&self, calls: &mut Calls) -> Option<Answer<ThreadPlan>> {
        let cpu = self.components.cpu.clone()?;
        Some(calls.add((ComponentKind::Cpu, 0), move || cpu.optimize_threads()))
    }

    /// What came in and went out since it was last asked.
    fn count(&self, calls: &mut Calls) -> Answer<Option<LoadMetrics>> {
        let fleet = Arc::clone(&self.components.fleet);
        calls.add(FLEET, move || fleet.traffic())
    }

    /// Reads every probe; the last reading stands in for one that fails.
    pub(super) fn probe(&mut self, now: Timestamp) {
        let mut calls = Calls::default();
        let readings = self.probe_all(&mut calls, now);
        self.wards.make(calls);
        self.take_readings(readings);
    }

    fn probe_all(&self, calls: &mut Calls, now: Timestamp) -> Vec<Answer<Reading>> {
        let probe = |(index, probe): (usize, &Arc<dyn CapacityProbe>)| {
            let probe = Arc::clone(probe);
            calls.add((ComponentKind::Probe, index), move || probe.sample(now))
        };
        self.components.probes.iter().enumerate().map(probe).collect()
    }

    fn take_readings(&mut self, readings: Vec<Answer<Reading>>) {
        for (index, reading) in readings.into_iter().enumerate() {
            let part = (ComponentKind::Probe, index);
            match reading.take() {
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

    /// Feeds what is new to those that learn from it, where a sample is due, and asks each cache
    /// what it would rather be run by, where that is.
    fn learn(
        &mut self,
        config: &OptimizerConfig,
        engines: &[EngineSnapshot],
        traffic: Option<&LoadMetrics>,
        now: Timestamp,
        elapsed: Option<Duration>,
    ) -> Vec<CacheStrategy> {
        let mut calls = Calls::default();
        let mut answers = (None, None);
        if let Some(elapsed) = elapsed {
            let used = total(&self.last.used).memory();
            self.series.memory.push(Sample { at: now, value: Some(used.as_f64()) });
            answers = (
                self.forecast(&mut calls, engines, now, elapsed),
                self.track(&mut calls, engines, now),
            );
            self.tell_load(&mut calls, traffic);
        }
        let analyses = self.analyze(&mut calls, now, config.analyze_every);
        self.wards.make(calls);
        let (forecasts, memory) = answers;
        if let Some(forecasts) = forecasts {
            self.series.forecasts = forecasts.take().unwrap_or_default();
        }
        if let Some(forecast) = memory {
            let pressure = forecast.take().map(|forecast| forecast.pressure);
            self.last.pressure = pressure.unwrap_or_default();
        }
        self.take_strategies(analyses)
    }

    fn forecast(
        &mut self,
        calls: &mut Calls,
        engines: &[EngineSnapshot],
        now: Timestamp,
        elapsed: Duration,
    ) -> Option<Answer<Vec<ResourceForecast>>> {
        let predictor = self.components.predictor.clone()?;
        let histories = self.series.sample_rates(engines, now, elapsed);
        let forecast = move |history: Arc<UsageHistory>| {
            let last = history.last()?;
            let (key, value) = (history.key().clone(), last.value?);
            predictor.validate(&ResourceUsage { key, at: last.at, value });
            Some(predictor.forecast(&history))
        };
        let all = move || histories.into_iter().filter_map(forecast).collect();
        Some(calls.add((ComponentKind::Predictor, 0), all))
    }

    fn track(
        &self,
        calls: &mut Calls,
        engines: &[EngineSnapshot],
        now: Timestamp,
    ) -> Option<Answer<MemoryForecast>> {
        let memory = self.components.memory.clone()?;
        let pattern = self.memory_pattern(now);
        let known = engines.iter().filter(|engine| engine.samples > 0);
        let measured: Vec<_> = known.map(|engine| measured(engine, now)).collect();
        Some(calls.add((ComponentKind::Memory, 0), move || {
            for allocation in measured {
                memory.track(allocation);
            }
            memory.forecast(&pattern)
        }))
    }

    fn tell_load(&self, calls: &mut Calls, traffic: Option<&LoadMetrics>) {
        if let (Some(load), Some(traffic)) = (self.components.load.clone(), traffic.cloned()) {
            calls.add((ComponentKind::Load, 0), move || load.optimize(&traffic));
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

    /// Asks each cache how it does and what it would rather be run by.
    fn analyze(&mut self, calls: &mut Calls, now: Timestamp, every: Duration) -> Vec<Analysis> {
        if self.components.caches.is_empty() || !self.series.analysis_due(now, every) {
            return Vec::new();
        }
        let ask = |(index, cache): (usize, &Arc<dyn CacheOptimizer>)| {
            let cache = Arc::clone(cache);
            calls.add((ComponentKind::Cache, index), move || {
                let metrics = cache.monitor();
                let pattern = cache_pattern(&metrics, every);
                (cache.analyze(&pattern), metrics)
            })
        };
        self.components.caches.iter().enumerate().map(ask).collect()
    }

    /// What those caches propose that would rather be run otherwise.
    fn take_strategies(&mut self, analyses: Vec<Analysis>) -> Vec<CacheStrategy> {
        let mut proposals = Vec::new();
        for (strategy, metrics) in analyses.into_iter().filter_map(Answer::take) {
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
