//! What somebody should look at, raised and ended with hysteresis.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{
    Alert, Check, ComponentStatus, EngineState, Health, ModelId, PressureLevel, Priority,
    ServiceLevel, Severity, SystemSnapshot, Timestamp,
};

/// A condition must hold this long before its alert is raised.
const RAISE_AFTER: Duration = Duration::from_millis(500);
/// A condition must be absent this long before its alert ends.
const END_AFTER: Duration = Duration::from_secs(2);
/// Somebody who waits longer than this is worth an alert.
const LONG_WAIT: Duration = Duration::from_secs(10);

/// What is not served as it was asked for.
pub(crate) struct Reduced<'a> {
    pub(crate) levels: &'a BTreeMap<ModelId, ServiceLevel>,
    pub(crate) refused_below: Option<Priority>,
}

/// A condition that holds now.
struct Condition {
    name: &'static str,
    subject: String,
    severity: Severity,
    cause: String,
}

/// The conditions seen of late, and the alerts that are up. Holds at most one entry for each
/// model, component and waiter.
#[derive(Debug, Default)]
pub(crate) struct AlertBook {
    seen: BTreeMap<(&'static str, String), Seen>,
}

#[derive(Debug)]
struct Seen {
    first: Timestamp,
    last: Timestamp,
    alert: Alert,
    raised: bool,
}

impl AlertBook {
    /// Looks at the system, and answers with the alerts that were raised or ended just now.
    pub(crate) fn observe(
        &mut self,
        snapshot: &SystemSnapshot,
        components: &[ComponentStatus],
        checks: &[Check],
        reduced: &Reduced<'_>,
    ) -> Vec<Alert> {
        let now = snapshot.at;
        let found = conditions(snapshot, components);
        for condition in found.into_iter().chain(broken(checks)).chain(degraded(reduced)) {
            self.note(condition, now);
        }
        let mut news = Vec::new();
        for seen in self.seen.values_mut() {
            if !seen.raised && seen.last.saturating_since(seen.first) >= RAISE_AFTER {
                seen.raised = true;
                news.push(seen.alert.clone());
            }
        }
        self.seen.retain(|_, seen| {
            let over = now.saturating_since(seen.last) >= END_AFTER;
            if over && seen.raised {
                seen.alert.ended = Some(now);
                news.push(seen.alert.clone());
            }
            !over
        });
        news
    }

    fn note(&mut self, condition: Condition, now: Timestamp) {
        let Condition { name, subject, severity, cause } = condition;
        let seen = self.seen.entry((name, subject.clone())).or_insert_with(|| Seen {
            first: now,
            last: now,
            raised: false,
            alert: Alert {
                name: name.to_owned(),
                subject,
                severity,
                cause: String::new(),
                runbook: name.replace('_', "-"),
                since: now,
                ended: None,
            },
        });
        seen.last = now;
        seen.alert.severity = severity;
        seen.alert.cause = cause;
    }

    /// The alerts that are up.
    pub(crate) fn up(&self) -> Vec<Alert> {
        self.seen.values().filter(|seen| seen.raised).map(|seen| seen.alert.clone()).collect()
    }
}

fn conditions(snapshot: &SystemSnapshot, components: &[ComponentStatus]) -> Vec<Condition> {
    let mut found = Vec::new();
    if snapshot.pressure >= PressureLevel::High {
        let critical = snapshot.pressure == PressureLevel::Critical;
        found.push(Condition {
            name: "memory_pressure",
            subject: "host".to_owned(),
            severity: if critical { Severity::Critical } else { Severity::Warning },
            cause: format!("{} of {} used", snapshot.used.memory(), snapshot.capacity.memory()),
        });
    }
    for engine in &snapshot.engines {
        if engine.state == EngineState::Unresponsive {
            found.push(Condition {
                name: "engine_unresponsive",
                subject: engine.model.to_string(),
                severity: Severity::Warning,
                cause: format!("{} health probes missed in a row", engine.missed_probes),
            });
        }
    }
    for waiter in &snapshot.pool.waiters {
        let waited = snapshot.at.saturating_since(waiter.since);
        if waited >= LONG_WAIT {
            found.push(Condition {
                name: "long_wait",
                subject: waiter.consumer.to_string(),
                severity: Severity::Warning,
                cause: format!("has waited {:.0} s for {}", waited.as_secs_f64(), waiter.amount),
            });
        }
    }
    for component in components {
        let (name, severity, why) = match &component.health {
            Health::Healthy => continue,
            Health::Degraded { why } => ("component_degraded", Severity::Warning, why),
            Health::Failed { why } => ("component_failed", Severity::Critical, why),
        };
        let (subject, cause) = (component.kind.to_string(), why.clone());
        found.push(Condition { name, subject, severity, cause });
    }
    found
}

fn broken(checks: &[Check]) -> impl Iterator<Item = Condition> {
    checks.iter().filter(|check| !check.holds).map(|check| Condition {
        name: "invariant_broken",
        subject: check.name.clone(),
        severity: Severity::Critical,
        cause: check.detail.clone(),
    })
}

fn degraded(reduced: &Reduced<'_>) -> impl Iterator<Item = Condition> {
    let condition = |subject: String, cause| {
        let (name, severity) = ("service_degraded", Severity::Warning);
        Condition { name, subject, severity, cause }
    };
    let refused = reduced
        .refused_below
        .map(|below| condition("requests".to_owned(), format!("refused below priority {below}")));
    let levels = reduced.levels.iter();
    let degraded =
        levels.map(move |(m, level)| condition(m.to_string(), format!("served {level}")));
    degraded.chain(refused)
}
