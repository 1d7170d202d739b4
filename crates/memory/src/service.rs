//! The host's memory, managed: what a control loop asks.

use std::sync::Arc;

use parking_lot::Mutex;
use plimsoll_core_types::{
    Bytes, CapacityProbe, Clock, ConsumerId, Dimension, ForecastHealth, HorizonForecast,
    MemoryAllocation, MemoryForecast, MemoryManager, Metric, Ratio, Reclaimed, ResourcePredictor,
    Sample, SeriesKey, Timestamp, UsageHistory, UsagePattern,
};

use crate::config::MemoryConfig;
use crate::forecast::{PressureGauge, Signals, Trend, outlook};
use crate::track::{Tracker, UsageReport};

/// A [`MemoryManager`] over a probe of the host.
///
/// Without a [`ResourcePredictor`], or where that has no skill, forecasts repeat what the series
/// did before: see [`outlook`].
#[derive(Debug)]
pub struct MemoryService {
    probe: Arc<dyn CapacityProbe>,
    predictor: Option<Arc<dyn ResourcePredictor>>,
    clock: Arc<dyn Clock>,
    config: MemoryConfig,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tracker: Tracker,
    gauge: PressureGauge,
    last: Option<Measured>,
    history: UsageHistory,
}

/// What the probe told.
#[derive(Clone, Copy, Debug)]
struct Measured {
    used: Bytes,
    /// What may be used: capacity less the reserve.
    usable: Bytes,
    stalled: Option<Ratio>,
}

impl MemoryService {
    /// Manages what `probe` measures. Nothing is read before it is asked.
    #[expect(clippy::missing_panics_doc, reason = "a constant name is well formed")]
    pub fn new(
        probe: Arc<dyn CapacityProbe>,
        predictor: Option<Arc<dyn ResourcePredictor>>,
        clock: Arc<dyn Clock>,
        config: MemoryConfig,
    ) -> Self {
        /// The nominal time between samples of the service's own history.
        const INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
        let subject = ConsumerId::new("host").expect("a constant name is well formed");
        let key = SeriesKey { subject, metric: Metric::Used(Dimension::Memory) };
        let state = State {
            tracker: Tracker::new(config.track),
            gauge: PressureGauge::new(config.pressure),
            last: None,
            history: UsageHistory::new(key, INTERVAL, config.history),
        };
        Self { probe, predictor, clock, config, state: Mutex::new(state) }
    }

    /// Who holds what, beside what the host is measured to use now.
    pub fn report(&self) -> UsageReport {
        let now = self.clock.now();
        let used = self.measure(now).map_or(Bytes::ZERO, |measured| measured.used);
        self.state.lock().tracker.report(used, now)
    }

    /// Forgets a consumer that is gone.
    pub fn forget(&self, consumer: &ConsumerId) {
        self.state.lock().tracker.forget(consumer);
    }

    /// What the probe tells now, or told last where it fails; none where it never told anything.
    /// The probe is somebody else's and may be slow: it is asked outside of the lock.
    fn measure(&self, now: Timestamp) -> Option<Measured> {
        let reading = self.probe.sample(now);
        let mut state = self.state.lock();
        if let Ok(reading) = reading {
            let (capacity, used) = (reading.capacity.memory(), reading.used.memory());
            let usable = capacity.saturating_sub(self.config.reserve.of(capacity));
            state.history.push(Sample { at: now, value: Some(used.as_f64()) });
            state.last = Some(Measured { used, usable, stalled: reading.pressure });
        }
        state.last
    }

    /// Quantiles by the predictor where it has skill, else by the plain rule.
    fn horizons(&self, history: &UsageHistory) -> Vec<HorizonForecast> {
        if let Some(predictor) = &self.predictor {
            let forecast = predictor.forecast(history);
            if matches!(forecast.health, ForecastHealth::Skilled { .. }) {
                return forecast.horizons;
            }
        }
        outlook(history, &self.config.horizons)
    }
}

/// When use reaches `capacity`: at the first horizon whose median does, or by the trend, whichever
/// comes first.
fn exhausted_in(
    trend: Option<Trend>,
    horizons: &[HorizonForecast],
    used: f64,
    capacity: f64,
) -> Option<std::time::Duration> {
    let by_trend = trend.and_then(|trend| trend.reaches(used, capacity));
    let reaches = |forecast: &&HorizonForecast| forecast.quantiles.median() >= capacity;
    let by_forecast = horizons.iter().find(reaches).map(|forecast| forecast.horizon);
    by_trend.into_iter().chain(by_forecast).min()
}

impl MemoryManager for MemoryService {
    fn track(&self, allocation: MemoryAllocation) {
        self.state.lock().tracker.record(&allocation);
    }

    fn optimize(&self, threshold: Ratio) -> Reclaimed {
        let Some(measured) = self.measure(self.clock.now()) else { return Reclaimed::default() };
        let asked = measured.used.saturating_sub(measured.usable.scaled(threshold));
        Reclaimed { asked, ..Reclaimed::default() }
    }

    fn forecast(&self, pattern: &UsagePattern) -> MemoryForecast {
        let now = self.clock.now();
        // Without any reading all that is known is what the pattern tells.
        let unmeasured =
            Measured { used: pattern.mean.memory(), usable: Bytes::MAX, stalled: None };
        let Measured { used, usable, stalled } = self.measure(now).unwrap_or(unmeasured);
        let own;
        let history = if let Some(history) = pattern.history(Metric::Used(Dimension::Memory)) {
            history
        } else {
            own = self.state.lock().history.clone();
            &own
        };
        let (trend, horizons) = (Trend::of(history), self.horizons(history));
        let exhausted_in = exhausted_in(trend, &horizons, used.as_f64(), usable.as_f64());
        let signals = Signals { used, capacity: usable, stalled, exhausted_in };
        let pressure = self.state.lock().gauge.update(&signals, now);
        MemoryForecast { at: now, used, capacity: usable, pressure, horizons, exhausted_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use plimsoll_core_types::{
        AccessSample, ManualClock, PressureLevel, ProbeError, ProbeReading, ResourceVector,
    };

    /// A host whose use the test sets; none is a probe that fails.
    #[derive(Debug)]
    struct Host(Mutex<Option<Bytes>>);

    impl CapacityProbe for Host {
        fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
            let used = (*self.0.lock()).ok_or_else(|| ProbeError {
                probe: "memory",
                from: "test".to_owned(),
                problem: "told to fail".to_owned(),
            })?;
            let vector = |bytes| ResourceVector::new().with_memory(bytes);
            let (capacity, used) = (vector(Bytes::from_mib(1000)), vector(used));
            Ok(ProbeReading { at: now, capacity, used, pressure: None, notes: Vec::new() })
        }
    }

    fn service(used: Option<Bytes>) -> (Arc<Host>, Arc<ManualClock>, MemoryService) {
        let (host, clock) = (Arc::new(Host(Mutex::new(used))), Arc::new(ManualClock::new()));
        let config = MemoryConfig::default().checked().unwrap();
        let service =
            MemoryService::new(Arc::clone(&host) as _, None, Arc::clone(&clock) as _, config);
        (host, clock, service)
    }

    fn no_pattern() -> UsagePattern {
        UsagePattern {
            subject: ConsumerId::new("host").unwrap(),
            window: Duration::ZERO,
            mean: ResourceVector::ZERO,
            peak: ResourceVector::ZERO,
            histories: Vec::new(),
            accesses: AccessSample::default(),
        }
    }

    #[test]
    fn a_rise_is_forecast_to_run_out() {
        let (host, clock, service) = service(Some(Bytes::ZERO));
        let mut last = None;
        for second in 0..100 {
            *host.0.lock() = Some(Bytes::from_mib(5 * second));
            last = Some(service.forecast(&no_pattern()));
            clock.advance(Duration::from_secs(1));
        }
        let forecast = last.unwrap();
        // 980 MiB may be used, 495 are, 5 more a second.
        let left = forecast.exhausted_in.unwrap().as_secs_f64();
        assert!((left - 97.0).abs() < 2.0, "{left}");
        assert_eq!(forecast.pressure, PressureLevel::High, "within two minutes");
        assert_eq!(forecast.capacity, Bytes::from_mib(980));
        let median = forecast.horizons[0].quantiles.median();
        assert!((median / f64::from(1 << 20) - 795.0).abs() < 10.0, "{median}");
    }

    #[test]
    fn a_failing_probe_leaves_the_last_reading() {
        let (host, _, service) = service(None);
        assert_eq!(service.optimize(Ratio::ZERO), Reclaimed::default());
        assert_eq!(service.forecast(&no_pattern()).pressure, PressureLevel::Calm);
        *host.0.lock() = Some(Bytes::from_mib(970));
        assert_eq!(service.forecast(&no_pattern()).pressure, PressureLevel::Critical);
        *host.0.lock() = None;
        assert_eq!(service.forecast(&no_pattern()).used, Bytes::from_mib(970));
        assert_eq!(service.report().unaccounted, Bytes::from_mib(970));
    }
}
