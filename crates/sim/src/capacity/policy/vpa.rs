//! A quantile of what was used, with a margin.

use plimsoll_core_types::Timestamp;

use crate::capacity::{PoolView, Sizer};

/// The recommender of Kubernetes' vertical autoscaler, on the pool's rate of work: the 90th
/// percentile of a histogram whose weights halve each day, and 15%.
///
/// Source: kubernetes/autoscaler, `vertical-pod-autoscaler/docs/flags.md` (defaults) and the
/// design of its decaying histogram: bucket bounds grow by 5%, and later samples weigh more rather
/// than earlier ones less.
#[derive(Clone, Debug, Default)]
pub struct Vpa {
    weights: Vec<f64>,
    /// Weights are relative to those of this moment.
    since: Timestamp,
}

const HALF_LIFE: f64 = 86_400.0;
const GROWTH: f64 = 1.05;
const LEVEL: f64 = 0.9;
const MARGIN: f64 = 1.15;
/// Buckets: up to `1.05^400`, which is 300 million times the first.
const MOST: usize = 400;
/// Weights are scaled down when they have doubled so often.
const MOST_DOUBLINGS: f64 = 100.0;

impl Vpa {
    fn add(&mut self, value: f64, now: Timestamp) {
        let doublings = now.saturating_since(self.since).as_secs_f64() / HALF_LIFE;
        if doublings > MOST_DOUBLINGS {
            let scale = 0.5_f64.powf(doublings);
            self.weights.iter_mut().for_each(|weight| *weight *= scale);
            self.since = now;
            return self.add(value, now);
        }
        let bucket = if value <= 1.0 { 0 } else { (value.ln() / GROWTH.ln()).ceil() as usize };
        let bucket = bucket.min(MOST - 1);
        if self.weights.len() <= bucket {
            self.weights.resize(bucket + 1, 0.0);
        }
        self.weights[bucket] += 2.0_f64.powf(doublings);
    }

    /// The upper bound of the bucket that holds the level.
    fn quantile(&self) -> f64 {
        let target = LEVEL * self.weights.iter().sum::<f64>();
        let mut sum = 0.0;
        let found = self.weights.iter().position(|weight| {
            sum += weight;
            sum >= target
        });
        GROWTH.powi(i32::try_from(found.unwrap_or(0)).unwrap_or(i32::MAX))
    }
}

impl Sizer for Vpa {
    fn size(&mut self, pool: &PoolView<'_>) -> usize {
        // In hundredths of a replica, so that a small pool has buckets enough.
        let rate = pool.came / pool.spec.control.as_secs_f64() / pool.spec.unit * 100.0;
        self.add(rate, pool.now);
        (self.quantile() / 100.0 * MARGIN).ceil() as usize
    }
}
