//! The load manager: balancer, admission, forecast and alerts together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{
    Alert, Assignment, Clock, LoadChange, LoadDistribution, LoadForecast, LoadManager, LoadMetrics,
    LoadTrend, Ratio, Reason, ResourceForecast, ResourcePredictor, Severity,
};
use serde::{Deserialize, Serialize};

use crate::admit::Climb;
use crate::alert::{Alerts, Latch};
use crate::assign::assign;
use crate::balance::Standing;
use crate::trend;
use crate::{Admission, Balancer};

/// How a [`LoadService`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadConfig {
    /// Permits for each slot of the balancer's open backends. More than one lets requests wait at
    /// backends, less leaves slots idle. Taken only where the balancer has backends; default 1.
    pub permits_per_slot: Ratio,
    /// A forecast that reaches this share of capacity raises an alert. Default 90%.
    pub saturation: Ratio,
}

impl Default for LoadConfig {
    fn default() -> Self {
        Self { permits_per_slot: Ratio::ONE, saturation: Ratio::saturating(0.9) }
    }
}

/// A [`LoadManager`] over one balancer and one admission.
#[derive(Debug)]
pub struct LoadService {
    balancer: Arc<Balancer>,
    admission: Arc<Admission>,
    predictor: Option<Arc<dyn ResourcePredictor>>,
    clock: Arc<dyn Clock>,
    config: LoadConfig,
    floor: usize,
    climb: Mutex<Climb>,
    objectives: Option<Arc<Alerts>>,
    /// One for each series; see [`MOST_SERIES`].
    saturated: Mutex<BTreeMap<String, Latch>>,
}

/// Series whose saturation alert is up are remembered, so many of them at most.
const MOST_SERIES: usize = 256;
/// Load must have been away from saturation for this long before that alert ends.
const SATURATION_HOLDS: Duration = Duration::from_secs(30);

impl LoadService {
    /// The manager of `balancer` and `admission`. Without a predictor, forecasts are the last
    /// value with the spread that was seen.
    pub fn new(
        balancer: Arc<Balancer>,
        admission: Arc<Admission>,
        predictor: Option<Arc<dyn ResourcePredictor>>,
        clock: Arc<dyn Clock>,
        config: LoadConfig,
    ) -> Self {
        let floor = admission.limit();
        let climb = Mutex::new(Climb::default());
        let saturated = Mutex::default();
        Self {
            balancer,
            admission,
            predictor,
            clock,
            config,
            floor,
            climb,
            objectives: None,
            saturated,
        }
    }

    /// The same manager, whose forecasts name the alerts of `objectives` too.
    #[must_use]
    pub fn with_alerts(mut self, objectives: Arc<Alerts>) -> Self {
        self.objectives = Some(objectives);
        self
    }

    /// What watches objectives, where something does.
    pub fn alerts(&self) -> Option<&Arc<Alerts>> {
        self.objectives.as_ref()
    }

    /// The balancer.
    pub fn balancer(&self) -> &Arc<Balancer> {
        &self.balancer
    }

    /// The admission.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// Slots of the backends that take requests; none without backends.
    fn open_slots(&self) -> Option<usize> {
        let backends = self.balancer.backends();
        let open = backends.iter().filter(|backend| backend.standing == Standing::Open);
        (!backends.is_empty()).then(|| open.map(|backend| backend.slots).sum())
    }

    fn predicted(&self, trend: &LoadTrend) -> ResourceForecast {
        let predicted = self.predictor.as_ref().map(|predictor| predictor.forecast(&trend.history));
        let predicted = predicted.filter(|forecast| !forecast.horizons.is_empty());
        predicted.unwrap_or_else(|| trend::last_value(&trend.history, self.clock.now()))
    }

    /// The alert on load that is at its line or about to reach it: up at once, and over once that
    /// has not been so for a while.
    fn saturation(
        &self,
        trend: &LoadTrend,
        forecast: &ResourceForecast,
        saturated_in: Option<Duration>,
    ) -> Option<Alert> {
        let now = self.clock.now();
        let subject = trend.history.key().to_string();
        let found = self.saturated(trend, forecast, saturated_in);
        let mut latches = self.saturated.lock();
        if found.is_none() && !latches.contains_key(&subject) {
            return None;
        }
        if latches.len() >= MOST_SERIES && !latches.contains_key(&subject) {
            latches.pop_first();
        }
        let latch = latches.entry(subject.clone()).or_default();
        let since = latch.step(found.is_some(), found.is_none(), SATURATION_HOLDS, now);
        let Some(since) = since else {
            latches.remove(&subject);
            return None;
        };
        let (severity, cause) = found.unwrap_or_else(|| {
            (Severity::Warning, format!("was at the line of {:.1} just now", trend.capacity))
        });
        let (name, runbook) = ("load_saturation".to_owned(), "load-saturation".to_owned());
        Some(Alert { name, subject, severity, cause, runbook, since, ended: None })
    }

    fn saturated(
        &self,
        trend: &LoadTrend,
        forecast: &ResourceForecast,
        saturated_in: Option<Duration>,
    ) -> Option<(Severity, String)> {
        let line = trend.capacity * self.config.saturation.get();
        if !(line.is_finite() && line > 0.0) {
            return None;
        }
        let last = trend.history.iter().rev().find_map(|sample| sample.value)?;
        let reaching = forecast.horizons.iter().find(|horizon| horizon.quantiles.at(0.9) >= line);
        if last >= line {
            Some((Severity::Critical, format!("{last:.1} of {:.1} now", trend.capacity)))
        } else if let Some(horizon) = reaching {
            let (value, ahead) = (horizon.quantiles.at(0.9), horizon.horizon.as_secs_f64());
            let cause = format!("{value:.1} of {:.1} within {ahead:.0} s at 90%", trend.capacity);
            Some((Severity::Warning, cause))
        } else {
            let ahead = saturated_in?.as_secs_f64();
            let cause = format!("{last:.1} of {:.1} now, all within {ahead:.0} s", trend.capacity);
            Some((Severity::Warning, cause))
        }
    }
}

impl LoadManager for LoadService {
    fn balance(&self, distribution: &LoadDistribution) -> Assignment {
        assign(distribution)
    }

    fn optimize(&self, metrics: &LoadMetrics) -> LoadChange {
        let limit_from = self.admission.limit();
        let (to, reason) = match self.open_slots() {
            Some(slots) => {
                let permits = slots as f64 * self.config.permits_per_slot.get();
                (permits as usize, Reason::Requested)
            }
            // What is measured of a raise would be what the gradient takes back.
            None if self.admission.ceiling() > limit_from => {
                (self.admission.ceiling(), Reason::Requested)
            }
            None => self.climb.lock().step(metrics, limit_from, self.floor),
        };
        self.admission.set_limit(to);
        self.admission.adapt(metrics.shed > 0 || metrics.queued > 0);
        let shed = metrics.shed as f64 / metrics.arrivals.max(1) as f64;
        let limit_to = self.admission.limit();
        LoadChange { limit_from, limit_to, shed: Ratio::saturating(shed).min_one(), reason }
    }

    fn forecast(&self, trend: &LoadTrend) -> LoadForecast {
        let forecast = self.predicted(trend);
        let slope = trend::slope(&trend.history);
        let saturated_in = trend::saturated_in(trend, &forecast, slope);
        let mut alerts: Vec<Alert> =
            self.saturation(trend, &forecast, saturated_in).into_iter().collect();
        alerts.extend(self.objectives.iter().flat_map(|objectives| objectives.up()));
        LoadForecast { forecast, slope, saturated_in, alerts }
    }
}
