//! The wait for a lease.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{AllocateError, ConsumerId, Resource, TicketId, Timestamp};
use tokio::sync::oneshot;

use super::{Answer, Shared};
use crate::ledger::Ledger;

/// The shortest sleep: where the pool's clock is not the runtime's, time is asked for again and
/// again.
const SHORTEST: Duration = Duration::from_millis(1);

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
