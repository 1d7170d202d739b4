//! What the fleet tells of itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, EngineSnapshot, ResourceVector, Task, TaskClass, TaskId, TenantId, Timestamp,
};

use super::Engines;
use super::model::{Model, Phase};
use super::running::{Reading, Running};
use super::spec::ModelSpec;

/// What a load is taken to last where that is not known.
const LOAD_TIME: Duration = Duration::from_secs(2);

impl Engines {
    pub(super) fn snapshot(&self, model: &Model, now: Timestamp) -> EngineSnapshot {
        let phase = model.phase();
        let (counters, spec) = (&model.counters, &*model.spec());
        let running = match &phase {
            Phase::Ready(running) => Some(running),
            _ => None,
        };
        let reading = running.map(|running| running.measure(now)).unwrap_or_default();
        if let Some(running) = running {
            self.world.learn(spec, reading.peak.memory(), now);
            self.account(spec, running, &reading, now);
        }
        let lease = *counters.lease.lock();
        let last_used = counters.last_used.load(Ordering::Relaxed);
        EngineSnapshot {
            model: spec.id.clone(),
            state: phase.state(),
            priority: spec.priority,
            // To evict one that keeps its memory makes no room.
            pinned: spec.pinned || !spec.engine.gives_back(),
            declared: spec.declared,
            believed: self.world.believed(spec),
            lease: lease.map(|(id, _)| id),
            promised: lease.map_or(ResourceVector::ZERO, |(_, amount)| amount),
            used: reading.used,
            peak: reading.peak,
            samples: reading.samples,
            slots: spec.slots,
            threads: running.map_or(0, |running| running.threads.load(Ordering::Relaxed)),
            in_progress: counters.in_progress.load(Ordering::Relaxed),
            waiting: counters.waiting.load(Ordering::Relaxed),
            arrivals: counters.arrivals.load(Ordering::Relaxed),
            last_used: (last_used > 0).then(|| Timestamp::from_nanos(last_used)),
            ready_since: running.map(|running| running.since),
            load_time: counters.load_time().unwrap_or(LOAD_TIME),
            silent: running.map_or(Duration::ZERO, |running| running.silent(now)),
            missed_probes: running.map_or(0, |running| running.missed()),
        }
    }

    /// Tells the CPU manager what an engine has used since it was last told.
    fn account(&self, spec: &ModelSpec, running: &Running, reading: &Reading, now: Timestamp) {
        let (cpu, waited) = running.unaccounted(reading);
        self.world.cpu.track_usage(&Task {
            id: TaskId::new(u64::from(running.pid.unwrap_or(0))),
            consumer: ConsumerId::from(&spec.id),
            class: TaskClass {
                model: Some(spec.id.clone()),
                tenant: TenantId::DEFAULT,
                priority: spec.priority,
            },
            worker: None,
            at: now,
            cpu,
            waited,
            work: running.served.swap(0, Ordering::Relaxed),
            threads: running.threads.load(Ordering::Relaxed),
        });
    }
}
