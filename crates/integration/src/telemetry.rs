//! What monitoring systems read, through the `metrics` facade: counters, gauges and histograms in
//! base units, whatever recorder the program has installed, and nothing where it has none.
//!
//! | name | is |
//! |---|---|
//! | `plimsoll_ticks_total` | times the loop went round |
//! | `plimsoll_tick_seconds` | how long a round took |
//! | `plimsoll_component_seconds{component}` | how long a component took to answer |
//! | `plimsoll_component_health{component}` | 1 healthy, 0.5 degraded, 0 failed |
//! | `plimsoll_decisions_total{action,outcome}` | decisions; outcome `done`, `begun`, `moot` or `failed` |
//! | `plimsoll_effects_total{action,verdict}` | decisions judged; verdict `kept` or `rolled_back` |
//! | `plimsoll_capacity_bytes`, `plimsoll_used_bytes` | memory of the host |
//! | `plimsoll_limit_bytes`, `plimsoll_promised_bytes` | memory that may be and is promised |
//! | `plimsoll_allocation_efficiency_ratio` | used ÷ promised |
//! | `plimsoll_promised_ratio` | promised ÷ limit |
//! | `plimsoll_utilization_ratio` | used ÷ capacity |
//! | `plimsoll_error_ratio` | failed ÷ all requests of the last sample |
//! | `plimsoll_response_seconds{quantile}` | response times of the last sample, 0.5 and 0.99 |
//! | `plimsoll_requests_total{result}` | requests; result `completed`, `failed` or `shed` |
//! | `plimsoll_models{state}` | models by the state of their engine |
//! | `plimsoll_waiters`, `plimsoll_leases` | who waits for a lease, and who has one |
//! | `plimsoll_alerts{severity}` | alerts that are up |
//! | `plimsoll_invariants_broken_total` | invariants that a round found broken |
//! | `plimsoll_managed` | 1 while the loop decides, 0 while the static rule holds |

#[cfg(not(feature = "metrics"))]
pub(crate) use silent::*;
#[cfg(feature = "metrics")]
pub(crate) use spoken::*;

#[cfg(feature = "metrics")]
mod spoken {
    use std::time::Duration;

    use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
    use plimsoll_core_types::{
        ActionOutcome, Alert, ComponentKind, ComponentStatus, Decision, EngineState, Health,
        KeyMetrics, LoadMetrics, Severity, SystemSnapshot,
    };

    use crate::verdicts::Judged;

    /// Tells the recorder the units.
    pub(crate) fn describe() {
        describe_counter!("plimsoll_ticks_total", "Times the loop went round");
        describe_histogram!("plimsoll_tick_seconds", Unit::Seconds, "How long a round took");
        describe_histogram!(
            "plimsoll_component_seconds",
            Unit::Seconds,
            "How long a component took to answer"
        );
        describe_gauge!("plimsoll_component_health", "1 healthy, 0.5 degraded, 0 failed");
        describe_counter!("plimsoll_decisions_total", "Decisions by action and outcome");
        describe_counter!("plimsoll_effects_total", "Decisions judged by action and verdict");
        for (name, what) in [
            ("plimsoll_capacity_bytes", "Memory that the host has"),
            ("plimsoll_used_bytes", "Memory that everybody on the host uses"),
            ("plimsoll_limit_bytes", "Memory that may be promised"),
            ("plimsoll_promised_bytes", "Memory that leases hold"),
        ] {
            describe_gauge!(name, Unit::Bytes, what);
        }
        describe_gauge!("plimsoll_response_seconds", Unit::Seconds, "Response times by quantile");
        describe_counter!("plimsoll_requests_total", "Requests by result");
        describe_counter!("plimsoll_invariants_broken_total", "Invariants found broken");
    }

    pub(crate) fn component_took(kind: ComponentKind, took: Duration) {
        metrics::histogram!("plimsoll_component_seconds", "component" => component(kind))
            .record(took.as_secs_f64());
    }

    pub(crate) fn ticked(took: Duration) {
        counter!("plimsoll_ticks_total").increment(1);
        metrics::histogram!("plimsoll_tick_seconds").record(took.as_secs_f64());
    }

    pub(crate) fn decided(decision: &Decision) {
        let outcome = match decision.outcome {
            Ok(ActionOutcome::Done) => "done",
            Ok(ActionOutcome::Begun) => "begun",
            Ok(ActionOutcome::Moot) => "moot",
            Err(_) => "failed",
        };
        let action = decision.planned.action.kind();
        counter!("plimsoll_decisions_total", "action" => action, "outcome" => outcome).increment(1);
    }

    pub(crate) fn judged(judged: &Judged) {
        let verdict = if judged.seen.kept { "kept" } else { "rolled_back" };
        counter!("plimsoll_effects_total", "action" => judged.kind, "verdict" => verdict)
            .increment(1);
    }

    pub(crate) fn managed(managed: bool) {
        gauge!("plimsoll_managed").set(f64::from(u8::from(managed)));
    }

    pub(crate) fn seen(snapshot: &SystemSnapshot, key: &KeyMetrics, broken: usize) {
        gauge!("plimsoll_capacity_bytes").set(snapshot.capacity.memory().as_f64());
        gauge!("plimsoll_used_bytes").set(snapshot.used.memory().as_f64());
        gauge!("plimsoll_limit_bytes").set(snapshot.pool.limit.memory().as_f64());
        gauge!("plimsoll_promised_bytes").set(snapshot.pool.promised.memory().as_f64());
        gauge!("plimsoll_allocation_efficiency_ratio").set(key.allocation_efficiency.get());
        gauge!("plimsoll_promised_ratio").set(key.promised_share.get());
        gauge!("plimsoll_utilization_ratio").set(key.utilization.get());
        gauge!("plimsoll_waiters").set(snapshot.pool.waiters.len() as f64);
        gauge!("plimsoll_leases").set(snapshot.pool.held as f64);
        let mut counts = [0_u32; STATES.len()];
        for engine in &snapshot.engines {
            counts[engine.state as usize] += 1;
        }
        for (state, name) in STATES {
            gauge!("plimsoll_models", "state" => name).set(f64::from(counts[state as usize]));
        }
        counter!("plimsoll_invariants_broken_total").increment(broken as u64);
    }

    pub(crate) fn traffic(traffic: &LoadMetrics, key: &KeyMetrics) {
        gauge!("plimsoll_error_ratio").set(key.error_rate.get());
        for (quantile, latency) in [("0.5", key.latency_p50), ("0.99", key.latency_p99)] {
            if let Some(latency) = latency {
                gauge!("plimsoll_response_seconds", "quantile" => quantile)
                    .set(latency.as_secs_f64());
            }
        }
        let results =
            [("completed", traffic.completed), ("failed", traffic.failed), ("shed", traffic.shed)];
        for (result, count) in results {
            counter!("plimsoll_requests_total", "result" => result).increment(count);
        }
    }

    pub(crate) fn healths(components: &[ComponentStatus], alerts: &[Alert]) {
        for status in components {
            let health = match status.health {
                Health::Healthy => 1.0,
                Health::Degraded { .. } => 0.5,
                Health::Failed { .. } => 0.0,
            };
            gauge!("plimsoll_component_health", "component" => component(status.kind)).set(health);
        }
        let severities = [
            (Severity::Info, "info"),
            (Severity::Warning, "warning"),
            (Severity::Critical, "critical"),
        ];
        for (severity, name) in severities {
            let up = alerts.iter().filter(|alert| alert.severity == severity).count();
            gauge!("plimsoll_alerts", "severity" => name).set(up as f64);
        }
    }

    const STATES: [(EngineState, &str); 6] = [
        (EngineState::Stopped, "stopped"),
        (EngineState::Waiting, "waiting"),
        (EngineState::Starting, "starting"),
        (EngineState::Ready, "ready"),
        (EngineState::Draining, "draining"),
        (EngineState::Unresponsive, "unresponsive"),
    ];

    const fn component(kind: ComponentKind) -> &'static str {
        match kind {
            ComponentKind::Pool => "pool",
            ComponentKind::Fleet => "fleet",
            ComponentKind::Probe => "probe",
            ComponentKind::Memory => "memory",
            ComponentKind::Cpu => "cpu",
            ComponentKind::Cache => "cache",
            ComponentKind::Predictor => "predictor",
            ComponentKind::Load => "load",
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod silent {
    use std::time::Duration;

    use plimsoll_core_types::{
        Alert, ComponentKind, ComponentStatus, Decision, KeyMetrics, LoadMetrics, SystemSnapshot,
    };

    use crate::verdicts::Judged;

    pub(crate) const fn describe() {}
    pub(crate) const fn component_took(_: ComponentKind, _: Duration) {}
    pub(crate) const fn ticked(_: Duration) {}
    pub(crate) const fn decided(_: &Decision) {}
    pub(crate) const fn judged(_: &Judged) {}
    pub(crate) const fn managed(_: bool) {}
    pub(crate) const fn seen(_: &SystemSnapshot, _: &KeyMetrics, _: usize) {}
    pub(crate) const fn traffic(_: &LoadMetrics, _: &KeyMetrics) {}
    pub(crate) const fn healths(_: &[ComponentStatus], _: &[Alert]) {}
}
