//! Hooks through which memory is given back.

use std::time::Duration;

use async_trait::async_trait;

use crate::id::ConsumerId;
use crate::priority::Priority;
use crate::rank::GiveUp;
use crate::units::Bytes;

/// What a [`Reclaimer`] is asked to give back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReclaimRequest {
    /// At least this much, if it can.
    pub bytes: Bytes,
    /// For whom; what is freed is earmarked for it.
    pub beneficiary: ConsumerId,
    /// After this long nobody waits for the answer any more.
    pub within: Duration,
}

/// Somebody who can give memory back: a cache, an idle model, an arena.
///
/// Asked in the order of [`GiveUp`], never under a lock, and abandoned at its deadline. What it
/// says it freed is checked against what is measured.
#[async_trait]
pub trait Reclaimer: Send + Sync + std::fmt::Debug {
    /// Whose memory it is.
    fn consumer(&self) -> &ConsumerId;

    /// Reclaimers of a lower priority are asked first.
    fn priority(&self) -> Priority;

    /// What it could free now, and what that would cost. Must not block.
    fn offer(&self) -> GiveUp;

    /// Frees memory, and says how much.
    ///
    /// # Cancel safety
    ///
    /// Dropped when its time is up; what it had freed by then counts when it is measured.
    async fn reclaim(&self, request: ReclaimRequest) -> Bytes;
}
