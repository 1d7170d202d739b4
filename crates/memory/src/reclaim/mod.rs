//! Who is asked to give memory back, in which order, and what came of it.
//!
//! Reclaimers are other people's code. They are never called under a lock, so that they may take
//! and give back memory themselves. Each call runs as a task of its own: one that panics is
//! reported, one that does not answer in time is abandoned and reported, and what one says it
//! freed is compared with what was measured. Whoever misbehaves sits out for some turns, twice as
//! many each time, and what it offers counts for as much as its word has been worth.

mod order;
mod turn;

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{Bytes, ConsumerId, Reclaimer};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use order::Offered;
pub use order::Trust;
pub(crate) use turn::Turn;

/// How many reports are kept.
const REPORTS: usize = 256;

/// What came of asking a reclaimer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It freed what it said.
    Freed,
    /// It said that it freed nothing.
    Nothing,
    /// It said that it freed more than was measured.
    Overstated,
    /// It did not answer in time, and was abandoned.
    TimedOut,
    /// It panicked.
    Panicked,
}

/// One turn of a reclaimer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReclaimReport {
    /// Whose memory it was.
    pub consumer: ConsumerId,
    /// For whom.
    pub beneficiary: ConsumerId,
    /// What it was asked to free.
    pub asked: Bytes,
    /// What it said that it freed.
    pub claimed: Bytes,
    /// What was measured.
    pub measured: Bytes,
    /// How long it took.
    pub took: Duration,
    /// How it went.
    pub outcome: Outcome,
}

/// The reclaimers of a budget tree, or of a host. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Reclaimers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
pub(crate) struct Shared {
    book: Mutex<Book>,
    /// Told when a turn ends, or somebody new is there to be asked.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Book {
    entries: Vec<Entry>,
    next: u64,
    reports: VecDeque<ReclaimReport>,
}

struct Entry {
    number: u64,
    /// The node of a tree below which it frees memory; zero on a host.
    place: usize,
    reclaimer: Arc<dyn Reclaimer>,
    trust: Trust,
    busy: bool,
    /// Keeps the place.
    keep: Option<Keep>,
}

/// Something that lives as long as it is held.
pub(crate) type Keep = Arc<dyn Any + Send + Sync>;

/// Keeps a reclaimer in place. Dropping it takes the reclaimer out.
#[must_use = "dropping a Registration takes the reclaimer out"]
#[derive(Debug)]
pub struct Registration {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let gone = {
            let mut book = self.shared.book.lock();
            let place = book.entries.iter().position(|entry| entry.number == self.number);
            place.map(|place| book.entries.remove(place))
        };
        // Dropping somebody else's code may do anything: not under the lock.
        drop(gone);
    }
}

impl Reclaimers {
    /// Nobody yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has `reclaimer` asked when memory is wanted.
    pub fn register(&self, reclaimer: Arc<dyn Reclaimer>) -> Registration {
        self.register_at(0, reclaimer, None)
    }

    pub(crate) fn register_at(
        &self,
        place: usize,
        reclaimer: Arc<dyn Reclaimer>,
        keep: Option<Keep>,
    ) -> Registration {
        let number = {
            let mut book = self.shared.book.lock();
            let number = book.next;
            book.next += 1;
            let trust = Trust::default();
            book.entries.push(Entry { number, place, reclaimer, trust, busy: false, keep });
            number
        };
        self.shared.changed.notify_waiters();
        Registration { shared: Arc::clone(&self.shared), number }
    }

    /// What came of the last turns, the oldest first; at most 256.
    pub fn reports(&self) -> Vec<ReclaimReport> {
        self.shared.book.lock().reports.iter().cloned().collect()
    }

    /// How far each reclaimer is trusted.
    pub fn trust(&self) -> Vec<(ConsumerId, Trust)> {
        let book = self.shared.book.lock();
        book.entries.iter().map(|e| (e.reclaimer.consumer().clone(), e.trust)).collect()
    }

    /// Tells when a turn has ended, or somebody new has come.
    pub(crate) async fn changed(&self) {
        self.shared.changed.notified().await;
    }

    /// Gives the turn to the best one at a place that `eligible` lets through and that is not
    /// among `asked`; none where nobody is left who offers anything.
    pub(crate) fn begin(&self, eligible: impl Fn(usize) -> bool, asked: &[u64]) -> Option<Turn> {
        let idle: Vec<_> = {
            let mut book = self.shared.book.lock();
            let fits = |e: &&mut Entry| !e.busy && eligible(e.place) && !asked.contains(&e.number);
            let fitting = book.entries.iter_mut().filter(fits);
            let willing = fitting.filter_map(|entry| {
                let sits_out = entry.trust.sits_out();
                (!sits_out).then(|| (entry.number, Arc::clone(&entry.reclaimer), entry.trust))
            });
            willing.collect()
        };
        // Offers are made outside of the lock; one that panics offers nothing.
        let offers = idle.into_iter().filter_map(|(number, reclaimer, trust)| {
            let ask = AssertUnwindSafe(|| (reclaimer.offer(), reclaimer.priority()));
            let (offer, priority) = catch_unwind(ask).ok()?;
            Some((Offered::new(priority, offer, trust)?, number, reclaimer))
        });
        let mut offers: Vec<_> = offers.collect();
        offers.sort_by(|(a, ..), (b, ..)| a.compare(b));
        let mut book = self.shared.book.lock();
        offers.into_iter().find_map(|(offer, number, reclaimer)| {
            let entry = book.entries.iter_mut().find(|entry| entry.number == number)?;
            if std::mem::replace(&mut entry.busy, true) {
                return None;
            }
            let (shared, keep) = (Arc::clone(&self.shared), entry.keep.clone());
            Some(Turn::new(shared, number, entry.place, reclaimer, offer.bytes(), keep))
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("reclaimer", &self.reclaimer)
            .field("trust", &self.trust)
            .field("busy", &self.busy)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Ends a turn: the reclaimer may be asked again.
    fn end(&self, number: u64, report: Option<ReclaimReport>) {
        {
            let mut book = self.book.lock();
            if let Some(entry) = book.entries.iter_mut().find(|entry| entry.number == number) {
                entry.busy = false;
                if let Some(report) = &report {
                    entry.trust.learn(report);
                }
            }
            if let Some(report) = report {
                if book.reports.len() == REPORTS {
                    book.reports.pop_front();
                }
                book.reports.push_back(report);
            }
        }
        self.changed.notify_waiters();
    }
}
