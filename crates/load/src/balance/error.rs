//! Why nothing was dispatched.

use std::time::Duration;

/// Why a [`Balancer`](crate::Balancer) dispatched nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError {
    /// Nobody was added, or everybody was removed.
    #[error("there are no backends")]
    NoBackends,
    /// Every backend is drained or ejected.
    #[error("none of {backends} backends takes requests; the first may return in {retry_after:?}")]
    Unavailable {
        /// How many there are.
        backends: usize,
        /// When the first ejected one may be probed; zero where none is ejected.
        retry_after: Duration,
    },
    /// Every slot is taken, and requests wait here rather than at backends
    /// ([`Binding::Late`](crate::Binding::Late)).
    #[error("all {slots} slots are taken; one should be free in {retry_after:?}")]
    Full {
        /// How many there are.
        slots: usize,
        /// The mean time until a slot is free, from the typical work.
        retry_after: Duration,
    },
}
