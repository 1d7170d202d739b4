//! Retries that can't become the outage: a budget for all, and jittered pauses for each.
//!
//! Sources: the budget as a share of requests with a floor is Finagle's `RetryBudget` (and tower's
//! `Budget`); the pauses are the *full jitter* of M. Brooker, *Exponential Backoff And Jitter* (AWS
//! Architecture Blog 2015), which of the usual kinds makes the fewest calls in all when many
//! callers have failed at once.

use std::time::Duration;

use plimsoll_core_types::{Ratio, SplitMix64, Timestamp};

use crate::config::ConfigError;
use crate::sync::{AtomicU64, Ordering};

/// How many retries there may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryBudgetConfig {
    /// Retries per request, over all callers. 0% to 100%; default 20%. With 20% an outage of what
    /// is called raises its load to at most 1.2 times the usual, whatever each caller does.
    pub share: Ratio,
    /// How many retries of that share may be saved up. 1 to a million; default 100.
    pub burst: u32,
    /// Retries per second that are allowed on top, so that a caller with few requests may retry at
    /// all. At most 1000; default 5.
    pub floor_per_second: u32,
}

impl Default for RetryBudgetConfig {
    fn default() -> Self {
        Self { share: Ratio::saturating(0.2), burst: 100, floor_per_second: 5 }
    }
}

impl RetryBudgetConfig {
    /// Says whether every value is within its bounds.
    ///
    /// # Errors
    ///
    /// Names the first field that is not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.share > Ratio::ONE {
            return Err(ConfigError::new("share", self.share, "0% to 100%"));
        }
        if !(1..=1_000_000).contains(&self.burst) {
            return Err(ConfigError::new("burst", self.burst, "1 to 1000000"));
        }
        if self.floor_per_second > 1000 {
            return Err(ConfigError::new(
                "floor_per_second",
                self.floor_per_second,
                "at most 1000",
            ));
        }
        Ok(())
    }
}

/// One retry, in the unit that the balance is kept in.
const RETRY: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// A token bucket that requests fill and retries empty.
///
/// Tell it of each [request](Self::request), and [ask](Self::retry) it before each retry. In any
/// stretch of time there are at most `share × requests + burst` retries, plus the floor's. While
/// the bucket is full a request only reads one word.
///
/// ```
/// use plimsoll_core_types::{Ratio, Timestamp};
/// use plimsoll_integration::resilience::{RetryBudget, RetryBudgetConfig};
///
/// let share = Ratio::new(0.5)?;
/// let budget = RetryBudget::new(RetryBudgetConfig { share, floor_per_second: 0, burst: 10 })?;
/// budget.request();
/// assert!(!budget.retry(Timestamp::ZERO), "half a retry is not enough");
/// budget.request();
/// assert!(budget.retry(Timestamp::ZERO));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    balance: AtomicU64,
    /// When the floor's next retry would come if they came evenly.
    ///
    /// Source: the generic cell rate algorithm, ITU-T I.371.
    due: AtomicU64,
    per_request: u64,
    most: u64,
    floor: u64,
}

impl RetryBudget {
    /// An empty bucket.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of its bounds.
    pub fn new(config: RetryBudgetConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            balance: AtomicU64::new(0),
            due: AtomicU64::new(0),
            per_request: (config.share.get() * RETRY as f64) as u64,
            most: u64::from(config.burst) * RETRY,
            floor: u64::from(config.floor_per_second),
        })
    }

    /// A request was made; its retries are not requests.
    #[inline]
    pub fn request(&self) {
        if self.balance.load(Ordering::Relaxed) < self.most {
            self.deposit();
        }
    }

    fn deposit(&self) {
        update(&self.balance, |now| {
            (now < self.most).then(|| (now + self.per_request).min(self.most))
        });
    }

    /// True when a retry may be made now, which is then spent.
    pub fn retry(&self, now: Timestamp) -> bool {
        update(&self.balance, |balance| balance.checked_sub(RETRY)) || self.floor_allows(now)
    }

    fn floor_allows(&self, now: Timestamp) -> bool {
        if self.floor == 0 {
            return false;
        }
        let now = now.as_nanos();
        // A second's worth may come at once.
        update(&self.due, |due| {
            let next = due.max(now) + SECOND / self.floor;
            (next <= now.saturating_add(SECOND)).then_some(next)
        })
    }

    /// Retries that the share has saved up.
    pub fn balance(&self) -> f64 {
        self.balance.load(Ordering::Relaxed) as f64 / RETRY as f64
    }
}

fn update(word: &AtomicU64, step: impl Fn(u64) -> Option<u64>) -> bool {
    word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step).is_ok()
}

/// How long to pause before each retry.
#[derive(Clone, Debug, PartialEq)]
pub struct BackoffConfig {
    /// The first pause is at most this. Above zero; default 50 ms.
    pub base: Duration,
    /// No pause is longer, unless whoever was called asks for it. At least `base`; default 5 s.
    pub most: Duration,
    /// How many retries there are at most. 0 to 64; default 3.
    pub retries: u32,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        let (base, most) = (Duration::from_millis(50), Duration::from_secs(5));
        Self { base, most, retries: 3 }
    }
}

impl BackoffConfig {
    /// Says whether every value is within its bounds.
    ///
    /// # Errors
    ///
    /// Names the first field that is not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.base.is_zero() {
            return Err(ConfigError::new("base", "0 s", "above 0 s"));
        }
        if self.most < self.base {
            let given = format!("{} s", self.most.as_secs_f64());
            return Err(ConfigError::new("most", given, "at least `base`"));
        }
        if self.retries > 64 {
            return Err(ConfigError::new("retries", self.retries, "0 to 64"));
        }
        Ok(())
    }
}

/// The pauses of one call's retries.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    random: SplitMix64,
    made: u32,
}

impl Backoff {
    /// The pauses that `seed` determines; calls that fail together must have different seeds.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of its bounds.
    pub fn new(config: BackoffConfig, seed: u64) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config, random: SplitMix64::new(seed), made: 0 })
    }

    /// How long to pause before the next retry: anything up to twice as much as the time before,
    /// but never less than `asked`, which whoever was called may have asked for (`Retry-After`).
    /// None when there have been as many retries as may be.
    pub fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        if self.made >= self.config.retries {
            return None;
        }
        let ceiling = self.config.base.saturating_mul(1_u32 << self.made.min(31));
        self.made += 1;
        let pause = ceiling.min(self.config.most).mul_f64(self.random.share());
        Some(pause.max(asked.unwrap_or_default()))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However requests and retries come: no more retries than the share, the burst and the
        /// floor allow together.
        #[test]
        fn retries_never_pass_the_budget(
            percent in 0_u32..=100,
            floor in 0_u32..20,
            steps in prop::collection::vec((0_u8..4, 0_u64..200), 1..500),
        ) {
            let share = Ratio::saturating(f64::from(percent) / 100.0);
            let config = RetryBudgetConfig { share, burst: 10, floor_per_second: floor };
            let budget = RetryBudget::new(config).unwrap();
            let (mut requests, mut retries, mut now) = (0.0, 0.0, 0);
            for (step, pause) in steps {
                if step == 0 {
                    budget.request();
                    requests += 1.0;
                } else if budget.retry(Timestamp::from_nanos(now * 1_000_000)) {
                    retries += 1.0;
                }
                now += pause;
                let floors = f64::from(floor) * (now as f64 / 1e3 + 1.0);
                let allowed = share.get() * requests + floors;
                prop_assert!(retries <= allowed + 1e-6, "{retries} of {allowed}");
                prop_assert!(budget.balance() <= 10.0);
            }
        }

        #[test]
        fn pauses_are_bounded_and_the_seed_determines_them(
            seed in any::<u64>(),
            asked in prop::option::of(0_u64..10_000),
        ) {
            let config = BackoffConfig { retries: 10, ..BackoffConfig::default() };
            let asked = asked.map(Duration::from_millis);
            let pauses = |seed| {
                let mut backoff = Backoff::new(config.clone(), seed).unwrap();
                std::iter::from_fn(move || backoff.next(asked)).collect::<Vec<_>>()
            };
            let some = pauses(seed);
            prop_assert_eq!(some.len(), 10);
            prop_assert_eq!(&some, &pauses(seed));
            for (made, pause) in some.iter().enumerate() {
                let most = (config.base * (1 << made)).min(config.most);
                prop_assert!(*pause <= most.max(asked.unwrap_or_default()));
                prop_assert!(*pause >= asked.unwrap_or_default());
            }
        }
    }

    #[test]
    fn callers_that_fail_together_come_back_spread_out() {
        let mut pauses: Vec<_> = (0..1000)
            .map(|seed| Backoff::new(BackoffConfig::default(), seed).unwrap().next(None).unwrap())
            .collect();
        pauses.sort_unstable();
        let tenth = |index: usize| pauses[index * 100].as_secs_f64() / 0.05;
        for index in 1..10 {
            let expected = index as f64 / 10.0;
            assert!((tenth(index) - expected).abs() < 0.05, "{index}: {}", tenth(index));
        }
    }

    #[test]
    fn an_outage_is_retried_by_no_more_than_the_share() {
        let config = RetryBudgetConfig { floor_per_second: 0, ..RetryBudgetConfig::default() };
        let budget = RetryBudget::new(config).unwrap();
        let retries = (0..10_000).filter(|_| {
            budget.request();
            budget.retry(Timestamp::ZERO)
        });
        assert_eq!(retries.count(), 2000);
    }
}
