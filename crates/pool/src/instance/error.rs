//! Why no object could be had.

use std::time::Duration;

/// Why [`Pool::get`](super::Pool::get) gave no object. `E` is the manager's error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GetError<E> {
    /// No object came free in time.
    #[error("no object came free within {within:?}")]
    WaitTimedOut {
        /// How long was waited.
        within: Duration,
    },
    /// Too many wait already.
    #[error("{waiting} wait for an object already, which is the limit")]
    LineFull {
        /// How many wait.
        waiting: usize,
    },
    /// The manager could not make an object.
    #[error("an object could not be made: {0}")]
    Create(E),
    /// The manager took too long to make an object.
    #[error("an object could not be made within {within:?}")]
    CreateTimedOut {
        /// How long it may take.
        within: Duration,
    },
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
}
