//! The loop over a real pool, with engines and probes that misbehave on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, Alert, AlertSink, Bytes, CapacityProbe, Clock,
    ComponentKind, ConsumerId, EngineSnapshot, EngineState, Fleet, ForecastScore, Health,
    IntegrateError, LeaseId, LoadMetrics, ManualClock, ModelId, PlannedAction, Priority,
    ProbeError, ProbeReading, Recommendation, Resource, ResourceForecast, ResourceOptimizer as _,
    ResourcePool, ResourcePredictor, ResourceRequest, ResourceUsage, ResourceVector,
    SystemComponents, Timestamp, UsageHistory,
};
use plimsoll_integration::{Optimizer, OptimizerConfig, PlanConfig};
use plimsoll_pool::{LedgerConfig, LedgerPool};

fn mem(mib: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_mib(mib))
}

/// Engines that do what they are told at once, unless told to hang.
#[derive(Debug, Default)]
struct Engines {
    engines: Mutex<Vec<EngineSnapshot>>,
    leases: Mutex<Vec<Resource>>,
    applied: Mutex<Vec<PlannedAction>>,
    hangs: AtomicBool,
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
            arrivals: 0,
            last_used: None,
            ready_since: ready.then_some(Timestamp::ZERO),
            load_time: Duration::from_secs(1),
            silent: Duration::ZERO,
            missed_probes: 0,
        };
        self.engines.lock().push(engine);
        self.leases.lock().extend(lease);
    }

    fn stop(&self, model: &ModelId) {
        let mut engines = self.engines.lock();
        let engine = engines.iter_mut().find(|engine| engine.model == *model).unwrap();
        let lease = engine.lease.take();
        engine.state = EngineState::Stopped;
        self.leases.lock().retain(|held| Some(held.id()) != lease);
    }
}

#[async_trait]
impl Fleet for Engines {
    fn engines(&self) -> Vec<EngineSnapshot> {
        self.engines.lock().clone()
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        None
    }

    async fn apply(&self, action: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        self.applied.lock().push(action.clone());
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if let Action::Evict { model, .. } = &action.action {
            self.stop(model);
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

/// Panics whenever it is asked.
#[derive(Debug)]
struct Broken;

impl ResourcePredictor for Broken {
    fn forecast(&self, _: &UsageHistory) -> ResourceForecast {
        panic!("no forecast today")
    }

    fn optimize(&self, _: &ResourceForecast) -> Recommendation {
        panic!("no recommendation either")
    }

    fn validate(&self, _: &ResourceUsage) -> ForecastScore {
        panic!("no score")
    }
}

#[derive(Debug, Default)]
struct Alerts(Mutex<Vec<Alert>>);

impl AlertSink for Alerts {
    fn alert(&self, alert: &Alert) {
        self.0.lock().push(alert.clone());
    }
}

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
        self.pool.allocate(self.request(name, mib)).await.unwrap()
    }

    fn request(&self, name: &str, mib: u64) -> ResourceRequest {
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

fn optimizer(budget: u64) -> Optimizer {
    Optimizer::new(OptimizerConfig::new(PlanConfig::new(mem(budget)))).unwrap()
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
    let request = system.request("wanted", 300);
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
async fn a_part_that_panics_is_contained_and_named() {
    let system = System::new(500);
    system.fleet.add("a", 100, Some(system.lease("a", 100).await));
    let optimizer = optimizer(500);
    let components = SystemComponents { predictor: Some(Arc::new(Broken)), ..system.components() };
    optimizer.integrate(components).await.unwrap();
    for _ in 0..3 {
        optimizer.tick().await;
        system.clock.advance(Duration::from_secs(1));
    }
    let status = optimizer.monitor();
    let predictor = status.components.iter().find(|c| c.kind == ComponentKind::Predictor).unwrap();
    let Health::Failed { why } = &predictor.health else { panic!("{predictor:?}") };
    assert_eq!(why, "panicked: no score");
    assert_eq!(status.ticks, 3);
    assert!(status.snapshot.unwrap().forecasts.is_empty());
}

#[tokio::test]
async fn the_last_reading_stands_in_for_a_probe_that_fails() {
    let system = System::new(500);
    system.fleet.add("a", 100, None);
    let alerts = Arc::new(Alerts::default());
    let optimizer = optimizer(500).with_alert_sink(Arc::clone(&alerts) as _);
    optimizer.integrate(system.components()).await.unwrap();
    optimizer.tick().await;
    system.host.fails.store(true, Ordering::SeqCst);
    system.clock.advance(Duration::from_secs(1));
    optimizer.tick().await;
    let status = optimizer.monitor();
    assert_eq!(status.snapshot.unwrap().capacity, mem(1000));
    let probe = status.components.iter().find(|c| c.kind == ComponentKind::Probe).unwrap();
    assert!(matches!(&probe.health, Health::Failed { why } if why.contains("/proc/meminfo: gone")));
    assert!(alerts.0.lock().is_empty(), "one failure is not yet worth an alert: {alerts:?}");
    system.clock.advance(Duration::from_secs(1));
    optimizer.tick().await;
    assert!(alerts.0.lock().iter().any(|alert| alert.ended.is_none()), "{alerts:?}");
    system.host.fails.store(false, Ordering::SeqCst);
    system.clock.advance(Duration::from_secs(3));
    optimizer.tick().await;
    assert!(alerts.0.lock().iter().any(|alert| alert.ended.is_some()), "{alerts:?}");
}

#[tokio::test(start_paused = true)]
async fn an_action_that_hangs_holds_nothing_up() {
    let system = System::new(500);
    system.fleet.add("a", 300, Some(system.lease("a", 300).await));
    system.fleet.hangs.store(true, Ordering::SeqCst);
    let optimizer = optimizer(500);
    optimizer.integrate(system.components()).await.unwrap();
    *system.host.used.lock() = 990;
    let decisions = optimizer.tick().await;
    assert!(decisions.iter().any(|d| d.outcome == Ok(ActionOutcome::Begun)), "{decisions:?}");
    let status = optimizer.monitor();
    let fleet = status.components.iter().find(|c| c.kind == ComponentKind::Fleet).unwrap();
    assert!(matches!(&fleet.health, Health::Degraded { why } if why.contains("took too long")));
}

#[tokio::test]
async fn parts_that_do_not_fit_together_are_refused() {
    let system = System::new(2000);
    let error = optimizer(500).integrate(system.components()).await.unwrap_err();
    assert!(matches!(error, IntegrateError::LimitAboveCapacity { .. }), "{error}");
    assert!(error.to_string().contains("above the host's capacity of 1000 MiB"), "{error}");

    let system = System::new(500);
    system.fleet.add("same", 10, None);
    system.fleet.add("same", 20, None);
    let error = optimizer(500).integrate(system.components()).await.unwrap_err();
    assert!(error.to_string().contains("same"), "{error}");

    let system = System::new(500);
    let optimizer = optimizer(500);
    assert_eq!(optimizer.tick().await, [], "without a system there is nothing to do");
    optimizer.integrate(system.components()).await.unwrap();
    let again = optimizer.integrate(system.components()).await;
    assert_eq!(again.unwrap_err(), IntegrateError::Already);
}

#[tokio::test]
async fn an_engine_with_a_lease_that_nobody_gave_is_found_out() {
    let system = System::new(500);
    system.fleet.add("liar", 100, Some(system.lease("liar", 100).await));
    let optimizer = optimizer(500);
    let integration = optimizer.integrate(system.components()).await.unwrap();
    optimizer.tick().await;
    system.fleet.engines.lock()[0].lease = Some(LeaseId::new(999));
    // It may have come back between two readings, once.
    optimizer.tick().await;
    assert!(optimizer.validate(&integration).holds());
    optimizer.tick().await;
    let report = optimizer.validate(&integration);
    assert!(!report.holds());
    assert!(report.checks.iter().any(|check| check.detail == "not known: liar"));
    assert_eq!(optimizer.invariants_broken(), 1);
}
