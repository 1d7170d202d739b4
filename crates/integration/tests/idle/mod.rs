//! A system of as many idle engines as somebody wants, each with its lease: what the loop costs
//! where there is nothing to do. The bench of the loop has it by its path.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use plimsoll_core_types::{
    ActionError, ActionOutcome, Bytes, Clock, ConsumerId, EngineSnapshot, EngineState, Fleet,
    LoadMetrics, ManualClock, ModelId, PlannedAction, Priority, Resource, ResourceOptimizer as _,
    ResourceRequest, ResourceVector, SystemComponents, Timestamp,
};
use plimsoll_integration::{Optimizer, OptimizerConfig, PlanConfig};
use plimsoll_pool::{LedgerConfig, LedgerPool};

/// The parts, and an optimizer that has them.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) parts: SystemComponents,
    pub(crate) optimizer: Optimizer,
}

#[derive(Debug)]
struct Idle {
    engines: Vec<EngineSnapshot>,
    /// As many, held for as long as there are engines.
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

impl System {
    /// A system of `models`, whose optimizer calls its parts on a thread of their own where it
    /// `isolate`s them.
    pub(crate) async fn of(models: u64, isolate: bool) -> Self {
        let clock = Arc::new(ManualClock::new());
        let limit = ResourceVector::new().with_memory(Bytes::from_mib(models + 1));
        let own = Arc::clone(&clock) as Arc<dyn Clock>;
        let pool = LedgerPool::new(limit, LedgerConfig::default(), own).expect("within bounds");
        let (mut engines, mut leases) = (Vec::new(), Vec::new());
        for index in 0..models {
            let name = format!("model-{index}");
            let amount = ResourceVector::new().with_memory(Bytes::from_mib(1));
            let consumer = ConsumerId::new(&name).expect("a short name");
            let request = ResourceRequest::new(consumer, amount).expect("of something");
            let lease = pool.allocate(request).await.expect("there is room");
            engines.push(engine(&name, &lease));
            leases.push(lease);
        }
        let parts = SystemComponents {
            clock: Arc::clone(&clock) as _,
            pool: Arc::new(pool),
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
        optimizer.integrate(parts.clone()).await.expect("the parts fit together");
        Self { clock, parts, optimizer }
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
