//! The wait for a permit.

use std::future::poll_fn;
use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::line::Ticket;
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
                settled = poll_fn(|context| self.admission.stand(self.ticket, context.waker())) => {
                    self.told = true;
                    return settled.map_err(Refused::from);
                }
                () = tokio::time::sleep(left.max(SHORTEST)) => self.admission.expire(self.ticket),
            }
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.admission.leave(self.ticket);
        }
    }
}
