//! Those beside the fleet who are asked to do something, or who know what is to come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{
    Bytes, CacheId, CacheMetrics, CacheOptimizer, CachePolicy, CacheStrategy, ConsumerId,
    CpuManager, ForecastHealth, ForecastScore, HorizonForecast, Millicores, Quantiles, Ratio,
    Reason, Recommendation, ResourceForecast, ResourcePredictor, ResourceUsage, StrategyChange,
    StrategyError, Task, ThreadAssignment, ThreadPlan, UsageHistory, UsagePattern, WorkerMoves,
};

/// Whether whoever is asked to do something fails.
#[derive(Debug, Default)]
pub(super) struct Fails(pub(super) AtomicBool);

impl Fails {
    pub(super) fn now(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug)]
pub(super) struct Answers {
    pub(super) policy: Mutex<CachePolicy>,
    pub(super) bytes: Mutex<u64>,
    pub(super) lookups: AtomicU64,
    pub(super) fails: Arc<Fails>,
}

impl CacheOptimizer for Answers {
    fn analyze(&self, _: &UsagePattern) -> CacheStrategy {
        CacheStrategy {
            cache: CacheId::new("answers").unwrap(),
            policy: CachePolicy::Sieve,
            capacity: 100,
            time_to_live: None,
            expected: Ratio::saturating(0.6),
            current: Ratio::saturating(0.5),
            reason: Reason::Requested,
        }
    }

    fn implement(&self, strategy: CacheStrategy) -> Result<StrategyChange, StrategyError> {
        if self.fails.now() {
            return Err(StrategyError::Busy);
        }
        let (from, to) =
            (std::mem::replace(&mut *self.policy.lock(), strategy.policy), strategy.policy);
        let change =
            StrategyChange { from, to, capacity_from: 100, capacity_to: 100, kept: 0, dropped: 0 };
        Ok(change)
    }

    fn monitor(&self) -> CacheMetrics {
        let lookups = self.lookups.fetch_add(500, Ordering::SeqCst);
        CacheMetrics {
            cache: CacheId::new("answers").unwrap(),
            at: plimsoll_core_types::Timestamp::ZERO,
            hits: lookups * 3 / 5,
            misses: lookups - lookups * 3 / 5,
            entries: 100,
            weight: 100,
            capacity: 100,
            bytes: Some(Bytes::from_mib(*self.bytes.lock())),
            policy: *self.policy.lock(),
            reason: Reason::Requested,
        }
    }
}

/// Would run every model on three threads.
#[derive(Debug)]
pub(super) struct Three;

impl CpuManager for Three {
    fn track_usage(&self, _: &Task) {}

    fn balance_load(&self) -> WorkerMoves {
        unreachable!("the loop moves no workers")
    }

    fn optimize_threads(&self) -> ThreadPlan {
        let consumer = ConsumerId::new("a").unwrap();
        let share = Millicores::from_cores(3);
        let one = ThreadAssignment { consumer, threads: 3, share, reason: Reason::Requested };
        ThreadPlan { cores: Millicores::from_cores(4), assignments: vec![one] }
    }
}

/// Knows that the model `b` will be asked for.
#[derive(Debug)]
pub(super) struct Foresees;

impl ResourcePredictor for Foresees {
    fn forecast(&self, history: &UsageHistory) -> ResourceForecast {
        let rate = if history.key().subject.as_str() == "b" { 20.0 } else { 0.0 };
        let horizon = |millis| HorizonForecast {
            horizon: Duration::from_millis(millis),
            quantiles: Quantiles::certain(rate).unwrap(),
        };
        ResourceForecast {
            key: history.key().clone(),
            at: history.last().map(|sample| sample.at).unwrap_or_default(),
            horizons: vec![horizon(250), horizon(500), horizon(3000)],
            health: ForecastHealth::Skilled { relative_error: 0.5 },
            season: None,
        }
    }

    fn optimize(&self, _: &ResourceForecast) -> Recommendation {
        unreachable!("the loop asks for no recommendation")
    }

    fn validate(&self, usage: &ResourceUsage) -> ForecastScore {
        let health = ForecastHealth::Skilled { relative_error: 0.5 };
        let (key, scored) = (usage.key.clone(), 1);
        ForecastScore { key, scored, relative_error: None, coverage95: None, pinball: None, health }
    }
}
