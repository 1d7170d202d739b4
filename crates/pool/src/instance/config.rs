//! How a pool of objects behaves.

use std::time::Duration;

/// How a [`Pool`](super::Pool) behaves. Checked when the pool is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// How many objects there may be; at least 1. Can be changed with
    /// [`Pool::resize`](super::Pool::resize).
    pub size: usize,
    /// How many may wait; the next one is refused. Default 4096.
    pub max_waiting: usize,
    /// How many later comers of higher classes may go before the first of a lower class. Default
    /// 32; 0 serves all classes in order of arrival, nearly.
    pub max_bypass: u32,
    /// How long to wait for an object at most; none waits for ever. Default none.
    pub wait_within: Option<Duration>,
    /// How long the manager may take to make one; none is as long as it likes. Default none.
    pub create_within: Option<Duration>,
    /// How long the manager may take to check one before it is lent again. Default none.
    pub recycle_within: Option<Duration>,
}

impl PoolConfig {
    /// At most `size` objects, everything else by default.
    pub const fn new(size: usize) -> Self {
        Self {
            size,
            max_waiting: 4096,
            max_bypass: 32,
            wait_within: None,
            create_within: None,
            recycle_within: None,
        }
    }

    pub(super) const fn check(&self) -> Result<(), PoolConfigError> {
        if self.size == 0 { Err(PoolConfigError::NoSize) } else { Ok(()) }
    }
}

/// Why a [`PoolConfig`] is no config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolConfigError {
    /// There could be no object.
    #[error("size is 0; it must be at least 1")]
    NoSize,
}
