//! The metrics as Prometheus would scrape them, and the dashboard that shows them.

#![cfg(not(loom))]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, Bytes, Clock, ConsumerId, EngineSnapshot, EngineState,
    Fleet, LoadMetrics, ManualClock, ModelId, PlannedAction, Priority, Resource,
    ResourceOptimizer as _, ResourceRequest, ResourceVector, SystemComponents, Timestamp,
};
use plimsoll_integration::{Exporter, Optimizer, OptimizerConfig, PlanConfig};
use plimsoll_pool::{LedgerConfig, LedgerPool};

/// One model, whose lease is larger than what it uses.
#[derive(Debug)]
struct One(Mutex<EngineSnapshot>);

impl One {
    fn new(lease: &Resource) -> Self {
        let (promised, less) = (*lease.amount(), mem(100));
        Self(Mutex::new(EngineSnapshot {
            model: ModelId::new("one").unwrap(),
            state: EngineState::Ready,
            priority: Priority::Normal,
            pinned: false,
            declared: promised,
            believed: less,
            lease: Some(lease.id()),
            promised,
            used: less,
            peak: less,
            samples: 100,
            slots: 1,
            threads: 0,
            in_progress: 0,
            waiting: 0,
            arrivals: 0,
            last_used: None,
            ready_since: Some(Timestamp::ZERO),
            load_time: Duration::from_secs(1),
            silent: Duration::ZERO,
            missed_probes: 0,
        }))
    }
}

fn mem(mib: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_mib(mib))
}

#[async_trait]
impl Fleet for One {
    fn engines(&self) -> Vec<EngineSnapshot> {
        vec![self.0.lock().clone()]
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        let ms = Duration::from_millis;
        Some(LoadMetrics {
            at: Timestamp::ZERO,
            window: ms(1000),
            arrivals: 10,
            completed: 9,
            failed: 1,
            shed: 0,
            in_progress: 0,
            queued: 0,
            latency_p50: ms(20),
            latency_p99: ms(90),
        })
    }

    async fn apply(&self, planned: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        if let Action::ResizeLease { to, .. } = planned.action {
            self.0.lock().promised = to;
        }
        Ok(ActionOutcome::Done)
    }
}

#[tokio::test]
async fn what_is_measured_is_exported_documented_and_on_the_dashboard() {
    let exporter = Exporter::install().unwrap();
    let clock = Arc::new(ManualClock::new());
    let limit = mem(500);
    let own = Arc::clone(&clock) as Arc<dyn Clock>;
    let pool = Arc::new(LedgerPool::new(limit, LedgerConfig::default(), own).unwrap());
    let request = ResourceRequest::new(ConsumerId::new("one").unwrap(), mem(200)).unwrap();
    let mut lease = pool.allocate(request).await.unwrap();
    let components = SystemComponents {
        clock: Arc::clone(&clock) as _,
        pool: Arc::clone(&pool) as _,
        fleet: Arc::new(One::new(&lease)),
        probes: Vec::new(),
        memory: None,
        cpu: None,
        caches: Vec::new(),
        predictor: None,
        load: None,
    };
    let optimizer = Optimizer::new(OptimizerConfig::new(PlanConfig::new(limit))).unwrap();
    optimizer.integrate(components).await.unwrap();
    optimizer.tick().await;
    lease.resize(mem(100)).unwrap();
    let text = exporter.render();
    let lines = [
        "plimsoll_ticks_total 1",
        "plimsoll_limit_bytes 524288000",
        "plimsoll_promised_bytes 209715200",
        "plimsoll_models{state=\"ready\"} 1",
        "plimsoll_decisions_total{action=\"resize_lease\",outcome=\"done\"} 1",
        "plimsoll_error_ratio 0.1",
        "plimsoll_response_seconds{quantile=\"0.99\"} 0.09",
        "plimsoll_requests_total{result=\"failed\"} 1",
        "plimsoll_component_health{component=\"pool\"} 1",
        "plimsoll_managed 1",
        "plimsoll_tick_seconds_bucket{le=\"0.00001\"} 1",
        "# HELP plimsoll_limit_bytes Memory that may be promised",
    ];
    for line in lines {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(Exporter::install().is_err(), "a process has one recorder");

    // The decision is judged, so that by then everything there is has been told once.
    for _ in 0..7 {
        clock.advance(Duration::from_secs(1));
        optimizer.tick().await;
    }
    let text = exporter.render();
    let exported = names(text.lines().filter(|line| !line.starts_with('#')));
    let dashboard = names(include_str!("../../../docs/operations/grafana.json").lines());
    assert!(dashboard.len() > 20, "{dashboard:?}");
    let missing: Vec<_> = dashboard.difference(&exported).collect();
    assert!(missing.is_empty(), "on the dashboard, and exported by nobody: {missing:?}");
    let documented = include_str!("../src/telemetry.rs");
    for name in exported.iter().filter(|name| !is_of_buckets(name)) {
        let is_there = |end| documented.contains(&format!("`{name}{end}"));
        assert!(is_there('`') || is_there('{'), "{name} is not in the table of metrics");
    }
}

/// The metrics that are named in `lines`.
fn names<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let words = lines.flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    words.filter(|word| word.starts_with("plimsoll_")).collect()
}

/// What a histogram is exported as beside its own name.
fn is_of_buckets(name: &str) -> bool {
    ["_bucket", "_sum", "_count"].iter().any(|end| name.ends_with(end))
}
