//! The load manager: balancer, admission, forecast and alerts together.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{
    Alert, Assignment, Clock, LoadChange, LoadDistribution, LoadForecast, LoadManager, LoadMetrics,
    LoadTrend, Ratio, Reason, ResourceForecast, ResourcePredictor, Severity,
};
use serde::{Deserialize, Serialize};

use crate::admit::Climb;
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
}

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
        Self { balancer, admission, predictor, clock, config, floor, climb }
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

    fn saturation(
        &self,
        trend: &LoadTrend,
        forecast: &ResourceForecast,
        saturated_in: Option<Duration>,
    ) -> Option<Alert> {
        let line = trend.capacity * self.config.saturation.get();
        if !(line.is_finite() && line > 0.0) {
            return None;
        }
        let last = trend.history.iter().rev().find_map(|sample| sample.value)?;
        let reaching = forecast.horizons.iter().find(|horizon| horizon.quantiles.at(0.9) >= line);
        let (severity, cause) = if last >= line {
            (Severity::Critical, format!("{last:.1} of {:.1} now", trend.capacity))
        } else if let Some(horizon) = reaching {
            let (value, ahead) = (horizon.quantiles.at(0.9), horizon.horizon.as_secs_f64());
            let cause = format!("{value:.1} of {:.1} within {ahead:.0} s at 90%", trend.capacity);
            (Severity::Warning, cause)
        } else {
            let ahead = saturated_in?.as_secs_f64();
            let cause = format!("{last:.1} of {:.1} now, all within {ahead:.0} s", trend.capacity);
            (Severity::Warning, cause)
        };
        Some(Alert {
            name: "load_saturation".to_owned(),
            subject: trend.history.key().to_string(),
            severity,
            cause,
            runbook: "load-saturation".to_owned(),
            since: self.clock.now(),
            ended: None,
        })
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
            None => self.climb.lock().step(metrics, limit_from, self.floor),
        };
        self.admission.set_limit(to);
        let shed = metrics.shed as f64 / metrics.arrivals.max(1) as f64;
        let limit_to = self.admission.limit();
        LoadChange { limit_from, limit_to, shed: Ratio::saturating(shed).min_one(), reason }
    }

    fn forecast(&self, trend: &LoadTrend) -> LoadForecast {
        let forecast = self.predicted(trend);
        let slope = trend::slope(&trend.history);
        let saturated_in = trend::saturated_in(trend, &forecast, slope);
        let alerts = self.saturation(trend, &forecast, saturated_in).into_iter().collect();
        LoadForecast { forecast, slope, saturated_in, alerts }
    }
}
