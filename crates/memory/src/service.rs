//! The host's memory, managed: what a control loop asks.

use std::sync::Arc;

use parking_lot::Mutex;
use plimsoll_core_types::{
    Bytes, CapacityProbe, Clock, ConsumerId, Dimension, ForecastHealth, HorizonForecast,
    MemoryAllocation, MemoryForecast, MemoryManager, Metric, Ratio, Reclaimed, ReclaimedFrom,
    Reclaimer, ResourcePredictor, Sample, SeriesKey, Timestamp, UsageHistory, UsagePattern,
};

use crate::config::MemoryConfig;
use crate::forecast::{PressureGauge, Signals, Trend, outlook};
use crate::reclaim::{Reclaimers, Registration, Turn};
use crate::track::{LeakSuspect, Tracker, UsageReport};

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
    reclaimers: Reclaimers,
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
    pub fn new(
        probe: Arc<dyn CapacityProbe>,
        predictor: Option<Arc<dyn ResourcePredictor>>,
        clock: Arc<dyn Clock>,
        config: MemoryConfig,
    ) -> Self {
        /// The nominal time between samples of the service's own history.
        const INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
        let key = SeriesKey { subject: host(), metric: Metric::Used(Dimension::Memory) };
        let state = State {
            tracker: Tracker::new(config.track),
            gauge: PressureGauge::new(config.pressure),
            last: None,
            history: UsageHistory::new(key, INTERVAL, config.history),
        };
        let (reclaimers, state) = (Reclaimers::new(), Mutex::new(state));
        Self { probe, predictor, clock, config, reclaimers, state }
    }

    /// Who holds what, beside what the host is measured to use now.
    pub fn report(&self) -> UsageReport {
        let now = self.clock.now();
        let used = self.measure(now).map_or(Bytes::ZERO, |measured| measured.used);
        self.state.lock().tracker.report(used, now)
    }

    /// Whose memory only grows, the most first.
    pub fn leaks(&self) -> Vec<LeakSuspect> {
        self.state.lock().tracker.leaks(self.clock.now())
    }

    /// Has `reclaimer` asked by [`optimize`](MemoryManager::optimize) when use is above its
    /// threshold.
    pub fn register(&self, reclaimer: Arc<dyn Reclaimer>) -> Registration {
        self.reclaimers.register(reclaimer)
    }

    /// Those who were registered, with what came of asking them.
    pub const fn reclaimers(&self) -> &Reclaimers {
        &self.reclaimers
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
            state.tracker.observe(now);
        }
        state.last
    }

    /// Asks one, and says what it freed at once, and what it offers to free yet.
    fn ask(&self, turn: Turn, bytes: Bytes) -> (ReclaimedFrom, Bytes) {
        let (consumer, promised) = (turn.consumer(), turn.offered());
        let begun = self.clock.now();
        let (probe, clock) = (Arc::clone(&self.probe), Arc::clone(&self.clock));
        let used = move || probe.sample(clock.now()).ok().map(|reading| reading.used.memory());
        let before = used();
        // Others take and give back meanwhile: what is measured is what the host has more.
        let measured = move || match (before, used()) {
            (Some(before), Some(after)) => before.saturating_sub(after),
            _ => Bytes::ZERO,
        };
        let within = self.config.reclaim_within;
        let at_once = turn.run_now(bytes, host(), within, measured);
        let freed = at_once.as_ref().map_or(Bytes::ZERO, |report| report.claimed);
        let took = self.clock.now().saturating_since(begun);
        let promised = if at_once.is_some() { Bytes::ZERO } else { promised };
        (ReclaimedFrom { consumer, bytes: freed, took }, promised)
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

/// Whose the host's own series and wishes are.
fn host() -> ConsumerId {
    ConsumerId::new("host").expect("a constant name is well formed")
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

    /// Asks registered reclaimers in order until what they free is enough. Those that are done at
    /// once count as freed; those that take longer go on in the background where there is a
    /// `tokio` runtime, and are abandoned where there is none.
    fn optimize(&self, threshold: Ratio) -> Reclaimed {
        let Some(measured) = self.measure(self.clock.now()) else { return Reclaimed::default() };
        let asked = measured.used.saturating_sub(measured.usable.scaled(threshold));
        let mut reclaimed = Reclaimed { asked, ..Reclaimed::default() };
        let (mut lacking, mut turns) = (asked, Vec::new());
        while !lacking.is_zero() {
            let Some(turn) = self.reclaimers.begin(|_| true, &turns) else { break };
            turns.push(turn.number());
            let (from, promised) = self.ask(turn, lacking);
            // What is still at it counts by what it offered, so that not all are asked at once.
            lacking = lacking.saturating_sub(from.bytes.max(promised));
            reclaimed.freed = reclaimed.freed.saturating_add(from.bytes);
            reclaimed.by.push(from);
        }
        reclaimed
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
        AccessSample, GiveUp, ManualClock, PressureLevel, Priority, ProbeError, ProbeReading,
        ReclaimRequest, ResourceVector,
    };

    use crate::reclaim::Outcome;

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

    /// Frees the host's memory in so many polls; none never ends.
    #[derive(Debug)]
    struct Hook {
        consumer: ConsumerId,
        host: Arc<Host>,
        polls: Option<u32>,
        offers: Bytes,
    }

    #[async_trait::async_trait]
    impl Reclaimer for Hook {
        fn consumer(&self) -> &ConsumerId {
            &self.consumer
        }

        fn priority(&self) -> Priority {
            Priority::Low
        }

        fn offer(&self) -> GiveUp {
            let (cost, return_cost) = (Duration::from_millis(1), Duration::ZERO);
            GiveUp { bytes: self.offers, cost, need: Ratio::ZERO, return_cost }
        }

        async fn reclaim(&self, request: ReclaimRequest) -> Bytes {
            let Some(polls) = self.polls else { return std::future::pending().await };
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
            let freed = request.bytes.min(self.offers);
            let mut used = self.host.0.lock();
            *used = used.map(|used| used.saturating_sub(freed));
            freed
        }
    }

    fn hook(host: &Arc<Host>, name: &str, polls: Option<u32>, mib: u64) -> Arc<Hook> {
        let (consumer, host) = (ConsumerId::new(name).unwrap(), Arc::clone(host));
        Arc::new(Hook { consumer, host, polls, offers: Bytes::from_mib(mib) })
    }

    fn half() -> Ratio {
        Ratio::new(0.5).unwrap()
    }

    #[test]
    fn optimize_asks_until_enough_is_freed_and_no_more() {
        let (host, _, service) = service(Some(Bytes::from_mib(690)));
        // 980 MiB may be used: 200 are too much.
        let _hooks = [
            service.register(hook(&host, "large", Some(0), 150)),
            service.register(hook(&host, "small", Some(0), 100)),
            service.register(hook(&host, "spared", Some(0), 1)),
        ];
        let reclaimed = service.optimize(half());
        assert_eq!(
            (reclaimed.asked, reclaimed.freed),
            (Bytes::from_mib(200), Bytes::from_mib(200))
        );
        let by: Vec<_> =
            reclaimed.by.iter().map(|f| (f.consumer.as_str(), f.bytes.get() >> 20)).collect();
        assert_eq!(by, [("large", 150), ("small", 50)]);
        assert_eq!(service.optimize(half()), Reclaimed::default());
        let reports = service.reclaimers().reports();
        assert!(reports.iter().all(|report| report.outcome == Outcome::Freed), "{reports:?}");
    }

    #[test]
    fn without_a_runtime_a_hook_that_does_not_end_at_once_is_abandoned() {
        let (host, _, service) = service(Some(Bytes::from_mib(690)));
        let _hook = service.register(hook(&host, "slow", None, 500));
        let reclaimed = service.optimize(half());
        assert_eq!((reclaimed.freed, reclaimed.by.len()), (Bytes::ZERO, 1));
        assert_eq!(service.reclaimers().reports()[0].outcome, Outcome::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_takes_longer_goes_on_in_the_background() {
        let (host, _, service) = service(Some(Bytes::from_mib(690)));
        let _hooks = [
            service.register(hook(&host, "slow", Some(3), 500)),
            service.register(hook(&host, "spared", Some(0), 1)),
        ];
        let reclaimed = service.optimize(half());
        assert_eq!((reclaimed.freed, reclaimed.by.len()), (Bytes::ZERO, 1), "its offer suffices");
        tokio::time::sleep(Duration::from_millis(1)).await;
        let report = &service.reclaimers().reports()[0];
        assert_eq!((report.outcome, report.measured), (Outcome::Freed, Bytes::from_mib(200)));
        assert_eq!(service.optimize(half()), Reclaimed::default());
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
