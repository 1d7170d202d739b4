//! The key figures of a snapshot.

use plimsoll_core_types::{KeyMetrics, LoadMetrics, Ratio, ResourceVector, SystemSnapshot};

use crate::sum;

pub(crate) fn key_metrics(snapshot: &SystemSnapshot, traffic: Option<&LoadMetrics>) -> KeyMetrics {
    let used = sum::saturating(snapshot.engines.iter().map(|engine| &engine.used));
    let answered = traffic.filter(|traffic| traffic.completed > 0);
    KeyMetrics {
        allocation_efficiency: largest_share(&used, &snapshot.pool.promised),
        promised_share: largest_share(&snapshot.pool.promised, &snapshot.pool.limit),
        utilization: largest_share(&snapshot.used, &snapshot.capacity),
        error_rate: traffic.map_or(Ratio::ZERO, error_rate),
        latency_p50: answered.map(|traffic| traffic.latency_p50),
        latency_p99: answered.map(|traffic| traffic.latency_p99),
    }
}

/// Largest share over the dimensions that `whole` has.
fn largest_share(part: &ResourceVector, whole: &ResourceVector) -> Ratio {
    let shares = whole.iter().map(|(dimension, all)| part.get(dimension) as f64 / all as f64);
    Ratio::saturating(shares.fold(0.0, f64::max))
}

fn error_rate(traffic: &LoadMetrics) -> Ratio {
    let all = traffic.completed.saturating_add(traffic.failed);
    if all == 0 {
        return Ratio::ZERO;
    }
    Ratio::saturating(traffic.failed as f64 / all as f64)
}
