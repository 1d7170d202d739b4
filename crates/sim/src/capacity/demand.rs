//! What is asked of a pool.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

use crate::trace::{Content, Trace};

/// What counts as work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Work {
    /// Every request is the same.
    #[default]
    Requests,
    /// A request is as much as it has tokens, read and written; one where the trace does not say.
    Tokens,
}

/// Requests that came at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parcel {
    /// When.
    pub at: Timestamp,
    /// How much work they are.
    pub work: f64,
    /// How many they are.
    pub requests: f64,
}

/// What is asked of a pool over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Demand {
    /// What came, in order of time.
    pub parcels: Vec<Parcel>,
    /// For how long.
    pub span: Duration,
}

/// Rates become a parcel each so often.
const RATE_STEP: Duration = Duration::from_secs(5);

impl Demand {
    /// What `trace` asks for. Rates are served as they are, all clients together.
    pub fn of(trace: &Trace, work: Work) -> Self {
        let parcels = match &trace.content {
            Content::Requests(requests) => requests
                .iter()
                .map(|request| {
                    let tokens = f64::from(request.input_tokens) + f64::from(request.output_tokens);
                    let work = match work {
                        Work::Tokens if tokens > 0.0 => tokens,
                        _ => 1.0,
                    };
                    Parcel { at: request.at, work, requests: 1.0 }
                })
                .collect(),
            Content::Rates { window, clients } => of_rates(*window, clients),
        };
        Self { parcels, span: trace.span() }
    }

    /// The part from `from` on, for `span`, counted from its beginning.
    #[must_use]
    pub fn part(&self, from: Duration, span: Duration) -> Self {
        let start = Timestamp::ZERO + from;
        let first = self.parcels.partition_point(|parcel| parcel.at < start);
        let end = self.parcels.partition_point(|parcel| parcel.at < start + span);
        let moved = |parcel: &Parcel| Parcel {
            at: Timestamp::ZERO + parcel.at.saturating_since(start),
            ..*parcel
        };
        Self {
            parcels: self.parcels[first..end].iter().map(moved).collect(),
            span: span.min(self.span.saturating_sub(from)),
        }
    }

    /// Mean work per second.
    pub fn mean(&self) -> f64 {
        let total: f64 = self.parcels.iter().map(|parcel| parcel.work).sum();
        total / self.span.as_secs_f64().max(1e-9)
    }

    /// The most work per second over windows of `window`.
    pub fn peak(&self, window: Duration) -> f64 {
        let (mut sum, mut peak, mut first) = (0.0, 0.0_f64, 0);
        for parcel in &self.parcels {
            sum += parcel.work;
            while parcel.at.saturating_since(self.parcels[first].at) >= window {
                sum -= self.parcels[first].work;
                first += 1;
            }
            peak = peak.max(sum);
        }
        peak / window.as_secs_f64().max(1e-9)
    }
}

fn of_rates(window: Duration, clients: &[Vec<crate::trace::RateWindow>]) -> Vec<Parcel> {
    let windows = clients.first().map_or(0, Vec::len);
    let steps = (window.as_nanos() / RATE_STEP.as_nanos()).max(1) as u32;
    let length = window / steps;
    let mut parcels = Vec::new();
    for index in 0..windows {
        let rate: f64 = clients.iter().filter_map(|row| row.get(index)).map(|w| w.rate).sum();
        let work = rate * length.as_secs_f64();
        if work <= 0.0 {
            continue;
        }
        for step in 0..steps {
            let offset = window.saturating_mul(index as u32) + length * step;
            parcels.push(Parcel { at: Timestamp::ZERO + offset, work, requests: work });
        }
    }
    parcels
}
