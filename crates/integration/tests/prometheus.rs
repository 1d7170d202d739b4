//! The metrics as Prometheus would scrape them, and the dashboard that shows them.

#![cfg(not(loom))]

use std::sync::Arc;

use async_trait::async_trait;
use plimsoll_core_types::{
    ActionError, ActionOutcome, Bytes, Clock, EngineSnapshot, Fleet, LoadMetrics, ManualClock,
    PlannedAction, ResourceOptimizer as _, ResourceVector, SystemComponents,
};
use plimsoll_integration::{Exporter, Optimizer, OptimizerConfig, PlanConfig};
use plimsoll_pool::{LedgerConfig, LedgerPool};

#[derive(Debug)]
struct Empty;

#[async_trait]
impl Fleet for Empty {
    fn engines(&self) -> Vec<EngineSnapshot> {
        Vec::new()
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        let ms = std::time::Duration::from_millis;
        Some(LoadMetrics {
            at: plimsoll_core_types::Timestamp::ZERO,
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

    async fn apply(&self, _: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        Ok(ActionOutcome::Done)
    }
}

#[tokio::test]
async fn a_round_is_measured_and_everything_on_the_dashboard_is_documented() {
    let exporter = Exporter::install().unwrap();
    let clock = Arc::new(ManualClock::new());
    let limit = ResourceVector::new().with_memory(Bytes::from_mib(500));
    let own = Arc::clone(&clock) as Arc<dyn Clock>;
    let pool = LedgerPool::new(limit, LedgerConfig::default(), own).unwrap();
    let components = SystemComponents {
        clock,
        pool: Arc::new(pool),
        fleet: Arc::new(Empty),
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
    let text = exporter.render();
    let lines = [
        "plimsoll_ticks_total 1",
        "plimsoll_limit_bytes 524288000",
        "plimsoll_promised_bytes 0",
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

    let dashboard = include_str!("../../../docs/operations/grafana.json");
    let documented = include_str!("../src/telemetry.rs");
    let words = dashboard.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let mut names = 0;
    for name in words.filter(|word| word.starts_with("plimsoll_")) {
        let base = name.trim_end_matches("_bucket");
        assert!(documented.contains(&format!("`{base}")), "{base} is not in the table of metrics");
        names += 1;
    }
    assert!(names > 20, "{names}");
}
