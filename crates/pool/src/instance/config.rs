//! How a pool of objects behaves.

use std::time::Duration;

use plimsoll_core_types::Ratio;

use super::core::MOST;

/// How a [`Pool`](super::Pool) behaves. Checked when the pool is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolConfig {
    /// How many objects there may be; 1 to 1,048,574. Can be changed with
    /// [`Pool::resize`](super::Pool::resize).
    pub size: usize,
    /// How many may wait, beside those for whom there is room to make an object; the next one is
    /// refused. Default 4096.
    pub max_waiting: usize,
    /// How many later comers of higher classes, or with a deadline, may go before the first of a
    /// lower class, or without one. Default 32; 0 serves all in order of arrival, nearly.
    pub max_bypass: u32,
    /// How many objects may be made at the same time; 1 is single flight. Default no limit.
    pub max_creating: usize,
    /// How long to wait for an object at most; none waits for ever. Default none.
    pub wait_within: Option<Duration>,
    /// How long the manager may take to make one; none is as long as it likes. Default none.
    pub create_within: Option<Duration>,
    /// How long the manager may take to check one before it is lent again. Default none.
    pub recycle_within: Option<Duration>,
    /// How many objects that fail their check one request tries before it is told; at least 1.
    /// Default 16.
    pub recycle_attempts: u32,
    /// What follows a failure to make one. By default whoever waits is told at once.
    pub retry: Retry,
    /// How many are kept idle, ahead of need. Default 0.
    pub min_idle: usize,
    /// An object that was not used for this long is retired, unless it is among the
    /// [`min_idle`](Self::min_idle). Default never.
    pub idle_for: Option<Duration>,
    /// An object that is older than this is replaced, then retired. Default never.
    pub lifetime: Option<Duration>,
    /// A lifetime is shortened at random by up to this share, so that objects that were made
    /// together do not end together. Default 0.1; at most 1.
    pub lifetime_jitter: Ratio,
    /// How many objects more than [`size`](Self::size) there may be while old ones are replaced.
    /// Default 0: in a full pool, the old one is retired first.
    pub surge: usize,
    /// How often the pool looks after idle, old and missing objects, where the config asks for
    /// any of that, and after its size, where it has a policy for it. Times are kept to about
    /// this. Default 1 s; above zero.
    pub upkeep_every: Duration,
}

/// What follows a failure to make an object: pauses that double, each at random between nothing
/// and its full length.
///
/// Source: M. Brooker, *Exponential Backoff and Jitter* (AWS Architecture Blog, 2015), "full
/// jitter".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often to try, until whoever waits is told. Default 1, at least 1.
    pub attempts: u32,
    /// The longest first pause. Default 50 ms.
    pub first: Duration,
    /// The longest pause of all. Default 5 s.
    pub most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 1, first: Duration::from_millis(50), most: Duration::from_secs(5) }
    }
}

impl Retry {
    /// The longest pause after `failures` in a row.
    pub(super) fn ceiling(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }
}

impl PoolConfig {
    /// At most `size` objects, everything else by default.
    pub fn new(size: usize) -> Self {
        Self {
            size,
            max_waiting: 4096,
            max_bypass: 32,
            max_creating: usize::MAX,
            wait_within: None,
            create_within: None,
            recycle_within: None,
            recycle_attempts: 16,
            retry: Retry::default(),
            min_idle: 0,
            idle_for: None,
            lifetime: None,
            lifetime_jitter: Ratio::saturating(0.1),
            surge: 0,
            upkeep_every: Duration::from_secs(1),
        }
    }

    pub(super) fn check(&self) -> Result<(), PoolConfigError> {
        let zero = |field| Err(PoolConfigError::Zero { field });
        if self.size == 0 {
            return Err(PoolConfigError::NoSize);
        }
        if self.size.saturating_add(self.surge) > MOST {
            return Err(PoolConfigError::TooLarge { size: self.size, surge: self.surge });
        }
        if self.max_creating == 0 {
            return zero("max_creating");
        }
        if self.recycle_attempts == 0 {
            return zero("recycle_attempts");
        }
        if self.retry.attempts == 0 {
            return zero("retry.attempts");
        }
        if self.upkeep_every.is_zero() {
            return zero("upkeep_every");
        }
        if self.min_idle > self.size {
            return Err(PoolConfigError::Idle { min_idle: self.min_idle, size: self.size });
        }
        Ok(())
    }
}

/// Why a [`PoolConfig`] is no config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolConfigError {
    /// There could be no object.
    #[error("size is 0; it must be at least 1")]
    NoSize,
    /// There could be more than the pool can number.
    #[error("size {size} and surge {surge} are more than {MOST} together")]
    TooLarge {
        /// How many there may be.
        size: usize,
        /// How many more while old ones are replaced.
        surge: usize,
    },
    /// More would have to be idle than there may be.
    #[error("min_idle {min_idle} is more than size {size}")]
    Idle {
        /// How many are to be idle.
        min_idle: usize,
        /// How many there may be.
        size: usize,
    },
    /// A count or time that can't be zero.
    #[error("{field} is 0; it must be above 0")]
    Zero {
        /// Which field.
        field: &'static str,
    },
}
