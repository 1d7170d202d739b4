//! What a caller that was let through holds until it has told what came of its call.

use plimsoll_core_types::Timestamp;

use super::Breaker;
use super::probes::Ticket;
use super::word::{is_closed, is_same_closed, is_spotless};
use crate::sync::Ordering;

/// One call that was let through. Tell it what came of the call; dropped without, the call counts
/// as neither, and a probe leaves its place to another.
#[derive(Debug)]
#[must_use = "dropped at once, it says nothing about the call"]
pub struct Permit<'a> {
    pub(super) breaker: &'a Breaker,
    /// The closed word that let it through, or a probe's [`Ticket`]: two words that registers hold.
    pub(super) token: u64,
}

impl Permit<'_> {
    /// The call went well.
    #[inline]
    pub fn success(self) {
        let word = self.breaker.word.0.load(Ordering::Relaxed);
        if is_same_closed(word, self.token) {
            if !is_spotless(word) {
                self.breaker.succeeded();
            }
            // It holds no place.
            std::mem::forget(self);
        } else {
            self.settle_success();
        }
    }

    /// A call of an earlier turn has no say, and a probe that came back too late has lost its
    /// place, and its say with it.
    #[cold]
    #[inline(never)]
    fn settle_success(self) {
        if let Some(ticket) = self.ticket()
            && self.breaker.probes.done(ticket)
        {
            self.breaker.probe_succeeded(ticket.turn());
        }
        std::mem::forget(self);
    }

    /// The call failed. `now` is asked only where the breaker opens for it.
    #[cold]
    #[inline(never)]
    pub fn failure(self, now: impl FnOnce() -> Timestamp) {
        match self.ticket() {
            None => self.breaker.failed(self.token, now),
            Some(ticket) => {
                self.breaker.probe_failed(ticket.turn(), now());
                self.breaker.probes.free(ticket);
            }
        }
        std::mem::forget(self);
    }

    /// True where the call is a probe of a half-open breaker.
    #[inline]
    pub const fn is_probe(&self) -> bool {
        !is_closed(self.token)
    }

    #[inline]
    const fn ticket(&self) -> Option<Ticket> {
        if self.is_probe() { Some(Ticket(self.token)) } else { None }
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket() {
            self.breaker.probes.free(ticket);
        }
    }
}
