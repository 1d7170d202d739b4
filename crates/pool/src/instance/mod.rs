//! A pool of warm objects: connections, sessions, loaded models.

mod builder;
mod config;
pub(crate) mod core;
mod create;
mod error;
mod get;
mod hooks;
mod jitter;
mod keyed;
mod lent;
mod manager;
mod sense;
#[cfg(test)]
mod tests;
mod upkeep;
mod wait;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use plimsoll_core_types::{OptimizeError, PoolMetrics, Reason, Timestamp};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::core::{After, Cause, Core, Rest};
pub use self::core::{Counts, SLOT_OVERHEAD, WaitHistogram};
pub use builder::PoolBuilder;
pub use config::{PoolConfig, PoolConfigError, Retry};
pub use error::GetError;
pub use get::Ask;
pub use hooks::{Hooks, Retired};
use jitter::Jitter;
pub use keyed::{KeyedConfig, KeyedError, KeyedPool};
pub use lent::Lent;
pub use manager::Manager;
use sense::Sense;

use crate::sizing::SizingPolicy;

/// Warm objects, lent in turn.
///
/// - An idle object is lent, and taken back, with one atomic exchange each: no lock, no
///   allocation, no look at the clock. The one used last is lent first. A task that only gets and
///   drops still lets others run: each loan takes a unit of its cooperative budget.
/// - Where none is idle, requests stand in line, by priority, then by deadline, then by arrival;
///   what comes back goes straight to who is next. Nobody barges.
/// - Objects are made in tasks of their own. A request takes what comes first: the new object or
///   one that comes back. One that goes away leaves its new object to the next.
/// - Whatever becomes of a request, an object or the manager's future (an error, a panic, a
///   cancel), its place in the pool comes back by `Drop`.
///
/// Cloning gives another handle to the same pool. When the last one is dropped the pool is
/// [closed](Self::close); what is lent stays usable until it comes back.
///
/// ```
/// use plimsoll_pool::{Manager, Pool, PoolConfig};
///
/// struct Buffers;
/// impl Manager for Buffers {
///     type Object = Vec<u8>;
///     type Error = std::convert::Infallible;
///     async fn create(&self) -> Result<Vec<u8>, Self::Error> {
///         Ok(Vec::with_capacity(4096))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::new(Buffers, PoolConfig::new(2))?;
/// let mut buffer = pool.get().await?;
/// buffer.push(1);
/// drop(buffer);
/// assert_eq!(pool.status().idle, 1);
/// # Ok(())
/// # }
/// ```
pub struct Pool<M: Manager> {
    shared: Arc<Shared<M>>,
}

/// What keeps a pool alive while it has objects.
type Anchor<M> = Arc<Shared<M>>;

/// What all handles and loans of one pool share.
pub(crate) struct Shared<M: Manager> {
    core: Core<M::Object, GetError<M::Error>, Anchor<M>>,
    manager: M,
    hooks: Option<Box<dyn Hooks<M::Object>>>,
    config: PoolConfig,
    sizing: Option<Box<dyn SizingPolicy>>,
    epoch: Instant,
    jitter: Jitter,
    sense: Mutex<Sense>,
    handles: AtomicUsize,
    upkeep_runs: AtomicBool,
    empty: Notify,
}

/// What a [`Pool`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// How many objects there may be.
    pub max: usize,
    /// How many exist or are being made; more than `max` until a shrink has drained.
    pub size: usize,
    /// How many of them are idle.
    pub idle: usize,
    /// How many of them are being made.
    pub creating: usize,
    /// How many requests wait.
    pub waiting: usize,
    /// What has happened so far.
    pub counts: Counts,
}

/// What [`Pool::optimize`] changed.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeChange {
    /// How many objects there could be before.
    pub from: usize,
    /// How many there can be now; the same where nothing was changed.
    pub to: usize,
    /// Why.
    pub reason: Reason,
}

impl PoolStatus {
    /// By how much there are more objects than there may be. Below zero, so many more can be made.
    pub const fn debt(&self) -> isize {
        self.size.cast_signed() - self.max.cast_signed()
    }

    /// How many are out, those included that have been given to a request that has not taken them
    /// yet.
    pub const fn in_use(&self) -> usize {
        self.size.saturating_sub(self.idle + self.creating)
    }
}

impl<M: Manager> Pool<M> {
    /// An empty pool: objects are made when they are asked for.
    ///
    /// # Errors
    ///
    /// When `config` contradicts itself; names the field.
    pub fn new(manager: M, config: PoolConfig) -> Result<Self, PoolConfigError> {
        Self::builder(manager, config).build()
    }

    /// A pool with hooks, a sizing policy, or a fixed seed.
    pub const fn builder(manager: M, config: PoolConfig) -> PoolBuilder<M> {
        PoolBuilder::new(manager, config)
    }

    /// How many objects may exist from now on; at least 1. Idle ones beyond it are dropped now,
    /// lent ones when they come back: until then the pool is in [debt](PoolStatus::debt) and makes
    /// none. Growth serves waiters at once.
    pub fn resize(&self, size: usize) {
        let size = size.clamp(1, self::core::MOST - self.shared.config.surge);
        self.shared.finish(self.shared.core.resize(size));
    }

    /// Lets the pool's sizing policy say how many objects there should be, and resizes the pool.
    /// Without a policy the size stays.
    ///
    /// The metrics are usually the pool's own, of [`measure`](Self::measure). A pool whose config
    /// asks for upkeep does this by itself.
    ///
    /// # Errors
    ///
    /// When the metrics contradict themselves, or the pool is closed.
    pub fn optimize(&self, metrics: &PoolMetrics) -> Result<SizeChange, OptimizeError> {
        self.shared.optimize(metrics)
    }

    /// What the pool did since this was last asked, or since it was made.
    ///
    /// Holds are not timed one by one, which would cost each loan two looks at the clock. Their
    /// mean follows from how many were out on average, by J. D. C. Little, *A Proof for the
    /// Queuing Formula L = λW* (1961); the pool counts them at each round of upkeep, and here. Zero where it saw none out.
    pub fn measure(&self) -> PoolMetrics {
        self.shared.measure()
    }

    /// How long waits took, those that timed out or were given up included.
    pub fn waits(&self) -> WaitHistogram {
        self.shared.core.history().1
    }

    /// Drops what is idle, ends every wait with an error, and drops lent objects as they come
    /// back. Can't be undone. [`drained`](Self::drained) waits for the last one.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Waits until a closed pool has no object left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn drained(&self) {
        loop {
            let emptied = self.shared.empty.notified();
            let sizes = self.shared.core.sizes();
            if sizes.closed && sizes.size + sizes.leaving == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// What it has.
    pub fn status(&self) -> PoolStatus {
        let sizes = self.shared.core.sizes();
        let (counts, _) = self.shared.core.history();
        PoolStatus {
            max: sizes.max,
            size: sizes.size,
            idle: sizes.idle,
            creating: sizes.creating,
            waiting: sizes.waiting,
            counts,
        }
    }

    /// Who makes the objects.
    pub fn manager(&self) -> &M {
        &self.shared.manager
    }

    /// How it was told to behave.
    pub fn config(&self) -> &PoolConfig {
        &self.shared.config
    }
}

impl<M: Manager> Shared<M> {
    /// The time since the pool was made.
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.epoch.elapsed()
    }

    /// Wakes whoever was served, then retires what is not wanted any more. For callers that hold
    /// the pool otherwise.
    fn finish(&self, after: After<M::Object, Anchor<M>>) {
        if let Some(rest) = after.wake_all() {
            drop(self.end_all(*rest));
        }
    }

    /// Retires what is not wanted any more. Gives what has to be dropped when the pool will not be
    /// touched any more.
    #[cold]
    fn end_all(&self, mut rest: Rest<M::Object, Anchor<M>>) -> Option<Anchor<M>> {
        let anchor = rest.anchor.take();
        let leaving = Leaving { shared: self, count: rest.leaving };
        for (mut object, cause) in rest.retired.drain(..) {
            if let (Some(hooks), Some(why)) = (&self.hooks, retired(cause)) {
                hooks.on_retire(&mut object, why);
            }
        }
        drop(leaving);
        self.empty.notify_waiters();
        anchor
    }

    fn close(&self) {
        self.finish(self.core.close());
    }
}

/// The places of objects that have retired. Dropping it says that they are gone, whether or not one
/// of them panicked on its way.
struct Leaving<'a, M: Manager> {
    shared: &'a Shared<M>,
    count: usize,
}

impl<M: Manager> Drop for Leaving<'_, M> {
    fn drop(&mut self) {
        if self.count > 0 {
            drop(self.shared.core.gone(self.count).wake_all());
        }
    }
}

const fn retired(cause: Cause) -> Option<Retired> {
    match cause {
        Cause::Unfit => Some(Retired::Unfit),
        Cause::Idle => Some(Retired::Idle),
        Cause::TooOld => Some(Retired::TooOld),
        Cause::Surplus => Some(Retired::Surplus),
        Cause::TakenOut => None,
    }
}

impl<M: Manager> Clone for Pool<M> {
    fn clone(&self) -> Self {
        self.shared.handles.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M: Manager> Drop for Pool<M> {
    fn drop(&mut self) {
        if self.shared.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.close();
        }
    }
}

impl<M: Manager> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.status()).finish_non_exhaustive()
    }
}
