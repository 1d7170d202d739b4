//! What the loop itself costs: one round over components that answer at once, and nothing to do.
//!
//! `components` counts models, each of which is one engine to look at, one lease to check and one
//! series to keep. `plimsoll` calls its components on a thread of their own, as it does by default;
//! `inline` calls them on its own. `floor` is what fleet and pool take to tell how they are, over
//! what they told before: a loop that looks at everything can't cost less.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use plimsoll_bench::{OWN, criterion, goal, size};
use plimsoll_core_types::{
    ActionError, ActionOutcome, Bytes, Clock, ConsumerId, EngineSnapshot, EngineState, Fleet,
    LoadMetrics, ManualClock, ModelId, PlannedAction, Priority, Resource, ResourceOptimizer as _,
    ResourceRequest, ResourceVector, SystemComponents, Timestamp,
};
use plimsoll_integration::{Optimizer, OptimizerConfig, PlanConfig};
use plimsoll_pool::{LedgerConfig, LedgerPool};
use tokio::runtime::Runtime;

#[derive(Debug)]
struct Idle {
    engines: Vec<EngineSnapshot>,
    _leases: Vec<Resource>,
}

#[async_trait]
impl Fleet for Idle {
    fn engines(&self) -> Vec<EngineSnapshot> {
        self.engines.clone()
    }

    fn engines_into(&self, engines: &mut Vec<EngineSnapshot>) {
        engines.clone_from(&self.engines);
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        None
    }

    async fn apply(&self, _: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        Ok(ActionOutcome::Moot)
    }
}

fn engine(name: &str, lease: &Resource) -> EngineSnapshot {
    let amount = *lease.amount();
    EngineSnapshot {
        model: ModelId::new(name).expect("a short name"),
        state: EngineState::Ready,
        priority: Priority::Normal,
        pinned: false,
        declared: amount,
        believed: amount,
        lease: Some(lease.id()),
        promised: amount,
        used: amount,
        peak: amount,
        samples: 100,
        slots: 4,
        threads: 1,
        in_progress: 1,
        waiting: 0,
        arrivals: 100,
        last_used: Some(Timestamp::ZERO),
        ready_since: Some(Timestamp::ZERO),
        load_time: Duration::from_secs(1),
        silent: Duration::ZERO,
        missed_probes: 0,
    }
}

fn system(
    runtime: &Runtime,
    components: u64,
    isolate: bool,
) -> (Arc<ManualClock>, SystemComponents, Optimizer) {
    let clock = Arc::new(ManualClock::new());
    let limit = ResourceVector::new().with_memory(Bytes::from_mib(components + 1));
    let config = LedgerConfig::default();
    let own = Arc::clone(&clock) as Arc<dyn Clock>;
    let pool = Arc::new(LedgerPool::new(limit, config, own).expect("within bounds"));
    let (mut engines, mut leases) = (Vec::new(), Vec::new());
    for index in 0..components {
        let name = format!("model-{index}");
        let consumer = ConsumerId::new(&name).expect("a short name");
        let amount = ResourceVector::new().with_memory(Bytes::from_mib(1));
        let request = ResourceRequest::new(consumer, amount).expect("of something");
        let lease = runtime.block_on(pool.allocate(request)).expect("there is room");
        engines.push(engine(&name, &lease));
        leases.push(lease);
    }
    let parts = SystemComponents {
        clock: Arc::clone(&clock) as _,
        pool,
        fleet: Arc::new(Idle { engines, _leases: leases }),
        probes: Vec::new(),
        memory: None,
        cpu: None,
        caches: Vec::new(),
        predictor: None,
        load: None,
    };
    let config = OptimizerConfig { isolate, ..OptimizerConfig::new(PlanConfig::new(limit)) };
    let optimizer = Optimizer::new(config).expect("within bounds");
    runtime.block_on(optimizer.integrate(parts.clone())).expect("the parts fit together");
    (clock, parts, optimizer)
}

fn main() {
    let mut criterion = criterion();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    for components in size(vec![10, 100, 1000], vec![10, 100]) {
        let row = format!("integration.tick{{components={components}}}");
        if components == 1000 {
            goal(&row, 300_000.0);
        }
        let mut group = criterion.benchmark_group(row);
        for (name, isolate) in [(OWN, true), ("inline", false)] {
            let (clock, parts, optimizer) = system(&runtime, components, isolate);
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    clock.advance(Duration::from_millis(100));
                    assert!(runtime.block_on(optimizer.tick()).is_empty());
                });
            });
            if !isolate {
                group.bench_function("floor", |bencher| {
                    let (mut engines, mut pool) = (parts.fleet.engines(), parts.pool.monitor());
                    bencher.iter(|| {
                        parts.fleet.engines_into(&mut engines);
                        parts.pool.monitor_into(&mut pool);
                        black_box((engines.len(), pool.leases.len()))
                    });
                });
            }
        }
        group.finish();
    }
    criterion.final_summary();
}
