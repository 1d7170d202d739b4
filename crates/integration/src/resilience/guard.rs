//! Everything at once around a call that may fail or hang.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core_types::{Clock, SplitMix64};

use super::{
    Backoff, BackoffConfig, Breaker, BreakerConfig, Bulkhead, Full, Refused, RetryBudget,
    RetryBudgetConfig,
};
use crate::config::ConfigError;

/// How calls are guarded.
#[derive(Clone, Debug, PartialEq)]
pub struct GuardConfig {
    /// When calls are kept away from what fails.
    pub breaker: BreakerConfig,
    /// How many calls may be under way. Above zero; default 64.
    pub in_progress: usize,
    /// How long one attempt may take. Above zero; default 30 s.
    pub timeout: Duration,
    /// How many retries all calls together may make.
    pub budget: RetryBudgetConfig,
    /// How long to pause before each.
    pub backoff: BackoffConfig,
    /// Determines the pauses. Processes that call the same thing should differ in it; default 0.
    pub seed: u64,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            breaker: BreakerConfig::default(),
            in_progress: 64,
            timeout: Duration::from_secs(30),
            budget: RetryBudgetConfig::default(),
            backoff: BackoffConfig::default(),
            seed: 0,
        }
    }
}

/// What is wrong with a failed call, for whoever decides about retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller's own: trying again changes nothing, and it says nothing of what was called.
    Caller,
    /// It failed, and may go well the next time.
    Passing {
        /// How long whoever was called asks to be left alone, where it does.
        retry_after: Option<Duration>,
    },
    /// It failed, and trying again would do harm or no good.
    Lasting,
}

/// Why a guarded call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuardError<E> {
    /// As many calls are under way as may be; nothing was called.
    #[error(transparent)]
    Full(#[from] Full),
    /// What is called has failed too often; nothing was called this time.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The last attempt took too long, and was dropped.
    #[error("no answer within {} s", .after.as_secs_f64())]
    TimedOut {
        /// How long it had.
        after: Duration,
    },
    /// The last attempt failed.
    #[error(transparent)]
    Failed(E),
}

/// A breaker, a compartment, a deadline, and retries within a budget, around calls of one thing.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
/// use std::sync::Arc;
/// use plimsoll_core_types::SystemClock;
/// use plimsoll_integration::resilience::{Fault, Guard, GuardConfig};
///
/// let guard = Guard::new(GuardConfig::default(), Arc::new(SystemClock::new()))?;
/// let mut attempts = 0;
/// let answer = guard
///     .call(
///         || {
///             attempts += 1;
///             let fails = attempts == 1;
///             async move { if fails { Err("not now") } else { Ok(42) } }
///         },
///         |_| Fault::Passing { retry_after: None },
///     )
///     .await;
/// assert_eq!((answer, attempts), (Ok(42), 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Guard {
    clock: Arc<dyn Clock>,
    breaker: Breaker,
    bulkhead: Bulkhead,
    budget: RetryBudget,
    backoff: BackoffConfig,
    timeout: Duration,
    seed: AtomicU64,
}

impl Guard {
    /// A guard that has seen no call.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of its bounds.
    pub fn new(config: GuardConfig, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        config.backoff.check()?;
        if config.in_progress == 0 {
            return Err(ConfigError::new("in_progress", 0, "above 0"));
        }
        if config.timeout.is_zero() {
            return Err(ConfigError::new("timeout", "0 s", "above 0 s"));
        }
        Ok(Self {
            clock,
            breaker: Breaker::new(config.breaker)?,
            bulkhead: Bulkhead::new(config.in_progress),
            budget: RetryBudget::new(config.budget)?,
            backoff: config.backoff,
            timeout: config.timeout,
            seed: AtomicU64::new(config.seed),
        })
    }

    /// Calls `attempt`, and again while it fails, `fault` says that it may pass, and the budget
    /// allows it. An attempt that takes too long is a [passing](Fault::Passing) fault.
    ///
    /// # Errors
    ///
    /// When the call was refused, or its last attempt failed or took too long.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempt that is under way, which then counts as neither well
    /// nor failed, and gives its seat and its probe's place back.
    pub async fn call<T, E, F>(
        &self,
        mut attempt: impl FnMut() -> F,
        fault: impl Fn(&E) -> Fault,
    ) -> Result<T, GuardError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let _seat = self.bulkhead.enter()?;
        self.budget.request();
        let mut backoff: Option<Backoff> = None;
        loop {
            let (error, retry_after) = match self.once(&mut attempt, &fault).await {
                Ok(answer) => return Ok(answer),
                Err((error, Fault::Passing { retry_after })) => (error, retry_after),
                Err((error, _)) => return Err(error),
            };
            let backoff = backoff.get_or_insert_with(|| self.pauses());
            let Some(pause) = backoff.next(retry_after) else { return Err(error) };
            // A retry that would be refused is not paid for.
            if !self.breaker.is_closed() || !self.budget.retry(self.clock.now()) {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn once<T, E, F>(
        &self,
        attempt: &mut impl FnMut() -> F,
        fault: &impl Fn(&E) -> Fault,
    ) -> Result<T, (GuardError<E>, Fault)>
    where
        F: Future<Output = Result<T, E>>,
    {
        let now = || self.clock.now();
        let permit = self.breaker.admit(now).map_err(|refused| (refused.into(), Fault::Lasting))?;
        let Ok(answer) = tokio::time::timeout(self.timeout, attempt()).await else {
            permit.failure(now);
            let error = GuardError::TimedOut { after: self.timeout };
            return Err((error, Fault::Passing { retry_after: None }));
        };
        match answer {
            Ok(answer) => {
                permit.success();
                Ok(answer)
            }
            Err(error) => {
                let fault = fault(&error);
                // Whoever can tell a caller that it is wrong is well.
                if fault == Fault::Caller {
                    permit.success();
                } else {
                    permit.failure(now);
                }
                Err((GuardError::Failed(error), fault))
            }
        }
    }

    fn pauses(&self) -> Backoff {
        let seed = self.seed.fetch_add(SplitMix64::STEP, Ordering::Relaxed);
        Backoff::new(self.backoff.clone(), seed).expect("checked when the guard was made")
    }

    /// What keeps calls away.
    pub const fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// What bounds how many are under way.
    pub const fn bulkhead(&self) -> &Bulkhead {
        &self.bulkhead
    }

    /// What bounds retries.
    pub const fn budget(&self) -> &RetryBudget {
        &self.budget
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;

    use plimsoll_core_types::{Clock, Timestamp};

    use super::*;

    /// Tokio's paused time, so that pauses and timeouts move this clock too.
    #[derive(Debug)]
    struct Paused(tokio::time::Instant);

    impl Clock for Paused {
        fn now(&self) -> Timestamp {
            Timestamp::ZERO + self.0.elapsed()
        }
    }

    fn guard(config: GuardConfig) -> Guard {
        Guard::new(config, Arc::new(Paused(tokio::time::Instant::now()))).unwrap()
    }

    fn passing(_: &&str) -> Fault {
        Fault::Passing { retry_after: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_given_up_and_opens_the_breaker() {
        let timeout = Duration::from_secs(2);
        let guard = guard(GuardConfig { timeout, ..GuardConfig::default() });
        let calls = Cell::new(0);
        let hang = || {
            calls.set(calls.get() + 1);
            std::future::pending::<Result<(), &str>>()
        };
        assert_eq!(guard.call(hang, passing).await, Err(GuardError::TimedOut { after: timeout }));
        assert_eq!(calls.get(), 4, "three retries");
        guard.call(hang, passing).await.unwrap_err();
        assert_eq!(
            calls.get(),
            5,
            "the fifth failure in a row opened it, so nothing more is tried"
        );
        let refused = guard.call(hang, passing).await.unwrap_err();
        assert!(matches!(refused, GuardError::Refused(Refused::Open { .. })), "{refused}");
        assert_eq!(calls.get(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_caller_did_wrong_is_not_retried_and_blames_nobody() {
        let guard = guard(GuardConfig::default());
        for _ in 0..20 {
            let answer = guard.call(async || Err::<(), _>("bad"), |_| Fault::Caller).await;
            assert_eq!(answer, Err(GuardError::Failed("bad")));
        }
        assert!(guard.breaker().is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_waits_as_long_as_it_was_asked_to() {
        let guard = guard(GuardConfig::default());
        let start = tokio::time::Instant::now();
        let calls = Cell::new(0);
        let call = async || {
            calls.set(calls.get() + 1);
            if calls.get() == 1 { Err("wait") } else { Ok(()) }
        };
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(guard.call(call, |_| Fault::Passing { retry_after }).await, Ok(()));
        assert_eq!(start.elapsed(), Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_dropped_leave_their_seats_and_probes() {
        let config = GuardConfig { in_progress: 1, ..GuardConfig::default() };
        let guard = guard(config);
        for _ in 0..3 {
            let call = guard.call(std::future::pending::<Result<(), &str>>, passing);
            tokio::time::timeout(Duration::from_secs(1), call).await.unwrap_err();
        }
        assert_eq!(guard.bulkhead().own().taken(), 0);
        let inside = guard.call(
            || async {
                let full = guard.call(async || Ok::<_, &str>(()), passing).await;
                assert_eq!(full, Err(GuardError::Full(Full { limit: 1, own: 1, taken: 1 })));
                Ok(())
            },
            passing,
        );
        assert_eq!(inside.await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_not_multiplied_by_retries() {
        let config = GuardConfig {
            breaker: BreakerConfig {
                failures_in_a_row: 0,
                window: 1024,
                ..BreakerConfig::default()
            },
            budget: RetryBudgetConfig { floor_per_second: 0, ..RetryBudgetConfig::default() },
            ..GuardConfig::default()
        };
        let guard = guard(config);
        let calls = Cell::new(0);
        for _ in 0..500 {
            let fails = async || {
                calls.set(calls.get() + 1);
                Err::<(), _>("down")
            };
            guard.call(fails, passing).await.unwrap_err();
        }
        assert_eq!(calls.get(), 600, "500 requests and a fifth more");
    }
}
