//! The loop's shell: measures, plans, applies, judges, records.

mod act;
mod contain;
mod crew;
mod inspect;
mod log;
mod sense;
mod series;
mod stand_in;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_cache::residency::Groups;
use plimsoll_core_types::{
    Action, Alert, AlertSink, Check, Decision, EngineSnapshot, IntegrateError, Integration,
    IntegrationStatus, KeyMetrics, LoadMetrics, ModelId, Priority, ResourceOptimizer,
    ResourceStatus, ResourceVector, ServiceLevel, SystemComponents, SystemSnapshot, Timestamp,
    ValidationReport,
};
use tracing::Instrument as _;

use crate::alerts::{AlertBook, Reduced};
use crate::config::{ConfigError, OptimizerConfig};
use crate::invariants::{check_engines, check_pool};
use crate::metrics::key_metrics;
use crate::plan::Planner;
use crate::resilience::Watchdog;
use crate::telemetry;
use act::Round;
use contain::Wards;
use log::DecisionLog;
use series::Series;

/// Closes the loop over the parts of a system.
///
/// After [`integrate`](ResourceOptimizer::integrate), whoever owns it calls [`tick`](Self::tick)
/// as often as it wants plans to be made, typically every 100 ms, and at once when somebody begins
/// to wait. It spawns nothing.
///
/// A component that panics, hangs or dawdles, or a probe that can't be read, is recorded in the
/// status and replaced by the safe static rule: the last reading, no forecast, no proposal. The
/// loop goes on. Should the loop itself be lost, [`stand_in`](Self::stand_in) puts the static rule
/// into force, if another task calls it now and then.
///
/// Every decision is kept with its reason, what is expected of it, and later what it was worth:
/// [`why`](Self::why) tells.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    sinks: Vec<Arc<dyn AlertSink>>,
    /// Taken out while a tick is under way, so that components are never called under the lock.
    running: Mutex<Option<Box<Loop>>>,
    shown: Mutex<Shown>,
    /// What models belong to from the next round on, where that is news.
    regrouped: Mutex<Option<Groups>>,
    /// There once there is a system.
    outside: OnceLock<Outside>,
}

/// What can be reached while the loop itself hangs.
#[derive(Debug)]
struct Outside {
    components: SystemComponents,
    watchdog: Arc<Watchdog>,
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
    /// Lists of an earlier snapshot, to be written over by those who made them: a thousand models
    /// fill a megabyte, which is not handed out and back ten times a second.
    spare: Spare,
}

#[derive(Debug, Default)]
struct Spare {
    engines: Option<Vec<EngineSnapshot>>,
    pool: Option<ResourceStatus>,
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
    log: DecisionLog,
    /// Models that are not served in full.
    levels: BTreeMap<ModelId, ServiceLevel>,
    /// Requests below this are refused; none where nobody is.
    refused_below: Option<Priority>,
    /// True while the static rule stands in for the loop.
    unattended: bool,
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
        let (regrouped, outside) = (Mutex::new(None), OnceLock::new());
        Ok(Self { config, sinks: Vec::new(), running, shown, regrouped, outside })
    }

    /// Models belong to `groups` from the next round on, instead of those of the config.
    pub fn set_groups(&self, groups: Groups) {
        *self.regrouped.lock() = Some(groups);
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
        let Some(turn) = Turn::begin(self) else { return Vec::new() };
        self.go_round(turn).instrument(tracing::debug_span!("plimsoll.tick")).await
    }

    async fn go_round(&self, mut turn: Turn<'_>) -> Vec<Decision> {
        let clock = Arc::clone(&turn.state().components.clock);
        let start = clock.now();
        if std::mem::take(&mut self.shown.lock().unattended) {
            // Everybody was put back to full service meanwhile.
            turn.state().planner.reset_services();
        }
        let Some((snapshot, traffic)) = turn.state().sense(&self.config) else {
            self.show_blind(turn.state(), start);
            return Vec::new();
        };
        if let Some(groups) = self.regrouped.lock().take() {
            turn.state().planner.set_groups(groups);
        }
        let plan = turn.state().planner.plan(&snapshot);
        let expected = turn.state().planner.expected().to_vec();
        let judged = turn.state().planner.take_judged();
        self.judge(&judged);
        let mut decisions = Vec::with_capacity(plan.len());
        let mut round = Round::new(&self.config);
        for (planned, effect) in plan.into_iter().zip(expected) {
            let (kind, subject) = (planned.action.kind(), planned.action.subject());
            let span = tracing::debug_span!("plimsoll.action", kind, subject);
            let act = turn.state().act(planned, effect, snapshot.at, &mut round);
            let decision = act.instrument(span).await;
            self.record(&decision);
            decisions.push(decision);
        }
        self.show(turn.state(), snapshot, traffic.as_ref());
        let end = clock.now();
        telemetry::ticked(end.saturating_since(start));
        self.beat(end);
        decisions
    }

    /// Shows `look` what was last seen, without a copy of it; none before the first round. It must
    /// be quick: the loop waits for it where it publishes.
    pub fn with_snapshot<T>(&self, look: impl FnOnce(Option<&SystemSnapshot>) -> T) -> T {
        look(self.shown.lock().snapshot.as_ref())
    }

    /// How many times an invariant was seen broken.
    pub fn invariants_broken(&self) -> u64 {
        self.shown.lock().broken
    }

    /// The decisions that had to do with `subject`, which may be a model, a consumer, a cache, or
    /// `pool`: the newest last, of as many as the config says are kept.
    pub fn decisions_about(&self, subject: &str) -> Vec<Decision> {
        self.shown.lock().log.about(subject).cloned().collect()
    }

    /// The same as [`decisions_about`](Self::decisions_about), one line each for people: what was
    /// decided when, why, what came of it, what was expected and what was seen.
    pub fn why(&self, subject: &str) -> Vec<String> {
        self.shown.lock().log.about(subject).map(log::explain).collect()
    }

    fn judge(&self, judged: &[crate::verdicts::Judged]) {
        let mut shown = self.shown.lock();
        for one in judged {
            tracing::debug!(kind = one.kind, subject = one.subject, kept = one.seen.kept, "judged");
            telemetry::judged(one);
            shown.log.judge(one);
        }
    }

    fn record(&self, decision: &Decision) {
        let planned = &decision.planned;
        match &decision.outcome {
            Ok(_) => tracing::info!(action = %planned.action, reason = %planned.reason, "decided"),
            Err(error) => {
                tracing::warn!(action = %planned.action, reason = %planned.reason, error, "not done");
            }
        }
        telemetry::decided(decision);
        let mut shown = self.shown.lock();
        if let (Action::Degrade { model, to }, Ok(_)) = (&planned.action, &decision.outcome) {
            match to {
                ServiceLevel::Full => shown.levels.remove(model),
                level => shown.levels.insert(model.clone(), level.clone()),
            };
        }
        if let (Action::Shed { below }, Ok(_)) = (&planned.action, &decision.outcome) {
            shown.refused_below = *below;
        }
        shown.log.push(decision.clone(), self.config.decisions);
    }

    /// Publishes what was seen, and tells the sinks what is new.
    fn show(&self, state: &mut Loop, snapshot: SystemSnapshot, traffic: Option<&LoadMetrics>) {
        let components = state.wards.statuses();
        let over = !snapshot.pool.promised.fits_in(&snapshot.pool.limit);
        let mut shown = self.shown.lock();
        shown.lowered = over && (shown.lowered || lowers_limit(&shown.log));
        let mut checks = check_pool(&snapshot.pool, shown.lowered);
        checks.push(check_engines(&snapshot, shown.snapshot.as_ref()));
        let broken = checks.iter().filter(|check| !check.holds).count();
        let reduced = Reduced { levels: &shown.levels, refused_below: shown.refused_below };
        let news = state.alerts.observe(&snapshot, &components, &checks, &reduced);
        shown.broken += broken as u64;
        shown.checks = checks;
        shown.ticks += 1;
        shown.at = snapshot.at;
        shown.measure(&snapshot, traffic);
        if let Some(metrics) = &shown.metrics {
            telemetry::seen(&snapshot, metrics, broken);
        }
        shown.components = components;
        shown.alerts = state.alerts.up();
        telemetry::healths(&shown.components, &shown.alerts);
        let verdicts = state.planner.verdicts();
        shown.judged = (verdicts.kept(), verdicts.rolled_back());
        let before = shown.snapshot.replace(snapshot);
        let (engines, pool) = before.map(|before| (before.engines, before.pool)).unzip();
        state.spare = Spare { engines, pool };
        drop(shown);
        for alert in &news {
            self.sinks.iter().for_each(|sink| sink.alert(alert));
        }
    }

    /// Publishes how the components are, where nothing else could be seen. The loop has not gone
    /// round: the watchdog is not told that it has.
    fn show_blind(&self, state: &Loop, at: Timestamp) {
        let mut shown = self.shown.lock();
        shown.at = at;
        shown.components = state.wards.statuses();
        telemetry::healths(&shown.components, &shown.alerts);
    }
}

impl Shown {
    /// Takes the key figures; those of requests stay what they were between two samples.
    fn measure(&mut self, snapshot: &SystemSnapshot, traffic: Option<&LoadMetrics>) {
        let mut metrics = key_metrics(snapshot, traffic);
        match (traffic, self.metrics.take()) {
            (Some(traffic), _) => telemetry::traffic(traffic, &metrics),
            (None, Some(last)) => {
                metrics.error_rate = last.error_rate;
                metrics.latency_p50 = last.latency_p50;
                metrics.latency_p99 = last.latency_p99;
            }
            (None, None) => {}
        }
        self.metrics = Some(metrics);
    }
}

/// True when a limit was set of late, which alone explains promises past it.
fn lowers_limit(log: &DecisionLog) -> bool {
    log.iter().any(|d| matches!(d.planned.action, Action::SetLimit { .. }) && d.outcome.is_ok())
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
        let mut state = Box::new(Loop::new(components.clone(), &self.config));
        let integration = state.inspect()?;
        let watchdog = Watchdog::new(self.config.lost_after, components.clock.now());
        let watchdog = Arc::new(watchdog.expect("checked with the whole config"));
        if self.outside.set(Outside { components, watchdog }).is_err() {
            return Err(IntegrateError::Already);
        }
        telemetry::describe();
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
            decisions: shown.log.iter().cloned().collect(),
            alerts: shown.alerts.clone(),
        }
    }
}
