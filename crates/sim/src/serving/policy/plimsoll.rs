//! The policy of production: its ledger, its planner and its predictor, in virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{
    Action, ConsumerId, EngineSnapshot, EngineState, LeaseId, Metric, ModelId, PressureLevel,
    Priority, ResourceForecast, ResourcePredictor, ResourceRequest, ResourceVector, Sample,
    SeriesKey, SystemSnapshot, TicketId, Timestamp, UsageHistory,
};
use plimsoll_integration::{ConfigError, PlanConfig, Planner, check_pool, pool_holds};
use plimsoll_pool::ledger::{Event, Ledger, LedgerConfig, LedgerConfigError, Outcome};

use crate::serving::{Command, Happening, HostView, ModelState, ModelView, Policy};

/// How often request rates are sampled for forecasts.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// How many samples are kept.
const HISTORY: usize = 512;
/// How long a load ahead of its requests may wait for its room.
const PREWARM_WITHIN: Duration = Duration::from_secs(2);

/// Loads and evicts as production does: leases from a [`Ledger`], plans by a [`Planner`], and
/// forecasts by a [`ResourcePredictor`] where there is one.
#[derive(Debug)]
pub struct Plimsoll {
    ledger: Ledger,
    planner: Planner,
    predictor: Option<Box<dyn ResourcePredictor>>,
    leases: BTreeMap<usize, LeaseId>,
    tickets: BTreeMap<TicketId, usize>,
    series: BTreeMap<usize, Series>,
    prewarms: usize,
    decisions: usize,
    host: Option<HostView>,
    /// The limit was lowered below what was promised, and that has not been made good yet.
    lowered: bool,
}

#[derive(Debug)]
struct Series {
    history: UsageHistory,
    arrivals: u64,
    sampled: Timestamp,
    forecast: Option<ResourceForecast>,
}

/// Why the policy can't be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The ledger's config is wrong.
    #[error(transparent)]
    Ledger(#[from] LedgerConfigError),
    /// The plan's config is wrong.
    #[error(transparent)]
    Plan(#[from] ConfigError),
}

impl Plimsoll {
    /// The policy over `limit`, with everything else by default.
    ///
    /// # Errors
    ///
    /// When `limit` is zero.
    pub fn new<P: ResourcePredictor + 'static>(
        limit: ResourceVector,
        predictor: Option<P>,
    ) -> Result<Self, PolicyError> {
        Self::with_plan(PlanConfig::new(limit), predictor)
    }

    /// The policy over the budget of `plan`.
    ///
    /// # Errors
    ///
    /// When a value of `plan` is out of its bounds.
    pub fn with_plan<P: ResourcePredictor + 'static>(
        plan: PlanConfig,
        predictor: Option<P>,
    ) -> Result<Self, PolicyError> {
        Ok(Self {
            ledger: Ledger::new(plan.budget, LedgerConfig::default())?,
            planner: Planner::new(plan)?,
            predictor: predictor.map(|predictor| Box::new(predictor) as Box<dyn ResourcePredictor>),
            leases: BTreeMap::new(),
            tickets: BTreeMap::new(),
            series: BTreeMap::new(),
            prewarms: 0,
            decisions: 0,
            host: None,
            lowered: false,
        })
    }

    /// How many actions its planner has decided on.
    pub const fn decisions(&self) -> usize {
        self.decisions
    }

    /// How many loads were begun ahead of their requests.
    pub const fn prewarms(&self) -> usize {
        self.prewarms
    }

    fn request(
        &mut self,
        index: usize,
        model: &ModelView,
        priority: Priority,
        deadline: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Command> {
        let held = self.leases.contains_key(&index);
        if held || self.tickets.values().any(|waiting| *waiting == index) {
            return None;
        }
        let consumer = ConsumerId::from(&model.spec.id);
        let request = ResourceRequest::new(consumer, model.spec.amount).ok()?;
        let request = request.with_priority(priority);
        let request = match deadline {
            Some(deadline) => request.with_deadline(deadline),
            None => request,
        };
        match self.ledger.request(request, now) {
            Ok(Outcome::Granted(lease)) => {
                self.leases.insert(index, lease);
                Some(Command::Load(index))
            }
            Ok(Outcome::Waits(ticket)) => {
                self.tickets.insert(ticket, index);
                None
            }
            Err(_) => None,
        }
    }

    /// Loads whoever's turn has come.
    fn settle(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(event) = self.ledger.poll_event() {
            match event {
                Event::Granted { ticket, lease, .. } => {
                    if let Some(index) = self.tickets.remove(&ticket) {
                        self.leases.insert(index, lease);
                        commands.push(Command::Load(index));
                    }
                }
                Event::Refused { ticket, .. } => {
                    self.tickets.remove(&ticket);
                }
                _ => {}
            }
        }
        commands
    }

    fn plan(&mut self, models: &[ModelView], now: Timestamp) -> Vec<Command> {
        self.sample(models, now);
        let snapshot = self.snapshot(models, now);
        let mut commands = Vec::new();
        for planned in self.planner.plan(&snapshot) {
            self.decisions += 1;
            match planned.action {
                Action::Evict { model, beneficiary } => {
                    let Some(index) = find(models, &model) else { continue };
                    if let Some(lease) = self.leases.get(&index) {
                        // A lease that ended in the meantime has nothing left to reclaim.
                        let _ = self.ledger.begin_reclaim(*lease, beneficiary, now);
                    }
                    commands.push(Command::Evict(index));
                }
                Action::Prewarm { model } => {
                    let Some(index) = find(models, &model) else { continue };
                    self.prewarms += 1;
                    let deadline = Some(now + PREWARM_WITHIN);
                    let priority = Priority::BestEffort;
                    commands.extend(self.request(index, &models[index], priority, deadline, now));
                }
                Action::Replace { model } => {
                    commands.extend(find(models, &model).map(Command::Replace));
                }
                Action::SetLimit { limit } => {
                    self.ledger.set_limit(limit, now);
                    self.lowered = !self.ledger.promised().fits_in(&limit);
                }
                _ => {}
            }
        }
        commands
    }

    fn sample(&mut self, models: &[ModelView], now: Timestamp) {
        let Some(predictor) = &self.predictor else { return };
        for (index, model) in models.iter().enumerate() {
            let series = self.series.entry(index).or_insert_with(|| Series::new(model));
            let elapsed = now.saturating_since(series.sampled);
            if elapsed < SAMPLE_EVERY {
                continue;
            }
            let rate = (model.arrivals - series.arrivals) as f64 / elapsed.as_secs_f64();
            series.history.push(Sample { at: now, value: Some(rate) });
            (series.arrivals, series.sampled) = (model.arrivals, now);
            series.forecast = Some(predictor.forecast(&series.history));
        }
    }

    fn snapshot(&self, models: &[ModelView], now: Timestamp) -> SystemSnapshot {
        let forecasts = self.series.values().filter_map(|series| series.forecast.clone());
        let engine = |(index, model): (usize, &ModelView)| self.engine(index, model, now);
        SystemSnapshot {
            at: now,
            capacity: self.host.map_or(ResourceVector::ZERO, |host| host.capacity),
            used: self.host.map_or(ResourceVector::ZERO, |host| host.used),
            pool: self.ledger.status(now),
            engines: models.iter().enumerate().map(engine).collect(),
            forecasts: forecasts.collect(),
            pressure: PressureLevel::Calm,
            threads: None,
            strategies: Vec::new(),
        }
    }

    fn engine(&self, index: usize, model: &ModelView, now: Timestamp) -> EngineSnapshot {
        let lease = self.leases.get(&index).copied();
        let amount = model.spec.amount;
        let held = if lease.is_some() { amount } else { ResourceVector::ZERO };
        EngineSnapshot {
            model: model.spec.id.clone(),
            state: self.state(index, model),
            priority: Priority::Normal,
            pinned: false,
            declared: amount,
            believed: amount,
            lease,
            promised: held,
            used: model.used,
            peak: model.used,
            samples: 0,
            slots: model.spec.slots,
            threads: 0,
            in_progress: model.in_progress,
            waiting: model.queued,
            arrivals: model.arrivals,
            last_used: model.last_used,
            ready_since: model.ready_since,
            load_time: model.spec.load_time,
            silent: now.saturating_since(model.answered),
            missed_probes: model.missed_probes,
        }
    }

    fn state(&self, index: usize, model: &ModelView) -> EngineState {
        match model.state {
            ModelState::Stopped if self.tickets.values().any(|w| *w == index) => {
                EngineState::Waiting
            }
            ModelState::Stopped => EngineState::Stopped,
            ModelState::Loading => EngineState::Starting,
            ModelState::Ready => EngineState::Ready,
            ModelState::Draining => EngineState::Draining,
        }
    }
}

impl Series {
    fn new(model: &ModelView) -> Self {
        let key =
            SeriesKey { subject: ConsumerId::from(&model.spec.id), metric: Metric::RequestRate };
        let history = UsageHistory::new(key, SAMPLE_EVERY, HISTORY);
        Self { history, arrivals: 0, sampled: Timestamp::ZERO, forecast: None }
    }
}

impl Policy for Plimsoll {
    fn decide(
        &mut self,
        what: Happening,
        models: &[ModelView],
        _: &ResourceVector,
        now: Timestamp,
    ) -> Vec<Command> {
        self.ledger.expire(now);
        let mut commands = Vec::new();
        match what {
            Happening::Tick => commands.extend(self.plan(models, now)),
            Happening::Stopped(index) | Happening::Died(index) => {
                if let Some(lease) = self.leases.remove(&index) {
                    // Its lease has no time to live, so the ledger knows it still.
                    let _ = self.ledger.release(lease, now);
                }
            }
            Happening::Arrived(_) | Happening::Completed(_) | Happening::Loaded(_) => {}
        }
        // What was refused just now has no place in the line any more, and asks for a new one.
        commands.extend(self.settle());
        for (index, model) in models.iter().enumerate() {
            if model.state == ModelState::Stopped && model.queued > 0 {
                commands.extend(self.request(index, model, Priority::Normal, None, now));
            }
        }
        commands.extend(self.settle());
        self.lowered &= !self.ledger.promised().fits_in(self.ledger.limit());
        commands
    }

    fn see_host(&mut self, host: &HostView) {
        self.host = Some(*host);
    }

    fn audit(&self, models: &[ModelView], now: Timestamp) -> Vec<String> {
        let status = self.ledger.status(now);
        let mut findings = Vec::new();
        if !pool_holds(&status, self.lowered) {
            let broken = check_pool(&status, self.lowered).into_iter().filter(|check| !check.holds);
            findings.extend(broken.map(|check| format!("{}: {}", check.name, check.detail)));
        }
        for (index, model) in models.iter().enumerate() {
            let holds = model.state != ModelState::Stopped;
            if holds != self.leases.contains_key(&index) {
                findings.push(format!("{} is {:?}, lease: {}", model.spec.id, model.state, !holds));
            }
            let waits = self.tickets.values().any(|waiting| *waiting == index);
            let fits = model.spec.amount.fits_in(self.ledger.limit());
            if !holds && model.queued > 0 && !waits && fits {
                findings.push(format!("{} is asked for, and waits for no lease", model.spec.id));
            }
        }
        findings
    }
}

fn find(models: &[ModelView], id: &ModelId) -> Option<usize> {
    models.iter().position(|model| model.spec.id == *id)
}
