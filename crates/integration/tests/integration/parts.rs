//! Every part of a system panics, and hangs; the loop goes on, says so, and takes it back.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{
    ActionError, ActionOutcome, AllocateError, Assignment, CacheMetrics, CacheOptimizer,
    CachePolicy, CacheStrategy, CapacityProbe, ComponentKind, CpuManager, EngineSnapshot, Fleet,
    ForecastHealth, ForecastScore, Health, LoadChange, LoadDistribution, LoadForecast, LoadManager,
    LoadMetrics, LoadTrend, MemoryAllocation, MemoryForecast, MemoryManager, Millicores,
    OptimizeError, PlannedAction, PoolChange, PoolMetrics, PressureLevel, ProbeError, ProbeReading,
    Ratio, Reason, Reclaimed, Recommendation, ReleaseError, Resource, ResourceForecast,
    ResourceOptimizer as _, ResourcePool, ResourcePredictor, ResourceRequest, ResourceStatus,
    ResourceUsage, StrategyChange, StrategyError, SystemComponents, Task, ThreadPlan, Timestamp,
    UsageHistory, UsagePattern, WorkerMoves,
};
use plimsoll_integration::{Optimizer, OptimizerConfig};

use super::{System, config, health, mem};

/// How a part behaves.
#[derive(Debug)]
enum Mood {
    Well,
    Panics,
    /// Until the other end is dropped.
    Hangs(mpsc::Receiver<()>),
}

/// Every part at once, of which one is in a mood.
#[derive(Debug)]
struct Moody {
    part: ComponentKind,
    mood: Mutex<Mood>,
    system: System,
}

impl Moody {
    fn meets(&self, part: ComponentKind) {
        if part != self.part {
            return;
        }
        let mood = std::mem::replace(&mut *self.mood.lock(), Mood::Well);
        match mood {
            Mood::Well => {}
            Mood::Panics => {
                *self.mood.lock() = Mood::Panics;
                panic!("in no mood");
            }
            // Whoever asks first is stuck; nobody should ask before that is over.
            Mood::Hangs(until) => {
                let _ = until.recv();
            }
        }
    }

    fn components(self: &Arc<Self>) -> SystemComponents {
        SystemComponents {
            clock: Arc::clone(&self.system.clock) as _,
            pool: Arc::clone(self) as _,
            fleet: Arc::clone(self) as _,
            probes: vec![Arc::clone(self) as _],
            memory: Some(Arc::clone(self) as _),
            cpu: Some(Arc::clone(self) as _),
            caches: vec![Arc::clone(self) as _],
            predictor: Some(Arc::clone(self) as _),
            load: Some(Arc::clone(self) as _),
        }
    }
}

#[async_trait]
impl ResourcePool for Moody {
    async fn allocate(&self, request: ResourceRequest) -> Result<Resource, AllocateError> {
        self.system.pool.allocate(request).await
    }

    async fn release(&self, resource: Resource) -> Result<(), ReleaseError> {
        self.system.pool.release(resource).await
    }

    async fn optimize(&self, metrics: &PoolMetrics) -> Result<PoolChange, OptimizeError> {
        self.system.pool.optimize(metrics).await
    }

    fn monitor(&self) -> ResourceStatus {
        self.meets(ComponentKind::Pool);
        self.system.pool.monitor()
    }
}

#[async_trait]
impl Fleet for Moody {
    fn engines(&self) -> Vec<EngineSnapshot> {
        self.meets(ComponentKind::Fleet);
        self.system.fleet.engines()
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        Some(LoadMetrics {
            at: Timestamp::ZERO,
            window: Duration::from_secs(1),
            arrivals: 1,
            completed: 1,
            failed: 0,
            shed: 0,
            in_progress: 0,
            queued: 0,
            latency_p50: Duration::from_millis(1),
            latency_p99: Duration::from_millis(1),
        })
    }

    async fn apply(&self, action: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        self.system.fleet.apply(action).await
    }
}

impl CapacityProbe for Moody {
    fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
        self.meets(ComponentKind::Probe);
        self.system.host.sample(now)
    }
}

impl MemoryManager for Moody {
    fn track(&self, _: MemoryAllocation) {}

    fn optimize(&self, _: Ratio) -> Reclaimed {
        Reclaimed::default()
    }

    fn forecast(&self, _: &UsagePattern) -> MemoryForecast {
        self.meets(ComponentKind::Memory);
        let (used, capacity) = (mem(100).memory(), mem(1000).memory());
        let (at, horizons) = (Timestamp::ZERO, Vec::new());
        let pressure = PressureLevel::Calm;
        MemoryForecast { at, used, capacity, pressure, horizons, exhausted_in: None }
    }
}

impl CpuManager for Moody {
    fn track_usage(&self, _: &Task) {}

    fn balance_load(&self) -> WorkerMoves {
        unreachable!("the loop moves no workers")
    }

    fn optimize_threads(&self) -> ThreadPlan {
        self.meets(ComponentKind::Cpu);
        ThreadPlan { cores: Millicores::from_cores(2), assignments: Vec::new() }
    }
}

impl CacheOptimizer for Moody {
    fn analyze(&self, _: &UsagePattern) -> CacheStrategy {
        self.meets(ComponentKind::Cache);
        let metrics = CacheOptimizer::monitor(self);
        CacheStrategy {
            cache: metrics.cache,
            policy: metrics.policy,
            capacity: metrics.capacity,
            time_to_live: None,
            expected: Ratio::ZERO,
            current: Ratio::ZERO,
            reason: Reason::Requested,
        }
    }

    fn implement(&self, _: CacheStrategy) -> Result<StrategyChange, StrategyError> {
        Err(StrategyError::Busy)
    }

    fn monitor(&self) -> CacheMetrics {
        CacheMetrics {
            cache: plimsoll_core_types::CacheId::new("answers").unwrap(),
            at: Timestamp::ZERO,
            hits: 0,
            misses: 0,
            entries: 0,
            weight: 0,
            capacity: 10,
            bytes: None,
            policy: CachePolicy::Lru,
            reason: Reason::Requested,
        }
    }
}

impl ResourcePredictor for Moody {
    fn forecast(&self, history: &UsageHistory) -> ResourceForecast {
        self.meets(ComponentKind::Predictor);
        let (key, at) = (history.key().clone(), Timestamp::ZERO);
        let health = ForecastHealth::Learning { seen: 1, needed: 10 };
        ResourceForecast { key, at, horizons: Vec::new(), health, season: None }
    }

    fn optimize(&self, _: &ResourceForecast) -> Recommendation {
        unreachable!("the loop asks for no recommendation")
    }

    fn validate(&self, usage: &ResourceUsage) -> ForecastScore {
        let health = ForecastHealth::Learning { seen: 1, needed: 10 };
        let (key, scored) = (usage.key.clone(), 0);
        ForecastScore { key, scored, relative_error: None, coverage95: None, pinball: None, health }
    }
}

impl LoadManager for Moody {
    fn balance(&self, _: &LoadDistribution) -> Assignment {
        unreachable!("the loop balances nothing")
    }

    fn optimize(&self, _: &LoadMetrics) -> LoadChange {
        self.meets(ComponentKind::Load);
        LoadChange { limit_from: 1, limit_to: 1, shed: Ratio::ZERO, reason: Reason::Requested }
    }

    fn forecast(&self, _: &LoadTrend) -> LoadForecast {
        unreachable!("the loop asks for no forecast of load")
    }
}

const KINDS: [ComponentKind; 8] = [
    ComponentKind::Pool,
    ComponentKind::Fleet,
    ComponentKind::Probe,
    ComponentKind::Memory,
    ComponentKind::Cpu,
    ComponentKind::Cache,
    ComponentKind::Predictor,
    ComponentKind::Load,
];

async fn moody(part: ComponentKind) -> (Arc<Moody>, Optimizer) {
    let system = System::new(500);
    system.fleet.add("a", 100, Some(system.lease("a", 100).await));
    let moody = Arc::new(Moody { part, mood: Mutex::new(Mood::Well), system });
    let hung_after = Duration::from_millis(300);
    let optimizer = Optimizer::new(OptimizerConfig { hung_after, ..config(500) }).unwrap();
    optimizer.integrate(moody.components()).await.unwrap();
    (moody, optimizer)
}

/// Goes round once every three seconds, so that all parts are asked.
async fn round(moody: &Moody, optimizer: &Optimizer) {
    moody.system.clock.advance(Duration::from_secs(3));
    optimizer.tick().await;
}

async fn gets_well(moody: &Moody, optimizer: &Optimizer) {
    for _ in 0..10_000 {
        // Longer than anybody is let be.
        moody.system.clock.advance(Duration::from_mins(1));
        round(moody, optimizer).await;
        if health(optimizer, moody.part) == Health::Healthy {
            return;
        }
        std::thread::yield_now();
    }
    panic!("the {} is well, and not taken back", moody.part);
}

/// Without these there is nothing to plan; everything else is done without.
fn is_needed(part: ComponentKind) -> bool {
    matches!(part, ComponentKind::Pool | ComponentKind::Fleet)
}

#[tokio::test]
async fn the_loop_goes_on_whichever_part_panics() {
    for part in KINDS {
        let (moody, optimizer) = moody(part).await;
        round(&moody, &optimizer).await;
        *moody.mood.lock() = Mood::Panics;
        for _ in 0..3 {
            round(&moody, &optimizer).await;
        }
        let why = "panicked: in no mood".to_owned();
        assert_eq!(health(&optimizer, part), Health::Failed { why });
        let ticks = if is_needed(part) { 1 } else { 4 };
        assert_eq!(optimizer.monitor().ticks, ticks, "{part}");
        *moody.mood.lock() = Mood::Well;
        gets_well(&moody, &optimizer).await;
        assert!(optimizer.monitor().ticks > ticks);
    }
}

#[tokio::test]
async fn the_loop_goes_on_whichever_part_hangs() {
    for part in KINDS {
        let (moody, optimizer) = moody(part).await;
        round(&moody, &optimizer).await;
        let (held, until) = mpsc::channel();
        *moody.mood.lock() = Mood::Hangs(until);
        for _ in 0..3 {
            round(&moody, &optimizer).await;
        }
        let status = health(&optimizer, part);
        assert!(
            matches!(&status, Health::Failed { why } if why.starts_with("no answer for")),
            "{part}: {status:?}"
        );
        let ticks = if is_needed(part) { 1 } else { 4 };
        assert_eq!(optimizer.monitor().ticks, ticks, "{part}");
        drop(held);
        gets_well(&moody, &optimizer).await;
        assert!(optimizer.monitor().ticks > ticks);
    }
}
