//! Each kind of action from its plan to the effect seen: planned for its reason, not done where
//! whoever is asked fails, with everything as it was, tried again, done, and judged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, Bytes, CacheId, CacheMetrics, CacheOptimizer, CachePolicy,
    CacheStrategy, Clock, ConsumerId, CpuManager, Decision, EngineSnapshot, EngineState, Fleet,
    ForecastHealth, ForecastScore, HorizonForecast, LoadMetrics, ManualClock, Millicores, ModelId,
    PlannedAction, Priority, Quantiles, Ratio, Reason, Recommendation, Resource, ResourceForecast,
    ResourceOptimizer as _, ResourcePool as _, ResourcePredictor, ResourceRequest, ResourceUsage,
    ServiceLevel, StrategyChange, StrategyError, SystemComponents, Task, ThreadAssignment,
    ThreadPlan, UsageHistory, UsagePattern, WorkerMoves,
};
use plimsoll_integration::resilience::ScaleConfig;
use plimsoll_integration::{Degrading, Optimizer, OptimizerConfig, PlanConfig, Scaling, Shedding};
use plimsoll_pool::{LedgerConfig, LedgerPool};

use super::{Engines, Host, config, mem};

/// Whether whoever is asked to do something fails.
#[derive(Debug, Default)]
struct Fails(AtomicBool);

impl Fails {
    fn now(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// A host on which everything that is decided is really done.
#[derive(Debug)]
struct Stage {
    clock: Arc<ManualClock>,
    pool: Arc<LedgerPool>,
    host: Arc<Host>,
    cache: Arc<Answers>,
    engines: Engines,
    leases: Mutex<BTreeMap<String, Resource>>,
    levels: Mutex<BTreeMap<ModelId, ServiceLevel>>,
    refused_below: Mutex<Option<Priority>>,
    fails: Arc<Fails>,
}

#[derive(Debug)]
struct Answers {
    policy: Mutex<CachePolicy>,
    bytes: Mutex<u64>,
    lookups: AtomicU64,
    fails: Arc<Fails>,
}

impl CacheOptimizer for Answers {
    fn analyze(&self, _: &UsagePattern) -> CacheStrategy {
        CacheStrategy {
            cache: CacheId::new("answers").unwrap(),
            policy: CachePolicy::Sieve,
            capacity: 100,
            time_to_live: None,
            expected: Ratio::saturating(0.6),
            current: Ratio::saturating(0.5),
            reason: Reason::Requested,
        }
    }

    fn implement(&self, strategy: CacheStrategy) -> Result<StrategyChange, StrategyError> {
        if self.fails.now() {
            return Err(StrategyError::Busy);
        }
        let (from, to) =
            (std::mem::replace(&mut *self.policy.lock(), strategy.policy), strategy.policy);
        let change =
            StrategyChange { from, to, capacity_from: 100, capacity_to: 100, kept: 0, dropped: 0 };
        Ok(change)
    }

    fn monitor(&self) -> CacheMetrics {
        let lookups = self.lookups.fetch_add(500, Ordering::SeqCst);
        CacheMetrics {
            cache: CacheId::new("answers").unwrap(),
            at: plimsoll_core_types::Timestamp::ZERO,
            hits: lookups * 3 / 5,
            misses: lookups - lookups * 3 / 5,
            entries: 100,
            weight: 100,
            capacity: 100,
            bytes: Some(Bytes::from_mib(*self.bytes.lock())),
            policy: *self.policy.lock(),
            reason: Reason::Requested,
        }
    }
}

/// Would run every model on three threads.
#[derive(Debug)]
struct Three;

impl CpuManager for Three {
    fn track_usage(&self, _: &Task) {}

    fn balance_load(&self) -> WorkerMoves {
        unreachable!("the loop moves no workers")
    }

    fn optimize_threads(&self) -> ThreadPlan {
        let consumer = ConsumerId::new("a").unwrap();
        let share = Millicores::from_cores(3);
        let one = ThreadAssignment { consumer, threads: 3, share, reason: Reason::Requested };
        ThreadPlan { cores: Millicores::from_cores(4), assignments: vec![one] }
    }
}

/// Knows that the model `b` will be asked for.
#[derive(Debug)]
struct Foresees;

impl ResourcePredictor for Foresees {
    fn forecast(&self, history: &UsageHistory) -> ResourceForecast {
        let rate = if history.key().subject.as_str() == "b" { 20.0 } else { 0.0 };
        let horizon = |millis| HorizonForecast {
            horizon: Duration::from_millis(millis),
            quantiles: Quantiles::certain(rate).unwrap(),
        };
        ResourceForecast {
            key: history.key().clone(),
            at: history.last().map(|sample| sample.at).unwrap_or_default(),
            horizons: vec![horizon(250), horizon(500), horizon(3000)],
            health: ForecastHealth::Skilled { relative_error: 0.5 },
            season: None,
        }
    }

    fn optimize(&self, _: &ResourceForecast) -> Recommendation {
        unreachable!("the loop asks for no recommendation")
    }

    fn validate(&self, usage: &ResourceUsage) -> ForecastScore {
        let health = ForecastHealth::Skilled { relative_error: 0.5 };
        let (key, scored) = (usage.key.clone(), 1);
        ForecastScore { key, scored, relative_error: None, coverage95: None, pinball: None, health }
    }
}

impl Stage {
    /// A pool of 500 MiB, a model `a` of 300 MiB that serves, and a cache of 200 MiB.
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        clock.advance(Duration::from_secs(100));
        let own = Arc::clone(&clock) as Arc<dyn Clock>;
        let pool = LedgerPool::new(mem(500), LedgerConfig::default(), own).unwrap();
        let host = Host { fails: AtomicBool::new(false), used: Mutex::new(0) };
        let fails = Arc::<Fails>::default();
        let cache = Answers {
            policy: Mutex::new(CachePolicy::Sieve),
            bytes: Mutex::new(200),
            lookups: AtomicU64::new(0),
            fails: Arc::clone(&fails),
        };
        let stage = Self {
            clock,
            pool: Arc::new(pool),
            host: Arc::new(host),
            cache: Arc::new(cache),
            engines: Engines::default(),
            leases: Mutex::default(),
            levels: Mutex::default(),
            refused_below: Mutex::default(),
            fails,
        };
        stage.engines.add("a", 300, None);
        stage.engines.add("b", 150, None);
        stage.start("a");
        let answers = stage.lease("answers", 200).expect("there is room");
        stage.leases.lock().insert("answers".to_owned(), answers);
        stage
    }

    fn lease(&self, name: &str, mib: u64) -> Option<Resource> {
        let request = ResourceRequest::new(ConsumerId::new(name).unwrap(), mem(mib)).unwrap();
        self.pool.try_allocate(request).unwrap()
    }

    fn with<T>(&self, model: &str, change: impl FnOnce(&mut EngineSnapshot) -> T) -> T {
        let mut engines = self.engines.all.lock();
        change(engines.iter_mut().find(|engine| engine.model.as_str() == model).unwrap())
    }

    fn start(&self, model: &str) {
        let mib = self.with(model, |e| e.believed.memory().get() >> 20);
        let Some(lease) = self.lease(model, mib) else { return };
        let now = self.clock.now();
        self.with(model, |engine| {
            engine.state = EngineState::Ready;
            engine.lease = Some(lease.id());
            engine.promised = *lease.amount();
            (engine.used, engine.peak) = (engine.promised, engine.promised);
            engine.ready_since = Some(now);
            engine.threads = 1;
        });
        self.leases.lock().insert(model.to_owned(), lease);
    }

    fn resize(&self, name: &str, change: impl FnOnce(u64) -> u64) -> u64 {
        let mut leases = self.leases.lock();
        let lease = leases.get_mut(name).unwrap();
        let mib = change(lease.amount().memory().get() >> 20);
        lease.resize(mem(mib)).unwrap();
        mib
    }

    /// All that actions change.
    fn looks(&self) -> String {
        let engines = self.engines.all.lock();
        let engines = engines
            .iter()
            .map(|e| (e.state, e.promised.memory(), e.threads, e.slots, e.missed_probes));
        format!(
            "{:?} {} {:?} {:?} {} {}",
            engines.collect::<Vec<_>>(),
            self.pool.monitor().limit,
            self.levels.lock(),
            self.refused_below.lock(),
            self.cache.policy.lock(),
            self.cache.bytes.lock(),
        )
    }

    fn components(self: &Arc<Self>) -> SystemComponents {
        SystemComponents {
            clock: Arc::clone(&self.clock) as _,
            pool: Arc::clone(&self.pool) as _,
            fleet: Arc::clone(self) as _,
            probes: vec![Arc::clone(&self.host) as _],
            memory: None,
            cpu: Some(Arc::new(Three)),
            caches: vec![Arc::clone(&self.cache) as _],
            predictor: None,
            load: None,
        }
    }
}

#[async_trait]
impl Fleet for Stage {
    fn engines(&self) -> Vec<EngineSnapshot> {
        self.engines.engines()
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        None
    }

    async fn apply(&self, planned: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        if self.fails.now() {
            let (action, cause) = (planned.action.to_string(), "not today".to_owned());
            return Err(ActionError::Failed { action, step: "beginning", cause });
        }
        match &planned.action {
            Action::Prewarm { model } => self.start(model.as_str()),
            Action::Evict { model, .. } => {
                self.leases.lock().remove(model.as_str());
                self.engines.stop(model);
                self.with(model.as_str(), |e| (e.promised, e.used) = (mem(0), mem(0)));
            }
            Action::Replace { model } => self.with(model.as_str(), |e| e.missed_probes = 0),
            Action::ResizeLease { model, to } => {
                self.resize(model.as_str(), |_| to.memory().get() >> 20);
                self.with(model.as_str(), |e| (e.promised, e.used, e.peak) = (*to, *to, *to));
            }
            Action::SetLimit { limit } => self.pool.set_limit(*limit),
            Action::SetThreads { consumer, threads } => {
                self.with(consumer.as_str(), |e| e.threads = *threads);
            }
            Action::Scale { model, replicas } => {
                self.with(model.as_str(), |e| (e.slots, e.waiting) = (*replicas as usize, 0));
            }
            Action::Shed { below } => {
                *self.refused_below.lock() = *below;
                self.with("a", |e| e.waiting /= 2);
            }
            Action::Degrade { model, to } => {
                self.levels.lock().insert(model.clone(), to.clone());
                self.with(model.as_str(), |e| e.waiting /= 2);
            }
            Action::ShiftBytes { from, bytes, .. } => {
                let left = self.resize(from.as_str(), |mib| mib - (bytes.get() >> 20));
                *self.cache.bytes.lock() = left;
            }
            other => unreachable!("{other} is asked of others"),
        }
        Ok(ActionOutcome::Done)
    }
}

/// How one kind of action comes about.
struct Case {
    kind: &'static str,
    plan: fn(&mut PlanConfig),
    begin: fn(&Arc<Stage>),
    /// What happens in each second.
    second: fn(&Stage),
}

const STILL: Case = Case { kind: "", plan: |_| {}, begin: |_| {}, second: |_| {} };

/// Somebody who waits for a lease, until it is there.
fn ask(stage: &Arc<Stage>, name: &'static str, mib: u64) {
    let pool = Arc::clone(&stage.pool);
    let request = ResourceRequest::new(ConsumerId::new(name).unwrap(), mem(mib)).unwrap();
    tokio::spawn(async move {
        let lease = pool.allocate(request).await;
        // It is held until the test ends.
        std::future::pending::<()>().await;
        drop(lease);
    });
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let waits = |stage: &Arc<Stage>| stage.with("a", |e| (e.in_progress, e.waiting) = (1, 40));
    vec![
        Case { kind: "set_limit", begin: |stage| *stage.host.used.lock() = 850, ..STILL },
        Case {
            kind: "resize_lease",
            begin: |stage| {
                stage.with("a", |e| {
                    (e.believed, e.used, e.peak, e.samples) = (mem(200), mem(180), mem(190), 100);
                });
            },
            ..STILL
        },
        Case { kind: "evict", begin: |stage| ask(stage, "job", 250), ..STILL },
        Case {
            kind: "prewarm",
            begin: |stage| {
                stage.resize("answers", |_| 10);
                *stage.cache.bytes.lock() = 10;
            },
            second: |stage| {
                let warm = stage.with("b", |e| e.state == EngineState::Ready);
                stage.with("b", |e| e.arrivals += u64::from(warm));
            },
            ..STILL
        },
        Case { kind: "replace", begin: |stage| stage.with("a", |e| e.missed_probes = 3), ..STILL },
        Case {
            kind: "set_threads",
            second: |stage| stage.with("a", |e| (e.arrivals, e.in_progress) = (e.arrivals + 30, 1)),
            ..STILL
        },
        Case {
            kind: "retune",
            begin: |stage| *stage.cache.policy.lock() = CachePolicy::Lru,
            ..STILL
        },
        Case {
            kind: "shift_bytes",
            plan: |plan| plan.cache_least = Some(Bytes::from_mib(20)),
            begin: |stage| {
                stage.with("a", |e| e.pinned = true);
                ask(stage, "job", 100);
            },
            ..STILL
        },
        Case {
            kind: "scale",
            plan: |plan| {
                plan.scaling = Some(Scaling { scale: ScaleConfig::default(), slots: 1 });
            },
            begin: waits,
            ..STILL
        },
        Case {
            kind: "shed",
            plan: |plan| plan.shedding = Some(Shedding::default()),
            begin: waits,
            ..STILL
        },
        Case {
            kind: "degrade",
            plan: |plan| plan.degrading = Some(Degrading::default()),
            begin: waits,
            ..STILL
        },
    ]
});

/// Goes round once a second until there is a decision of this kind that `is` what is looked for.
async fn until(
    stage: &Stage,
    optimizer: &Optimizer,
    case: &Case,
    is: impl Fn(&Decision) -> bool,
) -> Decision {
    for _ in 0..60 {
        stage.clock.advance(Duration::from_secs(1));
        // Whoever waits for a lease has its turn.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        (case.second)(stage);
        optimizer.tick().await;
        let mut decisions = optimizer.monitor().decisions.into_iter().rev();
        if let Some(found) = decisions.find(|d| d.planned.action.kind() == case.kind && is(d)) {
            return found;
        }
    }
    panic!("no such {}: {:#?}", case.kind, optimizer.monitor().decisions);
}

#[tokio::test]
async fn every_action_is_planned_not_done_done_and_judged() {
    for case in CASES.iter() {
        let stage = Arc::new(Stage::new());
        let mut plan = PlanConfig::new(mem(500));
        (case.plan)(&mut plan);
        let optimizer = Optimizer::new(OptimizerConfig { plan, ..config(500) }).unwrap();
        let mut components = stage.components();
        if case.kind == "prewarm" {
            components.predictor = Some(Arc::new(Foresees));
        }
        let integration = optimizer.integrate(components).await.unwrap();
        (case.begin)(&stage);

        stage.fails.0.store(true, Ordering::SeqCst);
        let before = stage.looks();
        let failed = until(&stage, &optimizer, case, |_| true).await;
        assert!(failed.outcome.is_err() && failed.effect.is_none(), "{failed:?}");
        assert_eq!(stage.looks(), before, "{}: what is not done changes nothing", case.kind);

        stage.fails.0.store(false, Ordering::SeqCst);
        let done = until(&stage, &optimizer, case, |d| d.outcome.is_ok()).await;
        assert!(done.effect.is_some(), "{done:?}");
        assert_ne!(stage.looks(), before, "{}: it is done", case.kind);
        let (why, reason) = (optimizer.why(done.planned.action.subject()), &done.planned.reason);
        assert!(why.iter().any(|line| line.contains(&reason.to_string())), "{reason}: {why:?}");

        // A later one of its kind takes the place of an earlier one that is on trial.
        let judged = until(&stage, &optimizer, case, |d| seen(d).is_some()).await;
        assert!(seen(&judged).unwrap().kept, "{judged:?}");
        let report = optimizer.validate(&integration);
        assert!(report.kept >= 1 && report.holds(), "{}: {report:?}", case.kind);
    }
}

fn seen(decision: &Decision) -> Option<&plimsoll_core_types::Seen> {
    decision.effect.as_ref()?.seen.as_ref()
}

/// Overload that lasts is answered step by step, and the answer is taken back step by step.
#[tokio::test]
async fn overload_is_shed_and_let_in_again_with_hysteresis() {
    let stage = Arc::new(Stage::new());
    let (degrading, shedding) = (Some(Degrading::default()), Some(Shedding::default()));
    let plan = PlanConfig { degrading, shedding, ..PlanConfig::new(mem(500)) };
    let optimizer = Optimizer::new(OptimizerConfig { plan, ..config(500) }).unwrap();
    optimizer.integrate(stage.components()).await.unwrap();
    let mut story = Vec::new();
    for second in 0..120_u32 {
        // One slot; what is refused does not wait.
        let overload = (10..40).contains(&second);
        stage.with("a", |e| {
            (e.in_progress, e.waiting) = if overload { (1, 3) } else { (0, 0) };
        });
        stage.clock.advance(Duration::from_secs(1));
        for decision in optimizer.tick().await {
            match &decision.planned.action {
                Action::Shed { below } => story.push((second, format!("refuse {below:?}"))),
                Action::Degrade { to, .. } => story.push((second, format!("serve {to}"))),
                _ => {}
            }
        }
        if second == 30 {
            let alerts = optimizer.monitor().alerts;
            let refused = alerts.iter().find(|alert| alert.subject == "requests").unwrap();
            assert_eq!(refused.cause, "refused below priority normal");
        }
    }
    let expected = [
        (11, "serve from priority critical up only"),
        (13, "refuse Some(Normal)"),
        (50, "serve from priority high up only"),
        (50, "refuse Some(Low)"),
        (61, "serve from priority normal up only"),
        (61, "refuse None"),
        (72, "serve from the cache only"),
        (83, "serve reduced"),
        (94, "serve in full"),
    ];
    assert_eq!(story, expected.map(|(second, what)| (second, what.to_owned())));
}
