//! Loading what is missing, once for all who ask.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use super::ManagedCache;
use crate::flight::Flight;

impl<K, V> ManagedCache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The value of `key`, loaded by `init` where there is none. Of those who ask at once, one
    /// loads and the others wait for it; nobody waits for a load of another key.
    ///
    /// A key that is written or invalidated while it is loaded is not overwritten: the loaded
    /// value then goes to those who wait, and not into the cache. When `init` panics, one of those
    /// who wait loads in its place. `init` must not ask this cache for the same key.
    pub fn get_with(&self, key: &K, init: impl FnOnce() -> V) -> V {
        if let Some(entry) = self.inner.look_up(key) {
            return entry.value.clone();
        }
        loop {
            match self.board(key) {
                Boarded::There(value) => return value,
                Boarded::Leads(leader) => return leader.land(init()),
                Boarded::Follows(flight) => {
                    if let Some(value) = flight.wait() {
                        return value;
                    }
                }
            }
        }
    }

    /// As [`get_with`](Self::get_with), for a load that is a future.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it loads, one of those who wait loads in its place.
    pub async fn get_with_async(&self, key: &K, init: impl Future<Output = V>) -> V {
        if let Some(entry) = self.inner.look_up(key) {
            return entry.value.clone();
        }
        loop {
            match self.board(key) {
                Boarded::There(value) => return value,
                Boarded::Leads(leader) => return leader.land(init.await),
                Boarded::Follows(flight) => {
                    if let Some(value) = flight.waited().await {
                        return value;
                    }
                }
            }
        }
    }

    /// Starts a load of `key`, or joins the one under way.
    fn board(&self, key: &K) -> Boarded<K, V> {
        let inner = &self.inner;
        let hash = inner.store.hash(key);
        let mut held = inner.store.hold(hash);
        if let Some(flight) = held.get(key) {
            return Boarded::Follows(Arc::clone(flight));
        }
        // Somebody may have landed since the look-up.
        if inner.store.contains(key)
            && let Some(entry) = inner.store.get(key).filter(|entry| !inner.outlived(entry))
        {
            return Boarded::There(entry.value.clone());
        }
        let flight = Flight::new();
        held.insert(key.clone(), Arc::clone(&flight));
        let cache = self.clone();
        Boarded::Leads(Leader { cache, key: key.clone(), hash, flight, landed: false })
    }
}

/// What somebody who misses a key does about it.
enum Boarded<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    There(V),
    Leads(Leader<K, V>),
    Follows(Arc<Flight<V>>),
}

/// The one who loads. Dropped without landing, those who wait are told to try themselves.
struct Leader<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    cache: ManagedCache<K, V>,
    key: K,
    hash: u64,
    flight: Arc<Flight<V>>,
    landed: bool,
}

impl<K, V> Leader<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn land(mut self, value: V) -> V {
        let inner = &self.cache.inner;
        {
            let mut held = inner.store.hold(self.hash);
            if !self.flight.is_superseded() {
                held.remove(&self.key);
                inner.put(&held, self.hash, self.key.clone(), value.clone());
            }
        }
        self.landed = true;
        self.flight.land(Some(value.clone()));
        inner.store.relieve();
        value
    }
}

impl<K, V> Drop for Leader<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        {
            let mut held = self.cache.inner.store.hold(self.hash);
            if !self.flight.is_superseded() {
                held.remove(&self.key);
            }
        }
        self.flight.land(None);
    }
}
