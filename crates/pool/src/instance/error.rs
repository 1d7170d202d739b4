//! Why no object could be had.

use std::time::Duration;

/// Why [`Pool::get`](super::Pool::get) gave no object. `E` is the manager's error.
///
/// Each of the three timeouts has its own variant: of the wait for an object, of the making of one,
/// and of the check before one is lent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GetError<E> {
    /// No object came free in time. The pool is too small, or its objects are held for too long.
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
    /// The manager's attempt to make an object was broken off: it panicked, or its runtime was
    /// shut down.
    #[error("the making of an object was broken off")]
    CreateBroken,
    /// Object after object failed its check, as many as the config lets one request try.
    #[error("{tried} objects in a row failed their check, the last one because: {last}")]
    Recycle {
        /// How many.
        tried: u32,
        /// What the check of the last one said.
        last: E,
    },
    /// Object after object failed its check, and that of the last one took too long.
    #[error("{tried} objects in a row failed their check, the last one after {within:?}")]
    RecycleTimedOut {
        /// How many.
        tried: u32,
        /// How long a check may take.
        within: Duration,
    },
    /// The pool is closed.
    #[error("the pool is closed")]
    Closed,
}
