//! The loop's shell: measures, plans, applies, judges, records.

mod act;
mod contain;
mod sense;
mod series;

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{
    Alert, AlertSink, Check, Decision, IntegrateError, Integration, IntegrationStatus, KeyMetrics,
    ResourceOptimizer, ResourceVector, SystemComponents, SystemSnapshot, Timestamp,
    ValidationReport,
};

use crate::alerts::AlertBook;
use crate::config::{ConfigError, OptimizerConfig};
use crate::invariants::{check_engines, check_pool};
use crate::metrics::key_metrics;
use crate::plan::Planner;
use contain::Wards;
use series::Series;

/// Closes the loop over the parts of a system.
///
/// After [`integrate`](ResourceOptimizer::integrate), whoever owns it calls [`tick`](Self::tick)
/// as often as it wants plans to be made, typically every 100 ms, and at once when somebody begins
/// to wait. It spawns nothing.
///
/// A component that panics, or a probe that can't be read, is recorded in the status and replaced
/// by the safe static rule: the last reading, no forecast, no proposal. The loop goes on.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    sinks: Vec<Arc<dyn AlertSink>>,
    /// Taken out while a tick is under way, so that components are never called under the lock.
    running: Mutex<Option<Box<Loop>>>,
    shown: Mutex<Shown>,
}

/// What the loop carries from one tick to the next.
#[derive(Debug)]
struct Loop {
    components: SystemComponents,
    planner: Planner,
    series: Series,
    wards: Wards,
    alerts: AlertBook,
    last: Sensed,
}

/// The latest readings, which stand in when a probe fails.
#[derive(Debug, Default)]
struct Sensed {
    capacity: Vec<ResourceVector>,
    used: Vec<ResourceVector>,
    pressure: plimsoll_core_types::PressureLevel,
}

/// What [`Optimizer::monitor`](ResourceOptimizer::monitor) shows.
#[derive(Debug, Default)]
struct Shown {
    integration: Option<Integration>,
    ticks: u64,
    components: Vec<plimsoll_core_types::ComponentStatus>,
    snapshot: Option<SystemSnapshot>,
    metrics: Option<KeyMetrics>,
    decisions: VecDeque<Decision>,
    alerts: Vec<Alert>,
    checks: Vec<Check>,
    broken: u64,
    judged: (u64, u64),
    lowered: bool,
    at: Timestamp,
}

impl Optimizer {
    /// An optimizer without a system.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of its bounds.
    pub fn new(config: OptimizerConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let (running, shown) = (Mutex::new(None), Mutex::new(Shown::default()));
        Ok(Self { config, sinks: Vec::new(), running, shown })
    }

    /// The same optimizer, which tells its alerts to `sink` too.
    #[must_use]
    pub fn with_alert_sink(mut self, sink: Arc<dyn AlertSink>) -> Self {
        self.sinks.push(sink);
        self
    }

    /// Goes round once: snapshot, plan, apply, judge. Answers with the decisions made, which the
    /// status lists as well. Does nothing before there is a system, or while another call is
    /// under way.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the rest of the plan undone; the next call plans anew.
    pub async fn tick(&self) -> Vec<Decision> {
        let Some(mut turn) = Turn::begin(self) else { return Vec::new() };
        let (snapshot, traffic) = turn.state().sense(&self.config);
        let plan = turn.state().planner.plan(&snapshot);
        let mut decisions = Vec::with_capacity(plan.len());
        for planned in plan {
            let decision = turn.state().act(planned, snapshot.at, &self.config).await;
            self.record(&decision);
            decisions.push(decision);
        }
        self.show(turn.state(), snapshot, traffic.as_ref());
        decisions
    }

    /// How many times an invariant was seen broken.
    pub fn invariants_broken(&self) -> u64 {
        self.shown.lock().broken
    }

    fn record(&self, decision: &Decision) {
        let planned = &decision.planned;
        match &decision.outcome {
            Ok(_) => tracing::info!(action = %planned.action, reason = %planned.reason, "decided"),
            Err(error) => {
                tracing::warn!(action = %planned.action, reason = %planned.reason, error, "not done");
            }
        }
        let mut shown = self.shown.lock();
        if shown.decisions.len() == self.config.decisions {
            shown.decisions.pop_front();
        }
        shown.decisions.push_back(decision.clone());
    }

    /// Publishes what was seen, and tells the sinks what is new.
    fn show(
        &self,
        state: &mut Loop,
        snapshot: SystemSnapshot,
        traffic: Option<&plimsoll_core_types::LoadMetrics>,
    ) {
        let components = state.wards.statuses();
        let news = state.alerts.observe(&snapshot, &components);
        let over = !snapshot.pool.promised.fits_in(&snapshot.pool.limit);
        let mut shown = self.shown.lock();
        shown.lowered = over && (shown.lowered || lowers_limit(&shown.decisions));
        let mut checks = check_pool(&snapshot.pool, shown.lowered);
        checks.push(check_engines(&snapshot, shown.snapshot.as_ref()));
        shown.broken += checks.iter().filter(|check| !check.holds).count() as u64;
        shown.checks = checks;
        shown.ticks += 1;
        shown.at = snapshot.at;
        shown.metrics = Some(key_metrics(&snapshot, traffic));
        shown.components = components;
        shown.alerts = state.alerts.up();
        let verdicts = state.planner.verdicts();
        shown.judged = (verdicts.kept(), verdicts.rolled_back());
        shown.snapshot = Some(snapshot);
        drop(shown);
        for alert in &news {
            self.sinks.iter().for_each(|sink| sink.alert(alert));
        }
    }
}

/// True when a limit was set of late, which alone explains promises past it.
fn lowers_limit(decisions: &VecDeque<Decision>) -> bool {
    use plimsoll_core_types::Action;
    decisions
        .iter()
        .any(|d| matches!(d.planned.action, Action::SetLimit { .. }) && d.outcome.is_ok())
}

/// The loop's state while a tick has it; put back when the tick ends in whatever way.
struct Turn<'a> {
    home: &'a Mutex<Option<Box<Loop>>>,
    state: Option<Box<Loop>>,
}

impl<'a> Turn<'a> {
    fn begin(optimizer: &'a Optimizer) -> Option<Self> {
        let state = optimizer.running.lock().take()?;
        Some(Self { home: &optimizer.running, state: Some(state) })
    }

    fn state(&mut self) -> &mut Loop {
        self.state.as_mut().expect("taken only by drop")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.home.lock() = self.state.take();
    }
}

#[async_trait]
impl ResourceOptimizer for Optimizer {
    async fn integrate(&self, components: SystemComponents) -> Result<Integration, IntegrateError> {
        if self.shown.lock().integration.is_some() {
            return Err(IntegrateError::Already);
        }
        let mut state = Box::new(Loop::new(components, &self.config));
        let integration = state.inspect()?;
        self.shown.lock().integration = Some(integration.clone());
        *self.running.lock() = Some(state);
        Ok(integration)
    }

    fn validate(&self, _integration: &Integration) -> ValidationReport {
        let shown = self.shown.lock();
        let (kept, rolled_back) = shown.judged;
        let mut checks = shown.checks.clone();
        checks.push(Check {
            name: "no invariant was broken at any tick".to_owned(),
            holds: shown.broken == 0,
            detail: format!("{} broken in {} ticks", shown.broken, shown.ticks),
        });
        ValidationReport { at: shown.at, checks, judged: kept + rolled_back, kept, rolled_back }
    }

    fn monitor(&self) -> IntegrationStatus {
        let shown = self.shown.lock();
        IntegrationStatus {
            at: shown.at,
            ticks: shown.ticks,
            components: shown.components.clone(),
            snapshot: shown.snapshot.clone(),
            metrics: shown.metrics.clone(),
            decisions: shown.decisions.iter().cloned().collect(),
            alerts: shown.alerts.clone(),
        }
    }
}
