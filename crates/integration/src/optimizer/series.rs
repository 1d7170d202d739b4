//! The histories that forecasts are made from.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, Dimension, EngineSnapshot, Metric, ResourceForecast, Sample, SeriesKey, Timestamp,
    UsageHistory,
};

use crate::per_model::PerModel;

/// One history for each model's request rate, and one for the host's memory.
#[derive(Debug)]
pub(super) struct Series {
    interval: Duration,
    capacity: usize,
    sampled: Option<Timestamp>,
    analyzed: Option<Timestamp>,
    /// Shared with a predictor only while it is asked.
    rates: PerModel<(u64, Arc<UsageHistory>)>,
    pub(super) memory: UsageHistory,
    pub(super) forecasts: Vec<ResourceForecast>,
}

impl Series {
    pub(super) fn new(interval: Duration, capacity: usize, host: ConsumerId) -> Self {
        let key = SeriesKey { subject: host, metric: Metric::Used(Dimension::Memory) };
        Self {
            interval,
            capacity,
            sampled: None,
            analyzed: None,
            rates: PerModel::default(),
            memory: UsageHistory::new(key, interval, capacity),
            forecasts: Vec::new(),
        }
    }

    /// The time since the last sample when the next one is due; zero for the first one.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Duration> {
        let elapsed = self.sampled.map_or(Duration::ZERO, |last| now.saturating_since(last));
        if self.sampled.is_some() && elapsed < self.interval {
            return None;
        }
        self.sampled = Some(now);
        Some(elapsed)
    }

    /// True once every `every`.
    pub(super) fn analysis_due(&mut self, now: Timestamp, every: Duration) -> bool {
        let due = self.analyzed.is_none_or(|last| now.saturating_since(last) >= every);
        if due {
            self.analyzed = Some(now);
        }
        due
    }

    /// Takes a sample of each model's request rate, and answers with the histories that grew.
    pub(super) fn sample_rates(
        &mut self,
        engines: &[EngineSnapshot],
        now: Timestamp,
        elapsed: Duration,
    ) -> Vec<Arc<UsageHistory>> {
        let (interval, capacity) = (self.interval, self.capacity);
        let fresh = |engine: &EngineSnapshot| {
            let subject = ConsumerId::from(&engine.model);
            let key = SeriesKey { subject, metric: Metric::RequestRate };
            (engine.arrivals, Arc::new(UsageHistory::new(key, interval, capacity)))
        };
        let rates = self.rates.follow(engines, fresh);
        for ((before, history), engine) in rates.zip(engines) {
            if elapsed.is_zero() {
                continue;
            }
            let came = engine.arrivals.saturating_sub(*before);
            *before = engine.arrivals;
            let value = Some(came as f64 / elapsed.as_secs_f64());
            Arc::make_mut(history).push(Sample { at: now, value });
        }
        let histories = self.rates.values().map(|(_, history)| history);
        histories.filter(|history| !history.is_empty()).map(Arc::clone).collect()
    }
}
