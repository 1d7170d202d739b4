//! The histories that forecasts are made from.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, Dimension, EngineSnapshot, Metric, ResourceForecast, Sample, SeriesKey, Timestamp,
    UsageHistory,
};

use crate::per_model::PerModel;

/// One history for each model that is asked for, and one for the host's memory.
#[derive(Debug)]
pub(super) struct Series {
    interval: Duration,
    capacity: usize,
    sampled: Option<Timestamp>,
    analyzed: Option<Timestamp>,
    rates: PerModel<Rate>,
    pub(super) memory: UsageHistory,
    pub(super) forecasts: Vec<ResourceForecast>,
}

/// How often a model was asked for.
#[derive(Debug)]
struct Rate {
    arrivals: u64,
    /// There once somebody has asked: a model that nobody wants costs no memory. Shared with a
    /// predictor only while that is asked.
    history: Option<Arc<UsageHistory>>,
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

    /// True when the next sample is due.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.sampled.is_none_or(|last| now.saturating_since(last) >= self.interval)
    }

    /// The time since the last sample when the next one is due, which it is then not any more; zero
    /// for the first one.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Duration> {
        if !self.is_due(now) {
            return None;
        }
        let last = self.sampled.replace(now);
        Some(last.map_or(Duration::ZERO, |last| now.saturating_since(last)))
    }

    /// True once every `every`.
    pub(super) fn analysis_due(&mut self, now: Timestamp, every: Duration) -> bool {
        let due = self.analyzed.is_none_or(|last| now.saturating_since(last) >= every);
        if due {
            self.analyzed = Some(now);
        }
        due
    }

    /// Takes a sample of the request rate of each model that was ever asked for, and answers with
    /// their histories.
    pub(super) fn sample_rates(
        &mut self,
        engines: &[EngineSnapshot],
        now: Timestamp,
        elapsed: Duration,
    ) -> Vec<Arc<UsageHistory>> {
        let (interval, capacity) = (self.interval, self.capacity);
        let fresh = |engine: &EngineSnapshot| Rate { arrivals: engine.arrivals, history: None };
        let rates = self.rates.follow(engines, fresh);
        for (rate, engine) in rates.zip(engines) {
            if elapsed.is_zero() {
                continue;
            }
            let came = engine.arrivals.saturating_sub(rate.arrivals);
            rate.arrivals = engine.arrivals;
            if engine.arrivals == 0 && rate.history.is_none() {
                continue;
            }
            let history = rate.history.get_or_insert_with(|| {
                let subject = ConsumerId::from(&engine.model);
                let key = SeriesKey { subject, metric: Metric::RequestRate };
                Arc::new(UsageHistory::new(key, interval, capacity))
            });
            let value = Some(came as f64 / elapsed.as_secs_f64());
            Arc::make_mut(history).push(Sample { at: now, value });
        }
        self.rates.values().filter_map(|rate| rate.history.clone()).collect()
    }
}
