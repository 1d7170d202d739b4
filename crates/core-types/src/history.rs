//! What was measured over time.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::AccessSample;
use crate::clock::Timestamp;
use crate::id::ConsumerId;
use crate::vector::{Dimension, ResourceVector};

/// What a series measures, which gives its values their unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Metric {
    /// Use of one dimension, in that dimension's unit.
    Used(Dimension),
    /// Requests that arrive, per second.
    RequestRate,
    /// Requests in progress.
    Concurrency,
    /// Tokens that are read and written, per second.
    TokenRate,
    /// Response time, in seconds.
    Latency,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Used(dimension) => write!(f, "{dimension} used"),
            Self::RequestRate => f.write_str("requests/s"),
            Self::Concurrency => f.write_str("requests in progress"),
            Self::TokenRate => f.write_str("tokens/s"),
            Self::Latency => f.write_str("latency"),
        }
    }
}

/// Names one series: of whom, and what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeriesKey {
    /// Whose.
    pub subject: ConsumerId,
    /// What.
    pub metric: Metric,
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.metric)
    }
}

/// One value of a series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// The value in the metric's unit, or none where it is known that nothing was measured (an
    /// outage, which is not a zero).
    pub value: Option<f64>,
}

/// The latest samples of one series, oldest first, at most [`capacity`](Self::capacity) of them.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::{ConsumerId, Metric, Sample, SeriesKey, Timestamp, UsageHistory};
///
/// let key = SeriesKey { subject: ConsumerId::new("llama-8b")?, metric: Metric::RequestRate };
/// let mut history = UsageHistory::new(key, Duration::from_secs(1), 2);
/// for second in 0..3 {
///     let at = Timestamp::from_secs_f64(f64::from(second));
///     history.push(Sample { at, value: Some(f64::from(second)) });
/// }
/// assert_eq!(history.len(), 2);
/// assert_eq!(history.last().unwrap().value, Some(2.0));
/// # Ok::<(), plimsoll_core_types::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsageHistory {
    key: SeriesKey,
    interval: Duration,
    capacity: usize,
    samples: VecDeque<Sample>,
}

impl UsageHistory {
    /// An empty history of `key`, sampled about every `interval`, that keeps the latest
    /// `capacity` samples (at least one).
    pub fn new(key: SeriesKey, interval: Duration, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self { key, interval, capacity, samples: VecDeque::new() }
    }

    /// Appends a sample, forgetting the oldest where there is no more room. A sample that is not
    /// later than the last one is ignored; the answer says whether it was taken.
    pub fn push(&mut self, sample: Sample) -> bool {
        if self.samples.back().is_some_and(|last| sample.at <= last.at) {
            return false;
        }
        if self.samples.len() == self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
        true
    }

    /// Which series it is.
    pub const fn key(&self) -> &SeriesKey {
        &self.key
    }

    /// The nominal time between samples.
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// How many samples it keeps.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many samples it holds.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// True when it holds no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The samples, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Sample> + ExactSizeIterator {
        self.samples.iter()
    }

    /// The samples later than `moment`, oldest first.
    pub fn since(&self, moment: Timestamp) -> impl Iterator<Item = &Sample> {
        let start = self.samples.partition_point(|sample| sample.at <= moment);
        self.samples.range(start..)
    }

    /// The latest sample.
    pub fn last(&self) -> Option<&Sample> {
        self.samples.back()
    }
}

/// How a consumer has used its resources of late.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UsagePattern {
    /// Whose pattern it is.
    pub subject: ConsumerId,
    /// Over which time.
    pub window: Duration,
    /// Mean use over the window.
    pub mean: ResourceVector,
    /// Peak use in the window.
    pub peak: ResourceVector,
    /// What was measured, one history for each metric.
    pub histories: Vec<UsageHistory>,
    /// Which keys were asked for, where the consumer is a cache.
    pub accesses: AccessSample,
}

impl UsagePattern {
    /// The history of `metric`, where there is one.
    pub fn history(&self, metric: Metric) -> Option<&UsageHistory> {
        self.histories.iter().find(|history| history.key().metric == metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(capacity: usize) -> UsageHistory {
        let key = SeriesKey {
            subject: ConsumerId::new("a").unwrap(),
            metric: Metric::Used(Dimension::Memory),
        };
        UsageHistory::new(key, Duration::from_secs(1), capacity)
    }

    fn at(nanos: u64) -> Sample {
        Sample { at: Timestamp::from_nanos(nanos), value: Some(1.0) }
    }

    #[test]
    fn time_only_goes_forward() {
        let mut history = history(4);
        assert!(history.push(at(5)));
        assert!(!history.push(at(5)));
        assert!(!history.push(at(4)));
        assert_eq!(history.len(), 1);
    }

    #[test]
    fn since_leaves_out_the_moment_itself() {
        let mut history = history(3);
        for nanos in [1, 2, 3, 4] {
            history.push(at(nanos));
        }
        let later: Vec<_> =
            history.since(Timestamp::from_nanos(2)).map(|s| s.at.as_nanos()).collect();
        assert_eq!(later, [3, 4]);
        assert_eq!(history.since(Timestamp::ZERO).count(), 3);
    }
}
