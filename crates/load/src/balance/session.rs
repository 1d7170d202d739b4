//! Which backend has which session at hand: a bounded memory, which forgets what was not used of late.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::ReplicaId;

use super::work::Work;

/// Remembers where sessions were served last, so that their next request can be told where part of
/// its work is done already. It adds a candidate to [`Work`], and never decides: a backend that
/// would be done later is passed over all the same.
///
/// At most as many sessions as it was made for are remembered; of more, those that were not served
/// for longest are forgotten.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::ReplicaId;
/// use plimsoll_load::{Sessions, Work};
///
/// let sessions = Sessions::new(1000, Duration::from_millis(80));
/// let first = sessions.work(Work::default().of_key(7));
/// sessions.served(&first, ReplicaId::new(3));
/// let second = sessions.work(Work::default().of_key(7));
/// assert_eq!(second, Work::default().of_key(7).cached_on(ReplicaId::new(3), Duration::from_millis(80)));
/// ```
#[derive(Debug)]
pub struct Sessions {
    /// What is saved where a session is at hand.
    saves: Duration,
    /// Sessions that one generation holds; there are two.
    most: usize,
    generations: Mutex<[HashMap<u64, ReplicaId>; 2]>,
}

impl Sessions {
    /// Remembers up to `sessions` (at least 2, at most 2^24); a backend that has one at hand saves
    /// `saves` of its next request.
    pub fn new(sessions: usize, saves: Duration) -> Self {
        let most = sessions.clamp(2, 1 << 24) / 2;
        Self { saves, most, generations: Mutex::default() }
    }

    /// `work` with the backend that has its session at hand as one more candidate.
    #[must_use]
    pub fn work(&self, work: Work) -> Work {
        let Some(key) = work.key() else { return work };
        let generations = self.generations.lock();
        let known = generations[0].get(&key).or_else(|| generations[1].get(&key)).copied();
        drop(generations);
        known.map_or(work, |replica| work.cached_on(replica, self.saves))
    }

    /// `work` was served by `replica`.
    pub fn served(&self, work: &Work, replica: ReplicaId) {
        let Some(key) = work.key() else { return };
        let mut generations = self.generations.lock();
        let [young, old] = &mut *generations;
        old.remove(&key);
        young.insert(key, replica);
        if young.len() >= self.most {
            // What was not served since the last time is forgotten.
            *old = std::mem::take(young);
        }
    }

    /// `replica` has lost its sessions, or is gone. Looks at all that are remembered.
    pub fn forget(&self, replica: ReplicaId) {
        for generation in &mut *self.generations.lock() {
            generation.retain(|_, known| *known != replica);
        }
    }

    /// How many sessions are remembered.
    pub fn len(&self) -> usize {
        self.generations.lock().iter().map(HashMap::len).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn session(key: u64) -> Work {
        Work::default().of_key(key)
    }

    fn at(sessions: &Sessions, key: u64) -> Option<ReplicaId> {
        sessions.work(session(key)).cached[0].map(|(replica, _)| replica)
    }

    #[test]
    fn it_holds_the_latest_and_no_more_than_its_bound() {
        let sessions = Sessions::new(100, Duration::from_millis(1));
        for key in 0..10_000 {
            sessions.served(&session(key), ReplicaId::new(key % 7));
            // One that is served again and again is never forgotten.
            sessions.served(&session(u64::MAX), ReplicaId::new(9));
            assert!(sessions.len() <= 100);
        }
        assert!((9_960..10_000).all(|key| at(&sessions, key) == Some(ReplicaId::new(key % 7))));
        assert_eq!(at(&sessions, u64::MAX), Some(ReplicaId::new(9)));
        assert_eq!(at(&sessions, 5), None);
    }

    #[test]
    fn who_is_gone_is_no_candidate_and_work_without_a_key_is_left_alone() {
        let sessions = Sessions::new(10, Duration::from_millis(1));
        sessions.served(&session(1), ReplicaId::new(1));
        sessions.served(&session(2), ReplicaId::new(2));
        sessions.served(&Work::default(), ReplicaId::new(2));
        sessions.forget(ReplicaId::new(1));
        assert_eq!((at(&sessions, 1), at(&sessions, 2)), (None, Some(ReplicaId::new(2))));
        assert_eq!(sessions.work(Work::default()), Work::default());
        assert_eq!(sessions.len(), 1);
    }
}
