//! One pool for each key: a database, a model, a host.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::{GetError, Lent, Manager, Pool, PoolConfig, PoolConfigError};

/// How a [`KeyedPool`] behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeyedConfig {
    /// How each key's pool behaves.
    pub each: PoolConfig,
    /// How many keys there may be pools for; at least 1. Default 1024. For one more, the pool that
    /// was asked longest ago, among those with nothing out and nobody waiting, is closed.
    pub max_keys: usize,
}

impl KeyedConfig {
    /// Pools that behave like `each`, everything else by default.
    pub const fn new(each: PoolConfig) -> Self {
        Self { each, max_keys: 1024 }
    }
}

/// Why a [`KeyedPool`] gave no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyedError<E> {
    /// There are pools for as many keys as there may be, and all are in use.
    #[error("{keys} keys are in use, which is the limit")]
    TooManyKeys {
        /// How many.
        keys: usize,
    },
    /// The key's pool is none.
    #[error(transparent)]
    Config(#[from] PoolConfigError),
    /// The key's pool gave none.
    #[error(transparent)]
    Get(#[from] GetError<E>),
}

/// Pools by key, made when they are first asked for.
///
/// ```
/// use plimsoll_pool::{KeyedConfig, KeyedPool, Manager, PoolConfig};
///
/// struct Sessions(String);
/// impl Manager for Sessions {
///     type Object = String;
///     type Error = std::convert::Infallible;
///     async fn create(&self) -> Result<String, Self::Error> {
///         Ok(format!("session of {}", self.0))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pools = KeyedPool::new(KeyedConfig::new(PoolConfig::new(2)), |key: &String| {
///     Sessions(key.clone())
/// });
/// let session = pools.get(&"llama".to_owned()).await?;
/// assert_eq!(*session, "session of llama");
/// # Ok(())
/// # }
/// ```
pub struct KeyedPool<K, M: Manager> {
    config: KeyedConfig,
    make: Box<dyn Fn(&K) -> M + Send + Sync>,
    pools: RwLock<HashMap<K, Entry<M>>>,
    uses: AtomicU64,
}

struct Entry<M: Manager> {
    pool: Pool<M>,
    /// The number of its last use.
    used: AtomicU64,
}

impl<K: Clone + Eq + Hash, M: Manager> KeyedPool<K, M> {
    /// No pools yet. `make` makes each key's manager.
    pub fn new(config: KeyedConfig, make: impl Fn(&K) -> M + Send + Sync + 'static) -> Self {
        let (pools, uses) = (RwLock::new(HashMap::new()), AtomicU64::new(0));
        Self { config, make: Box::new(make), pools, uses }
    }

    /// An object for `key`. Everything else as for [`Pool::get`].
    ///
    /// # Errors
    ///
    /// When there are too many keys, or the key's pool gives none.
    ///
    /// # Cancel safety
    ///
    /// As for [`Pool::get`].
    pub async fn get(&self, key: &K) -> Result<Lent<M>, KeyedError<M::Error>> {
        loop {
            match self.pool(key)?.get().await {
                // It was closed for another key's sake since it was looked up.
                Err(GetError::Closed) if !self.has_open(key) => {}
                got => return Ok(got?),
            }
        }
    }

    /// The pool of `key`.
    ///
    /// # Errors
    ///
    /// When there are too many keys, or the config contradicts itself.
    pub fn pool(&self, key: &K) -> Result<Pool<M>, KeyedError<M::Error>> {
        let used = self.uses.fetch_add(1, Ordering::Relaxed);
        if let Some(entry) = self.pools.read().get(key) {
            entry.used.store(used, Ordering::Relaxed);
            return Ok(entry.pool.clone());
        }
        let mut pools = self.pools.write();
        if let Some(entry) = pools.get(key) {
            return Ok(entry.pool.clone());
        }
        let evicted = if pools.len() >= self.config.max_keys.max(1) {
            let keys = pools.len();
            let oldest = least_used(&pools).ok_or(KeyedError::TooManyKeys { keys })?;
            pools.remove(&oldest)
        } else {
            None
        };
        let pool = Pool::new((self.make)(key), self.config.each)?;
        let entry = Entry { pool: pool.clone(), used: AtomicU64::new(used) };
        pools.insert(key.clone(), entry);
        drop(pools);
        if let Some(entry) = evicted {
            entry.pool.close();
        }
        Ok(pool)
    }

    /// The keys that there are pools for.
    pub fn keys(&self) -> Vec<K> {
        self.pools.read().keys().cloned().collect()
    }

    /// Closes all pools. New ones are made for those who ask again.
    pub fn close(&self) {
        let pools = std::mem::take(&mut *self.pools.write());
        for entry in pools.values() {
            entry.pool.close();
        }
    }

    fn has_open(&self, key: &K) -> bool {
        self.pools.read().contains_key(key)
    }
}

/// The key that was asked for longest ago, of those with nothing out and nobody waiting.
fn least_used<K: Clone, M: Manager>(pools: &HashMap<K, Entry<M>>) -> Option<K> {
    let unused = pools.iter().filter(|(_, entry)| {
        let status = entry.pool.status();
        status.waiting == 0 && status.size == status.idle
    });
    let oldest = unused.min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed));
    oldest.map(|(key, _)| key.clone())
}

impl<K: fmt::Debug, M: Manager> fmt::Debug for KeyedPool<K, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pools = self.pools.read();
        f.debug_struct("KeyedPool").field("keys", &pools.keys()).finish_non_exhaustive()
    }
}
