//! A pool of warm objects: connections, sessions, loaded models.

mod config;
mod error;
mod lent;
mod state;
#[cfg(test)]
mod tests;
mod wait;
mod waiters;

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use plimsoll_core_types::Priority;

pub use config::{PoolConfig, PoolConfigError};
pub use error::GetError;
pub use lent::Lent;
use lent::Right;
pub use state::Counts;
use state::{After, Gift, Start, State};

/// Makes objects for a [`Pool`], and says whether they can be used again.
pub trait Manager: Send + Sync + 'static {
    /// What is pooled.
    type Object: Send + 'static;
    /// Why none can be made, or one can't be used again.
    type Error: fmt::Display + Send;

    /// Makes an object.
    ///
    /// # Errors
    ///
    /// When it can't. The pool then lets the next one try.
    fn create(&self) -> impl Future<Output = Result<Self::Object, Self::Error>> + Send;

    /// Says whether an idle object can be lent again, and makes it so. By default it can.
    ///
    /// # Errors
    ///
    /// When it can't; it is retired, and another one is lent or made.
    fn recycle(
        &self,
        object: &mut Self::Object,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = object;
        async { Ok(()) }
    }

    /// Says at once whether an object that comes back is worth keeping. Called in `Drop`: it must
    /// not block. By default it is.
    fn keep(&self, object: &mut Self::Object) -> bool {
        let _ = object;
        true
    }
}

/// Warm objects, lent in turn.
///
/// An object that comes back goes straight to who waits longest: nobody barges. Whatever becomes
/// of a request, an object or the manager's future (an error, a panic, a cancel), its place in the
/// pool comes back by `Drop`.
///
/// Cloning gives another handle to the same pool.
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

pub(crate) struct Shared<M: Manager> {
    manager: M,
    config: PoolConfig,
    state: Mutex<State<M::Object>>,
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
    /// How many requests wait.
    pub waiting: usize,
    /// What has happened so far.
    pub counts: Counts,
}

impl<M: Manager> Pool<M> {
    /// An empty pool: objects are made when they are asked for.
    ///
    /// # Errors
    ///
    /// When `config` contradicts itself; names the field.
    pub fn new(manager: M, config: PoolConfig) -> Result<Self, PoolConfigError> {
        config.check()?;
        let state = Mutex::new(State::new(config.size));
        Ok(Self { shared: Arc::new(Shared { manager, config, state }) })
    }

    /// An object, as soon as there is one and it is this request's turn.
    ///
    /// Spends the task's cooperative budget also where it is served at once, so that a task that
    /// does nothing else still lets others run.
    ///
    /// # Errors
    ///
    /// When none came free in time, none could be made, too many wait, or the pool is closed; the
    /// error says which.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; what crossed with that goes to the next in line.
    pub async fn get(&self) -> Result<Lent<M>, GetError<M::Error>> {
        self.get_as(Priority::Normal).await
    }

    /// An object for a request of `priority`. Like [`get`](Self::get) otherwise.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As for [`get`](Self::get).
    pub async fn get_as(&self, priority: Priority) -> Result<Lent<M>, GetError<M::Error>> {
        tokio::task::coop::consume_budget().await;
        loop {
            let started = self.shared.state.lock().start(priority, self.shared.config.max_waiting);
            let gift = match started {
                Start::Given(gift) => gift,
                Start::Waits(place) => self.shared.wait(place).await?,
                Start::Full(waiting) => return Err(GetError::LineFull { waiting }),
                Start::Closed => return Err(GetError::Closed),
            };
            let right = Right::new(Arc::clone(&self.shared));
            match gift {
                Gift::Right => return right.create().await,
                Gift::Object(object) => {
                    if let Some(lent) = right.recycle(object).await {
                        return Ok(lent);
                    }
                }
            }
        }
    }

    /// How many objects may exist from now on; at least 1. Idle ones beyond it are dropped now,
    /// lent ones when they come back. Growth serves waiters at once.
    pub fn resize(&self, size: usize) {
        let max_bypass = self.shared.config.max_bypass;
        let (retired, wake) = self.shared.state.lock().resize(size.max(1), max_bypass);
        drop(retired);
        for waker in wake {
            waker.wake();
        }
    }

    /// Drops what is idle, ends every wait with an error, and drops lent objects as they come
    /// back. Can't be undone.
    pub fn close(&self) {
        let (retired, wake) = self.shared.state.lock().close();
        drop(retired);
        for waker in wake {
            waker.wake();
        }
    }

    /// What it has.
    pub fn status(&self) -> PoolStatus {
        let state = self.shared.state.lock();
        PoolStatus {
            max: state.max,
            size: state.size,
            idle: state.idle.len(),
            waiting: state.waiters.len(),
            counts: state.counts,
        }
    }

    /// Who makes the objects.
    pub fn manager(&self) -> &M {
        &self.shared.manager
    }
}

impl<M: Manager> Shared<M> {
    fn finish(&self, work: impl FnOnce(&mut State<M::Object>, u32) -> After<M::Object>) {
        let after = work(&mut self.state.lock(), self.config.max_bypass);
        if let Some(waker) = after.wake {
            waker.wake();
        }
        drop(after.retired);
    }
}

impl<M: Manager> Clone for Pool<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M: Manager> fmt::Debug for Pool<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("status", &self.status()).finish_non_exhaustive()
    }
}
