//! What makes a trace of requests hard or easy to serve, in a few numbers.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

use crate::trace::TraceRequest;

/// What makes a trace of requests hard or easy to serve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Character {
    /// Mean requests per second.
    pub rate: f64,
    /// The busiest ten seconds relative to the mean.
    pub peak: f64,
    /// Variance over mean of the requests in ten seconds: 1 for requests at random.
    pub dispersion: f64,
    /// The same in two minutes, about a straight line: how far a rate strays that is not known two
    /// minutes ahead.
    pub straying: f64,
    /// Which share of minutes nobody asks in.
    pub silent: f64,
    /// How much more is asked for in the second half than in the first, as a ratio.
    pub growth: f64,
    /// Median tokens read.
    pub input: f64,
    /// Median tokens written.
    pub output: f64,
}

impl Character {
    /// The character of `requests`, which are in order of time. None where there are too few to
    /// speak of: fewer than a hundred, or less than two minutes.
    pub fn of(requests: &[TraceRequest]) -> Option<Self> {
        let end = requests.last()?.at.saturating_since(Timestamp::ZERO);
        if requests.len() < 100 || end < Duration::from_mins(2) {
            return None;
        }
        let tens = counts(requests, Duration::from_secs(10), end);
        let minutes = counts(requests, Duration::from_mins(1), end);
        let mean = tens.iter().sum::<f64>() / tens.len() as f64;
        let variance = tens.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / tens.len() as f64;
        let half = Timestamp::ZERO + end / 2;
        let first = requests.partition_point(|request| request.at < half);
        Some(Self {
            rate: mean / 10.0,
            peak: tens.iter().copied().fold(0.0, f64::max) / mean,
            dispersion: variance / mean,
            straying: straying(&counts(requests, Duration::from_mins(2), end)),
            silent: minutes.iter().filter(|n| **n == 0.0).count() as f64 / minutes.len() as f64,
            growth: (requests.len() - first) as f64 / first.max(1) as f64,
            input: median(requests.iter().map(|request| request.input_tokens)),
            output: median(requests.iter().map(|request| request.output_tokens)),
        })
    }
}

/// Requests in each whole window up to `end`.
fn counts(requests: &[TraceRequest], window: Duration, end: Duration) -> Vec<f64> {
    let windows = (end.as_nanos() / window.as_nanos()) as usize;
    let mut counts = vec![0.0; windows];
    for request in requests {
        let index = u128::from(request.at.as_nanos()) / window.as_nanos();
        if let Some(count) = counts.get_mut(index as usize) {
            *count += 1.0;
        }
    }
    counts
}

/// Variance over mean about the straight line of least squares.
fn straying(counts: &[f64]) -> f64 {
    let mean = counts.iter().sum::<f64>() / counts.len().max(1) as f64;
    let middle = (counts.len().max(1) - 1) as f64 / 2.0;
    let placed = || counts.iter().enumerate().map(|(place, count)| (place as f64 - middle, count));
    let spread: f64 = placed().map(|(place, _)| place * place).sum();
    let rise: f64 = placed().map(|(place, count)| place * count).sum();
    let slope = if spread > 0.0 { rise / spread } else { 0.0 };
    let off = |(place, count): (f64, &f64)| (count - mean - slope * place).powi(2);
    placed().map(off).sum::<f64>() / counts.len().max(1) as f64 / mean.max(f64::MIN_POSITIVE)
}

fn median(values: impl Iterator<Item = u32>) -> f64 {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().map_or(0.0, f64::from)
}
