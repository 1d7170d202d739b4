//! The wait for a permit.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::line::{Stand, Ticket};
use super::{Admission, Refused};

/// The shortest sleep: where admission's clock is not the runtime's, time is asked for again and
/// again.
const SHORTEST: Duration = Duration::from_millis(1);

/// A place in the line. Dropping it leaves the line; a permit that crossed with that goes back.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    pub(super) admission: &'a Admission,
    pub(super) ticket: Ticket,
    pub(super) deadline: Timestamp,
    pub(super) told: bool,
}

impl Waiting<'_> {
    /// Ends when it is this one's turn, or never will be.
    pub(super) async fn settled(mut self) -> Result<(), Refused> {
        loop {
            let left = self.deadline.saturating_since(self.admission.clock.now());
            tokio::select! {
                biased;
                settled = poll_fn(|context| self.poll(context)) => {
                    self.told = true;
                    return settled;
                }
                () = tokio::time::sleep(left.max(SHORTEST)) => {
                    let now = self.admission.clock.now();
                    self.admission.line.lock().expire(self.ticket, now);
                    self.admission.serve();
                }
            }
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<(), Refused>> {
        match self.admission.line.lock().poll(self.ticket, context.waker()) {
            // None has been told before: whoever polls once more has had the answer.
            Some(Stand::Waits(_)) | None => Poll::Pending,
            Some(Stand::Granted) => Poll::Ready(Ok(())),
            Some(Stand::Refused(reason, retry_after)) => {
                Poll::Ready(Err(Refused { reason: reason.into(), retry_after }))
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let granted = self.admission.line.lock().leave(self.ticket);
        if granted {
            self.admission.give_back();
        } else {
            // The last to leave lets newcomers pass again.
            self.admission.serve();
        }
    }
}
