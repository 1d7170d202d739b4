//! The loop over a real pool, with engines and probes that misbehave on demand.

#![cfg(not(loom))]

mod actions;
mod failing;
mod fit;
mod parts;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, Alert, AlertSink, Bytes, CapacityProbe, Clock,
    ComponentKind, ConsumerId, CpuManager, EngineSnapshot, EngineState, Fleet, ForecastScore,
    Health, IntegrateError, LeaseId, LoadMetrics, ManualClock, Millicores, ModelId, PlannedAction,
    Priority, ProbeError, ProbeReading, Recommendation, Resource, ResourceForecast,
    ResourceOptimizer as _, ResourcePool, ResourcePredictor, ResourceRequest, ResourceUsage,
    ResourceVector, ServiceLevel, SystemComponents, Task, ThreadPlan, Timestamp, UsageHistory,
    WorkerMoves,
};
use plimsoll_integration::resilience::Mode;
use plimsoll_integration::{Degrading, Optimizer, OptimizerConfig, PlanConfig, Scaling};
use plimsoll_pool::{LedgerConfig, LedgerPool};

fn mem(mib: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_mib(mib))
}

/// Engines that do what they are told at once, unless told to hang.
#[derive(Debug, Default)]
struct Engines {
    all: Mutex<Vec<EngineSnapshot>>,
    leases: Mutex<Vec<Resource>>,
    applied: Mutex<Vec<PlannedAction>>,
    hangs: AtomicBool,
    panics: AtomicBool,
}

impl Engines {
    fn add(&self, name: &str, mib: u64, lease: Option<Resource>) {
        let promised = lease.as_ref().map_or(ResourceVector::ZERO, |lease| *lease.amount());
        let ready = lease.is_some();
        let engine = EngineSnapshot {
            model: ModelId::new(name).unwrap(),
            state: if ready { EngineState::Ready } else { EngineState::Stopped },
            priority: Priority::Normal,
            pinned: false,
            declared: mem(mib),
            believed: mem(mib),
            lease: lease.as_ref().map(Resource::id),
            promised,
            used: promised,
            peak: promised,
            samples: 0,
            slots: 1,
            threads: 0,
            in_progress: 0,
            waiting: 0,
            arrivals: 1,
            last_used: None,
            ready_since: ready.then_some(Timestamp::ZERO),
            load_time: Duration::from_secs(1),
            silent: Duration::ZERO,
            missed_probes: 0,
        };
        self.all.lock().push(engine);
        self.leases.lock().extend(lease);
    }

    fn stop(&self, model: &ModelId) {
        let mut engines = self.all.lock();
        let engine = engines.iter_mut().find(|engine| engine.model == *model).unwrap();
        let lease = engine.lease.take();
        engine.state = EngineState::Stopped;
        self.leases.lock().retain(|held| Some(held.id()) != lease);
    }
}

#[async_trait]
impl Fleet for Engines {
    fn engines(&self) -> Vec<EngineSnapshot> {
        self.all.lock().clone()
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        None
    }

    async fn apply(&self, action: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        self.applied.lock().push(action.clone());
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        assert!(!self.panics.load(Ordering::SeqCst), "no action today");
        match &action.action {
            Action::Evict { model, .. } => self.stop(model),
            Action::Scale { .. } => {
                return Err(ActionError::Unsupported { action: action.action.to_string() });
            }
            _ => {}
        }
        Ok(ActionOutcome::Done)
    }
}

#[derive(Debug)]
struct Host {
    fails: AtomicBool,
    used: Mutex<u64>,
}

impl CapacityProbe for Host {
    fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
        if self.fails.load(Ordering::SeqCst) {
            let (from, problem) = ("/proc/meminfo".to_owned(), "gone".to_owned());
            return Err(ProbeError { probe: "memory", from, problem });
        }
        let (capacity, used) = (mem(1000), mem(*self.used.lock()));
        Ok(ProbeReading { at: now, capacity, used, pressure: None, notes: Vec::new() })
    }
}

#[derive(Debug)]
struct System {
    clock: Arc<ManualClock>,
    pool: Arc<LedgerPool>,
    fleet: Arc<Engines>,
    host: Arc<Host>,
}

impl System {
    fn new(limit: u64) -> Self {
        let clock = Arc::new(ManualClock::new());
        clock.advance(Duration::from_secs(100));
        let own = Arc::clone(&clock) as Arc<dyn Clock>;
        let pool = LedgerPool::new(mem(limit), LedgerConfig::default(), own).unwrap();
        let host = Host { fails: AtomicBool::new(false), used: Mutex::new(0) };
        Self { clock, pool: Arc::new(pool), fleet: Arc::default(), host: Arc::new(host) }
    }

    async fn lease(&self, name: &str, mib: u64) -> Resource {
        self.pool.allocate(Self::request(name, mib)).await.unwrap()
    }

    fn request(name: &str, mib: u64) -> ResourceRequest {
        ResourceRequest::new(ConsumerId::new(name).unwrap(), mem(mib)).unwrap()
    }

    fn components(&self) -> SystemComponents {
        SystemComponents {
            clock: Arc::clone(&self.clock) as _,
            pool: Arc::clone(&self.pool) as _,
            fleet: Arc::clone(&self.fleet) as _,
            probes: vec![Arc::clone(&self.host) as _],
            memory: None,
            cpu: None,
            caches: Vec::new(),
            predictor: None,
            load: None,
        }
    }
}

/// One that leaves nobody behind just because this machine is busy.
fn config(budget: u64) -> OptimizerConfig {
    let hung_after = Duration::from_mins(2);
    OptimizerConfig { hung_after, ..OptimizerConfig::new(PlanConfig::new(mem(budget))) }
}

fn optimizer(budget: u64) -> Optimizer {
    Optimizer::new(config(budget)).unwrap()
}

fn health(optimizer: &Optimizer, kind: ComponentKind) -> Health {
    let components = optimizer.monitor().components;
    components.into_iter().find(|component| component.kind == kind).unwrap().health
}

#[tokio::test]
async fn an_idle_model_gives_way_to_one_that_waits() {
    let system = System::new(500);
    system.fleet.add("idle", 300, Some(system.lease("idle", 300).await));
    system.fleet.add("wanted", 300, None);
    let optimizer = optimizer(500);
    let integration = optimizer.integrate(system.components()).await.unwrap();
    assert!(integration.warnings.iter().any(|w| w == "no predictor: nothing is loaded ahead"));
    assert_eq!(optimizer.tick().await, []);
    let asking = Arc::clone(&system.pool);
    let request = System::request("wanted", 300);
    let waiting = tokio::spawn(async move { asking.allocate(request).await });
    while system.pool.monitor().waiters.is_empty() {
        tokio::task::yield_now().await;
    }
    let decisions = optimizer.tick().await;
    let reason = decisions[0].planned.reason.to_string();
    assert!(reason.starts_with("gave way to wanted: frees 300 MiB memory"), "{reason}");
    assert_eq!(waiting.await.unwrap().unwrap().amount(), &mem(300));
    let report = optimizer.validate(&integration);
    assert!(report.holds(), "{report:?}");
    assert_eq!(optimizer.monitor().ticks, 2);
}

#[tokio::test]
async fn an_engine_with_a_lease_that_nobody_gave_is_found_out() {
    let system = System::new(500);
    system.fleet.add("liar", 100, Some(system.lease("liar", 100).await));
    let optimizer = optimizer(500);
    let integration = optimizer.integrate(system.components()).await.unwrap();
    optimizer.tick().await;
    system.fleet.all.lock()[0].lease = Some(LeaseId::new(999));
    // It may have come back between two readings, once.
    optimizer.tick().await;
    assert!(optimizer.validate(&integration).holds());
    optimizer.tick().await;
    let report = optimizer.validate(&integration);
    assert!(!report.holds());
    assert!(report.checks.iter().any(|check| check.detail == "not known: liar"));
    assert_eq!(optimizer.invariants_broken(), 1);
}

#[tokio::test]
async fn each_decision_says_what_it_is_for_and_later_what_it_was_worth() {
    let system = System::new(500);
    system.fleet.add("big", 300, Some(system.lease("big", 300).await));
    {
        let mut engines = system.fleet.all.lock();
        (engines[0].samples, engines[0].believed, engines[0].peak) = (100, mem(200), mem(190));
    }
    let optimizer = optimizer(500);
    optimizer.integrate(system.components()).await.unwrap();
    optimizer.tick().await;
    let expected = "100.000s: resize the lease of big to 200 MiB memory: measured 190 MiB in 100 \
                    samples, believed 300 MiB; done; promised_bytes 209715200.000 instead of \
                    314572800.000 expected";
    assert_eq!(optimizer.why("big"), [expected]);
    {
        let mut engines = system.fleet.all.lock();
        (engines[0].used, engines[0].promised) = (mem(190), mem(200));
    }
    for _ in 0..6 {
        system.clock.advance(Duration::from_secs(1));
        optimizer.tick().await;
    }
    let seen = format!("{expected}, 209715200.000 instead of 314572800.000 seen: kept");
    assert_eq!(optimizer.why("big"), [seen]);
    assert_eq!(optimizer.why("nobody"), [""; 0]);
    let status = optimizer.monitor();
    assert!(status.decisions[0].effect.as_ref().unwrap().seen.as_ref().unwrap().kept);
}

#[tokio::test]
async fn an_action_that_the_fleet_has_no_means_for_is_not_asked_twice() {
    let system = System::new(500);
    system.fleet.add("a", 100, Some(system.lease("a", 100).await));
    system.fleet.all.lock()[0].waiting = 50;
    let scaling =
        Some(Scaling { scale: plimsoll_integration::resilience::ScaleConfig::default(), slots: 1 });
    let plan = PlanConfig { scaling, ..PlanConfig::new(mem(500)) };
    let optimizer = Optimizer::new(OptimizerConfig { plan, ..config(500) }).unwrap();
    optimizer.integrate(system.components()).await.unwrap();
    for _ in 0..50 {
        optimizer.tick().await;
        system.clock.advance(Duration::from_secs(1));
    }
    let asked = system.fleet.applied.lock().iter().filter(|p| p.action.kind() == "scale").count();
    assert_eq!(asked, 1);
    assert_eq!(optimizer.decisions_about("a").len(), 1);
}
