//! What a request is expected to take, and where less of it is left to do.

use std::time::Duration;

use plimsoll_core_types::ReplicaId;

/// How many places a request can name where part of its work is done already.
pub const MAX_CACHED: usize = 4;

/// What is to be dispatched. [`Work::default`] is a request of which nothing is known.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::ReplicaId;
/// use plimsoll_load::Work;
///
/// // 2 s of work on a backend of speed 1, of which replica 7 has 1.5 s in its prefix cache.
/// let work = Work::expecting(Duration::from_secs(2))
///     .cached_on(ReplicaId::new(7), Duration::from_millis(1500));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Work {
    pub(crate) expected: Option<Duration>,
    pub(crate) cached: [Option<(ReplicaId, Duration)>; MAX_CACHED],
    pub(crate) key: Option<u64>,
}

impl Work {
    /// Work that takes about `expected` on a backend of speed 1 that has no part of it cached.
    pub fn expecting(expected: Duration) -> Self {
        Self { expected: Some(expected), ..Self::default() }
    }

    /// The same work, of which `replica` has done what takes `saved` already (a cached prefix, a
    /// loaded session). Adds a candidate: it is taken when it is done first all the same, waiting
    /// included. A fifth place is ignored.
    #[must_use]
    pub fn cached_on(mut self, replica: ReplicaId, saved: Duration) -> Self {
        if let Some(free) = self.cached.iter_mut().find(|place| place.is_none()) {
            *free = Some((replica, saved));
        }
        self
    }

    /// What it is part of, where that was said.
    pub fn key(&self) -> Option<u64> {
        self.key
    }

    /// The same work as part of what `key` names (a session, a conversation, a prompt's prefix),
    /// for policies that go by it, such as [`BoundedHash`](crate::policy::BoundedHash). Predicted
    /// completion goes by [`cached_on`](Self::cached_on) alone.
    #[must_use]
    pub fn of_key(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }
}
