//! The tokens that hold a place in the pool.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use super::state::State;
use super::{GetError, Manager, Shared};

/// An object on loan. Dropping it gives it back.
#[must_use = "dropping a Lent gives it back at once"]
pub struct Lent<M: Manager> {
    shared: Arc<Shared<M>>,
    /// None only once it has been taken out for good.
    object: Option<M::Object>,
}

/// A place in the pool, held while an object is made or checked. Dropping it hands the right to
/// make one to the next in line.
pub(super) struct Right<M: Manager> {
    shared: Option<Arc<Shared<M>>>,
}

impl<M: Manager> Lent<M> {
    pub(super) const fn new(shared: Arc<Shared<M>>, object: M::Object) -> Self {
        Self { shared, object: Some(object) }
    }

    /// Takes the object out of the pool for good; another one may be made in its place.
    ///
    /// # Panics
    ///
    /// Never: the object is there until the loan ends.
    pub fn detach(mut self) -> M::Object {
        self.object.take().expect("an object is lent until the loan ends")
    }

    /// Drops the object, which is of no more use; another one may be made in its place.
    pub fn discard(self) {
        drop(self.detach());
    }
}

impl<M: Manager> Drop for Lent<M> {
    fn drop(&mut self) {
        let Some(mut object) = self.object.take() else {
            return self.shared.finish(State::lose);
        };
        // Should the manager panic here, the place comes back by this guard all the same.
        let right = Right { shared: Some(Arc::clone(&self.shared)) };
        let keep = self.shared.manager.keep(&mut object);
        if keep {
            right.keep();
            self.shared.finish(|state, max_bypass| state.put(object, max_bypass));
        } else {
            self.shared.state.lock().counts.unfit += 1;
            drop(right);
        }
    }
}

impl<M: Manager> Deref for Lent<M> {
    type Target = M::Object;

    fn deref(&self) -> &M::Object {
        self.object.as_ref().expect("an object is lent until the loan ends")
    }
}

impl<M: Manager> DerefMut for Lent<M> {
    fn deref_mut(&mut self) -> &mut M::Object {
        self.object.as_mut().expect("an object is lent until the loan ends")
    }
}

impl<M: Manager<Object: fmt::Debug>> fmt::Debug for Lent<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lent").field(&self.object).finish()
    }
}

impl<M: Manager> Right<M> {
    pub(super) const fn new(shared: Arc<Shared<M>>) -> Self {
        Self { shared: Some(shared) }
    }

    /// Lends `object`, which holds the place so far, where it passes the manager's check. One that
    /// does not, or whose check is broken off, is dropped.
    pub(super) async fn recycle(self, mut object: M::Object) -> Option<Lent<M>> {
        let shared = self.shared.as_ref()?;
        let check = within(shared.config.recycle_within, shared.manager.recycle(&mut object)).await;
        if !matches!(check, Ok(Ok(()))) {
            shared.state.lock().counts.unfit += 1;
            return None;
        }
        let lent = Lent::new(Arc::clone(shared), object);
        self.keep();
        Some(lent)
    }

    /// Makes the object that this is the right to.
    pub(super) async fn create(self) -> Result<Lent<M>, GetError<M::Error>> {
        let Some(shared) = &self.shared else { return Err(GetError::Closed) };
        let failure = Failure(shared);
        let limit = shared.config.create_within;
        let object = match within(limit, shared.manager.create()).await {
            Ok(Ok(object)) => object,
            Ok(Err(error)) => return Err(GetError::Create(error)),
            Err(within) => return Err(GetError::CreateTimedOut { within }),
        };
        std::mem::forget(failure);
        shared.state.lock().counts.created += 1;
        let lent = Lent::new(Arc::clone(shared), object);
        self.keep();
        Ok(lent)
    }

    /// The place is held by something else from now on.
    fn keep(mut self) {
        self.shared = None;
    }
}

/// Counts an object that was not made, unless forgotten.
struct Failure<'a, M: Manager>(&'a Shared<M>);

impl<M: Manager> Drop for Failure<'_, M> {
    fn drop(&mut self) {
        self.0.state.lock().counts.create_failures += 1;
    }
}

impl<M: Manager> Drop for Right<M> {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.finish(State::lose);
        }
    }
}

/// What `work` gives within `limit`, or the limit.
async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Result<T, Duration> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.map_err(|_| limit),
        None => Ok(work.await),
    }
}
