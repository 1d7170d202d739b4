//! A request on its way: counted for as long as it lives.

use std::ops::Deref;

use plimsoll_core_types::{ReplicaId, Timestamp};

use super::Balancer;
use super::core::{Begun, Ended};

/// A request that was sent to a backend. It counts there until it is dropped; dropping it says
/// that nobody waited for the answer, which teaches nothing but that it took that long.
///
/// It is the only way to be counted, so counts can't drift from requests.
#[derive(Debug)]
#[must_use = "dropped at once, the request is not counted while it is in progress"]
pub struct Dispatch<H: Deref<Target = Balancer>> {
    balancer: H,
    begun: Begun,
    ended: Option<(Ended, Timestamp)>,
}

impl<H: Deref<Target = Balancer>> Dispatch<H> {
    #[inline]
    pub(super) const fn new(balancer: H, begun: Begun) -> Self {
        Self { balancer, begun, ended: None }
    }

    /// Where to send it.
    pub const fn replica(&self) -> ReplicaId {
        self.begun.id
    }

    /// It was answered well: the backend's speed is learned from the time it took.
    #[inline]
    pub fn succeed(mut self, now: Timestamp) {
        self.ended = Some((Ended::Well, now));
    }

    /// It failed. However fast, that never makes its backend look better.
    #[inline]
    pub fn fail(mut self, now: Timestamp) {
        self.ended = Some((Ended::Badly, now));
    }
}

impl<H: Deref<Target = Balancer>> Drop for Dispatch<H> {
    #[inline]
    fn drop(&mut self) {
        let (ended, now) = match self.ended {
            Some((ended, now)) => (ended, Some(now)),
            None => (Ended::Cancelled, None),
        };
        self.balancer.end(&self.begun, ended, now);
    }
}
