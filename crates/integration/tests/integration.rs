//! The loop over a real pool, with engines and probes that misbehave on demand.

#![cfg(not(loom))]

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
            arrivals: 0,
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

/// Answers once the gate's other end is gone.
#[derive(Debug)]
struct Gated {
    gate: Mutex<mpsc::Receiver<()>>,
    asked: AtomicUsize,
}

impl CpuManager for Gated {
    fn track_usage(&self, _: &Task) {}

    fn balance_load(&self) -> WorkerMoves {
        unreachable!("the loop moves no workers")
    }

    fn optimize_threads(&self) -> ThreadPlan {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Nothing is ever sent.
        let _ = self.gate.lock().recv();
        ThreadPlan { cores: Millicores::from_cores(2), assignments: Vec::new() }
    }
}

/// Takes its time, by the clock that everybody reads.
#[derive(Debug)]
struct Slow {
    clock: Arc<ManualClock>,
    takes: Duration,
}

impl CapacityProbe for Slow {
    fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
        self.clock.advance(self.takes);
        let (capacity, used) = (mem(1000), mem(0));
        Ok(ProbeReading { at: now, capacity, used, pressure: None, notes: Vec::new() })
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
async fn a_part_that_hangs_is_left_behind_until_it_is_back() {
    let system = System::new(500);
    system.fleet.add("a", 100, None);
    let (held, gate) = mpsc::channel();
    let cpu = Arc::new(Gated { gate: Mutex::new(gate), asked: AtomicUsize::new(0) });
    let hung_after = Duration::from_millis(300);
    let optimizer = Optimizer::new(OptimizerConfig { hung_after, ..config(500) }).unwrap();
    let components = SystemComponents { cpu: Some(Arc::clone(&cpu) as _), ..system.components() };
    optimizer.integrate(components).await.unwrap();
    for round in 1..=4 {
        optimizer.tick().await;
        system.clock.advance(Duration::from_secs(1));
        assert_eq!(optimizer.monitor().ticks, round, "the loop goes on");
    }
    assert_eq!(cpu.asked.load(Ordering::SeqCst), 1, "a part that hangs is not asked again");
    let Health::Failed { why } = health(&optimizer, ComponentKind::Cpu) else { panic!() };
    assert_eq!(why, "no answer for 3.0 s");
    assert_eq!(health(&optimizer, ComponentKind::Pool), Health::Healthy);
    drop(held);
    for _ in 0..10_000 {
        std::thread::yield_now();
        system.clock.advance(Duration::from_secs(1));
        optimizer.tick().await;
        if health(&optimizer, ComponentKind::Cpu) == Health::Healthy {
            return;
        }
    }
    panic!("it has come back and is not taken back: {:?}", optimizer.monitor().components);
}

#[tokio::test]
async fn a_part_that_is_slow_is_degraded_and_asked_less_often() {
    let system = System::new(500);
    let takes = Duration::from_millis(400);
    let slow = Arc::new(Slow { clock: Arc::clone(&system.clock), takes });
    let optimizer = optimizer(500);
    let components = SystemComponents { probes: vec![slow], ..system.components() };
    optimizer.integrate(components).await.unwrap();
    let start = system.clock.now();
    for _ in 0..10 {
        optimizer.tick().await;
    }
    let why = "took 0.400 s, more than 0.25 s".to_owned();
    assert_eq!(health(&optimizer, ComponentKind::Probe), Health::Degraded { why });
    let spent = system.clock.now().saturating_since(start);
    assert!(spent <= takes * 3, "ten rounds took {spent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_hangs_costs_one_timeout_a_round_and_the_rest_is_put_off() {
    let system = System::new(500);
    for name in ["a", "b", "c"] {
        system.fleet.add(name, 100, Some(system.lease(name, 100).await));
    }
    for engine in system.fleet.all.lock().iter_mut() {
        engine.missed_probes = 3;
    }
    system.fleet.hangs.store(true, Ordering::SeqCst);
    let optimizer = optimizer(500);
    optimizer.integrate(system.components()).await.unwrap();
    let start = tokio::time::Instant::now();
    let decisions = optimizer.tick().await;
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    let outcomes: Vec<_> = decisions.iter().map(|d| d.outcome.is_ok()).collect();
    assert_eq!(outcomes, [true, false, false]);
    let error = decisions[2].outcome.as_ref().unwrap_err();
    assert_eq!(error, "replace c: asking the fleet failed: it took too long before; put off");
}

#[tokio::test]
async fn a_fleet_that_panics_at_an_action_is_contained() {
    let system = System::new(500);
    system.fleet.add("a", 100, Some(system.lease("a", 100).await));
    system.fleet.all.lock()[0].missed_probes = 3;
    system.fleet.panics.store(true, Ordering::SeqCst);
    let optimizer = optimizer(500);
    optimizer.integrate(system.components()).await.unwrap();
    let decisions = optimizer.tick().await;
    let error = decisions[0].outcome.as_ref().unwrap_err();
    assert!(error.contains("it panicked: no action today"), "{error}");
    assert!(matches!(health(&optimizer, ComponentKind::Fleet), Health::Failed { .. }));
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
async fn when_the_loop_is_lost_the_static_rule_holds_until_it_is_back() {
    let system = System::new(900);
    system.fleet.add("a", 100, Some(system.lease("a", 100).await));
    let plan = PlanConfig { degrading: Some(Degrading::default()), ..PlanConfig::new(mem(900)) };
    let optimizer = Optimizer::new(OptimizerConfig { plan, ..config(900) }).unwrap();
    assert_eq!(optimizer.mode(), Mode::Managed);
    optimizer.integrate(system.components()).await.unwrap();
    system.fleet.all.lock()[0].waiting = 40;
    for _ in 0..20 {
        system.clock.advance(Duration::from_millis(100));
        optimizer.tick().await;
    }
    let level = |decision: &plimsoll_core_types::Decision| match &decision.planned.action {
        Action::Degrade { to, .. } => Some(to.clone()),
        _ => None,
    };
    let status = optimizer.monitor();
    let degraded: Vec<_> = status.decisions.iter().filter_map(level).collect();
    assert_eq!(degraded, [ServiceLevel::Shed { below: Priority::Critical }]);
    assert!(status.alerts.iter().any(|alert| alert.name == "service_degraded"));
    assert_eq!(optimizer.stand_in().await, []);

    system.clock.advance(Duration::from_secs(10));
    let silent = Duration::from_secs(10);
    assert_eq!(optimizer.mode(), Mode::Static { silent });
    let decisions = optimizer.stand_in().await;
    let lines: Vec<_> =
        decisions.iter().map(|d| format!("{}: {}", d.planned.action, d.planned.reason)).collect();
    let reason = "nobody has decided for 10.0 s: the safe static rule";
    assert_eq!(
        lines,
        [
            format!("set the limit to 836 MiB memory: {reason}"),
            format!("serve a in full: {reason}")
        ]
    );
    assert_eq!(optimizer.stand_in().await, [], "once");

    optimizer.tick().await;
    assert_eq!(optimizer.mode(), Mode::Managed);
    system.clock.advance(Duration::from_mins(1));
    assert_eq!(optimizer.stand_in().await.len(), 1, "lost again: the line at least");
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_by_name() {
    let refused = async |system: &System, plan: PlanConfig| {
        let optimizer = Optimizer::new(OptimizerConfig { plan, ..config(500) }).unwrap();
        optimizer.integrate(system.components()).await.unwrap_err().to_string()
    };
    let model = |name: &str| ModelId::new(name).unwrap();
    let with_aliases = |pairs: &[(&str, &str)]| {
        let aliases = pairs.iter().map(|(from, to)| (model(from), model(to))).collect();
        let degrading = Some(Degrading { aliases, ..Degrading::default() });
        PlanConfig { degrading, ..PlanConfig::new(mem(500)) }
    };
    let system = System::new(500);
    for name in ["a", "b", "c"] {
        system.fleet.add(name, 10, None);
    }
    let circle = with_aliases(&[("a", "b"), ("b", "c"), ("c", "a")]);
    assert_eq!(refused(&system, circle).await, "aliases goes round in a circle: a → b → c → a");
    let unknown = with_aliases(&[("a", "tiny")]);
    assert_eq!(refused(&system, unknown).await, "aliases names tiny, which is not there");
    let needs = PlanConfig { cache_least: Some(Bytes::from_mib(1)), ..PlanConfig::new(mem(500)) };
    assert_eq!(refused(&system, needs).await, "there is no cache, which cache_least needs");
    *system.host.used.lock() = 1000 * 1024;
    assert_eq!(
        refused(&system, PlanConfig::new(mem(500))).await,
        "probe: 1000 GiB of 1000 MiB memory are used; check its unit"
    );
}

#[tokio::test]
async fn what_is_probably_not_meant_is_said() {
    let system = System::new(500);
    system.fleet.add("huge", 600, None);
    system.fleet.add("odd", 10, None);
    {
        let mut engines = system.fleet.all.lock();
        engines[1].declared = ResourceVector::new().with_memory(Bytes::new(700));
        engines[1].slots = 0;
    }
    let warnings = optimizer(400).integrate(system.components()).await.unwrap().warnings;
    let expected = [
        "the pool's limit of 500 MiB memory is above the budget of 400 MiB",
        "huge can never load: memory asks 600 MiB, the limit is 500 MiB",
        "odd declares 700 B of memory: check its unit",
        "odd has no slots: it can work on no request",
    ];
    for line in expected {
        assert!(warnings.iter().any(|warning| warning == line), "{line} is not in {warnings:#?}");
    }
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
