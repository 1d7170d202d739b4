//! The wait for an object.

use std::pin::Pin;
use std::task::{Context, Poll};

use super::state::Gift;
use super::waiters::Place;
use super::{GetError, Manager, Shared};

/// A place in the line. Dropping it leaves the line, and passes on what was given meanwhile.
struct Waiting<'a, M: Manager> {
    shared: &'a Shared<M>,
    place: Option<Place>,
}

impl<M: Manager> Shared<M> {
    /// Waits at `place`.
    pub(super) async fn wait(&self, place: Place) -> Result<Gift<M::Object>, GetError<M::Error>> {
        let waiting = Waiting { shared: self, place: Some(place) };
        match self.config.wait_within {
            Some(within) => match tokio::time::timeout(within, waiting).await {
                Ok(gift) => gift.ok_or(GetError::Closed),
                Err(_) => Err(GetError::WaitTimedOut { within }),
            },
            None => waiting.await.ok_or(GetError::Closed),
        }
    }
}

impl<M: Manager> Future for Waiting<'_, M> {
    /// None where the pool was closed.
    type Output = Option<Gift<M::Object>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(place) = self.place else { return Poll::Ready(None) };
        let mut state = self.shared.state.lock();
        let taken = state.waiters.take(place, context.waker());
        let closed = state.closed;
        drop(state);
        match taken {
            Some(gift) => {
                self.place = None;
                Poll::Ready(Some(gift))
            }
            None if closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<M: Manager> Drop for Waiting<'_, M> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.finish(|state, max_bypass| state.leave(place, max_bypass));
        }
    }
}
