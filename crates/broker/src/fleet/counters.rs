//! What is counted of a model, and how its load goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use plimsoll_core_types::{LeaseId, ResourceVector, Timestamp};

/// How often it is looked whether anybody still waits.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often in a row nobody must be seen waiting: requests come a moment after the load that the
/// first of them asked for, and may try again at once.
const LOOKS: u32 = 5;
/// How long nobody tries again after a load that failed, at first and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// What progress says that is not known.
const UNKNOWN: u32 = u32::MAX;

/// What is counted of a model.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) arrivals: AtomicU64,
    pub(super) waiting: AtomicUsize,
    pub(super) in_progress: AtomicUsize,
    /// Nanoseconds; zero is never.
    pub(super) last_used: AtomicU64,
    /// Nanoseconds; zero is unknown.
    load_nanos: AtomicU64,
    /// When the load that is under way began, in nanoseconds.
    load_begun: AtomicU64,
    /// What the engine says of its load, in thousandths.
    progress: AtomicU32,
    /// Loads in a row that have failed.
    failures: AtomicU32,
    pub(super) lease: parking_lot::Mutex<Option<(LeaseId, ResourceVector)>>,
}

impl Counters {
    pub(super) fn new(load_time: Option<Duration>) -> Self {
        Self {
            arrivals: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            in_progress: AtomicUsize::new(0),
            last_used: AtomicU64::new(0),
            load_nanos: AtomicU64::new(load_time.map_or(0, nanos)),
            load_begun: AtomicU64::new(0),
            progress: AtomicU32::new(UNKNOWN),
            failures: AtomicU32::new(0),
            lease: parking_lot::Mutex::new(None),
        }
    }

    /// How long a load takes, measured where it was, else declared; none where neither is.
    pub(super) fn load_time(&self) -> Option<Duration> {
        let nanos = self.load_nanos.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    pub(super) fn load_begins(&self, now: Timestamp) {
        self.load_begun.store(now.as_nanos(), Ordering::Relaxed);
        self.progress.store(UNKNOWN, Ordering::Relaxed);
    }

    pub(super) fn load_took(&self, took: Duration) {
        self.load_nanos.store(nanos(took).max(1), Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
    }

    pub(super) fn load_failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How long after a load that failed nobody tries again: twice as long with each in a row.
    /// Without it, each request for a model that can't come up would have others evicted for it.
    pub(super) fn pause(&self) -> Duration {
        let failures = self.failures.load(Ordering::Relaxed);
        if failures == 0 {
            return Duration::ZERO;
        }
        PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(LONGEST_PAUSE)
    }

    pub(super) fn note_progress(&self, share: f64) {
        if (0.0..=1.0).contains(&share) {
            self.progress.store((share * 1000.0) as u32, Ordering::Relaxed);
        }
    }

    /// Which share of the load that is under way is done, by what the engine says, else by how
    /// long its last load took; none where neither is known or that time is over.
    pub(super) fn progress(&self, now: Timestamp) -> Option<f64> {
        let told = self.progress.load(Ordering::Relaxed);
        if told != UNKNOWN {
            return Some(f64::from(told) / 1000.0);
        }
        let (elapsed, all) = (self.loading_for(now).as_secs_f64(), self.load_time()?.as_secs_f64());
        (elapsed < all).then_some(elapsed / all)
    }

    /// How long the load that is under way still takes, where that is known.
    pub(super) fn remaining(&self, now: Timestamp) -> Option<Duration> {
        self.load_time()?.checked_sub(self.loading_for(now))
    }

    fn loading_for(&self, now: Timestamp) -> Duration {
        now.saturating_since(Timestamp::from_nanos(self.load_begun.load(Ordering::Relaxed)))
    }

    /// Ends when nobody has waited for a while.
    pub(super) async fn abandoned(&self) {
        let mut seen = 0;
        while seen < LOOKS {
            tokio::time::sleep(LOOK_EVERY).await;
            let nobody = self.waiting.load(Ordering::Relaxed) == 0;
            seen = if nobody { seen + 1 } else { 0 };
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Counts one up for as long as it lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<Counters>, fn(&Counters) -> &AtomicUsize);

impl Counted {
    pub(super) fn new(counters: &Arc<Counters>, which: fn(&Counters) -> &AtomicUsize) -> Self {
        which(counters).fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counters), which)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.1)(&self.0).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eta_is_left_out_where_nothing_is_known() {
        let counters = Counters::new(None);
        counters.load_begins(Timestamp::ZERO);
        assert_eq!((counters.remaining(at(1)), counters.progress(at(1))), (None, None));
        counters.load_took(Duration::from_secs(4));
        counters.load_begins(at(10));
        assert_eq!(counters.remaining(at(11)), Some(Duration::from_secs(3)));
        assert_eq!(counters.progress(at(11)), Some(0.25));
        assert_eq!((counters.remaining(at(15)), counters.progress(at(15))), (None, None));
        counters.note_progress(0.5);
        assert_eq!(counters.progress(at(15)), Some(0.5));
    }

    #[test]
    fn the_pause_after_failures_doubles_and_ends_with_a_success() {
        let counters = Counters::new(None);
        assert_eq!(counters.pause(), Duration::ZERO);
        let pauses: Vec<_> = (0..8)
            .map(|_| {
                counters.load_failed();
                counters.pause().as_secs()
            })
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        counters.load_took(Duration::from_secs(1));
        assert_eq!(counters.pause(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_abandoned_when_nobody_waits_for_a_while() {
        let counters = Arc::new(Counters::new(None));
        let waiting = Counted::new(&counters, |counters| &counters.waiting);
        let watched = Arc::clone(&counters);
        let abandoned = tokio::spawn(async move { watched.abandoned().await });
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!abandoned.is_finished());
        drop(waiting);
        tokio::time::timeout(Duration::from_secs(2), abandoned).await.unwrap().unwrap();
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }
}
