//! How a pool comes about.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::core::{Bounds, Core};
use super::jitter::Jitter;
use super::sense::Sense;
use super::{Hooks, Manager, Pool, PoolConfig, PoolConfigError, Shared};
use crate::sizing::SizingPolicy;

/// A pool to be.
pub struct PoolBuilder<M: Manager> {
    manager: M,
    config: PoolConfig,
    hooks: Option<Box<dyn Hooks<M::Object>>>,
    sizing: Option<Box<dyn SizingPolicy>>,
    seed: Option<u64>,
}

impl<M: Manager> PoolBuilder<M> {
    pub(super) const fn new(manager: M, config: PoolConfig) -> Self {
        Self { manager, config, hooks: None, sizing: None, seed: None }
    }

    /// Has `hooks` called as objects come and go.
    #[must_use]
    pub fn hooks(mut self, hooks: impl Hooks<M::Object>) -> Self {
        self.hooks = Some(Box::new(hooks));
        self
    }

    /// Has `policy` say how many objects there should be: at each round of upkeep, and when
    /// [`Pool::optimize`] is called. Its own bounds are the pool's.
    #[must_use]
    pub fn sizing(mut self, policy: impl SizingPolicy + 'static) -> Self {
        self.sizing = Some(Box::new(policy));
        self
    }

    /// Fixes what is left to chance: pauses between attempts, and lifetimes.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The pool.
    ///
    /// # Errors
    ///
    /// When the config contradicts itself; names the field.
    pub fn build(self) -> Result<Pool<M>, PoolConfigError> {
        self.config.check()?;
        let bounds = Bounds {
            waiting: self.config.max_waiting,
            bypass: self.config.max_bypass,
            creating: self.config.max_creating,
        };
        let shared = Shared {
            core: Core::new(self.config.size, bounds),
            manager: self.manager,
            hooks: self.hooks,
            config: self.config,
            sizing: self.sizing,
            epoch: Instant::now(),
            jitter: Jitter::new(self.seed),
            sense: Mutex::new(Sense::default()),
            handles: AtomicUsize::new(1),
            upkeep_runs: AtomicBool::new(false),
            empty: Notify::new(),
        };
        Ok(Pool { shared: Arc::new(shared) })
    }
}

impl<M: Manager> fmt::Debug for PoolBuilder<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
