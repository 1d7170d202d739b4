//! Parts that fail, hang or dawdle, and a loop that is lost.

use super::*;

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
