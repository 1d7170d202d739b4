//! The wait for a lease.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core_types::{
    AllocateError, ConsumerId, Resource, ResourceRequest, TicketId, Timestamp,
};
use tokio::sync::oneshot;

use super::{Answer, Asked, Boxed, LedgerPool, Shared};
use crate::ledger::Ledger;

/// The shortest sleep: where the pool's clock is not the runtime's, time is asked for again and
/// again.
const SHORTEST: Duration = Duration::from_millis(1);

/// A request that is to be granted, of [`LedgerPool::allocate`]. It is made with the first poll.
#[must_use = "nothing is asked for before it is polled"]
pub struct Allocate<'pool> {
    pool: &'pool LedgerPool,
    stage: Stage,
}

enum Stage {
    Asks(Option<ResourceRequest>),
    Waits(Boxed<'static, Answer>),
}

impl<'pool> Allocate<'pool> {
    #[inline]
    pub(super) const fn new(pool: &'pool LedgerPool, request: ResourceRequest) -> Self {
        Self { pool, stage: Stage::Asks(Some(request)) }
    }

    #[cold]
    fn wait(&mut self, waiting: Waiting, context: &mut Context<'_>) -> Poll<Answer> {
        let mut waits: Boxed<'static, Answer> = Box::pin(waiting.granted());
        let polled = waits.as_mut().poll(context);
        self.stage = Stage::Waits(waits);
        polled
    }
}

impl Future for Allocate<'_> {
    type Output = Answer;

    /// # Panics
    ///
    /// When it is polled again after it has been granted or refused.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let request = match &mut self.stage {
            Stage::Asks(request) => request.take().expect("polled after its end"),
            Stage::Waits(waits) => return waits.as_mut().poll(context),
        };
        let amount = *request.amount();
        match self.pool.ask(request) {
            Ok(Asked::Granted(lease)) => Poll::Ready(Ok(self.pool.lent(lease, amount))),
            Ok(Asked::Waits(waiting)) => self.wait(*waiting, context),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl fmt::Debug for Allocate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allocate").finish_non_exhaustive()
    }
}

/// A place in the line. Dropping it leaves the line; a grant that crossed with that goes back.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) shared: Arc<Shared>,
    pub(super) ticket: TicketId,
    pub(super) consumer: ConsumerId,
    pub(super) answer: oneshot::Receiver<Answer>,
}

impl Waiting {
    /// The lease, when it is its turn.
    pub(super) async fn granted(mut self) -> Result<Resource, AllocateError> {
        let shared = Arc::clone(&self.shared);
        loop {
            let changed = shared.expiries.notified();
            let wakeup = shared.next_wakeup();
            tokio::select! {
                biased;
                answer = &mut self.answer => {
                    let closed = || AllocateError::Closed { consumer: self.consumer.clone() };
                    return answer.map_err(|_| closed())?;
                }
                () = changed => {}
                () = shared.sleep_until(wakeup) => shared.run(Ledger::expire),
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // One that has been answered is in the line no more, and there is nothing to leave.
        self.shared.leave(self.ticket);
    }
}

impl Shared {
    async fn sleep_until(&self, wakeup: Option<Timestamp>) {
        match wakeup {
            Some(wakeup) => {
                let left = wakeup.saturating_since(self.clock.now());
                tokio::time::sleep(left.max(SHORTEST)).await;
            }
            None => std::future::pending().await,
        }
    }
}
