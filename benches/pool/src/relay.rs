//! What no fair pool can beat on this runtime.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};

use crate::{Bitmap, Peer};

/// The most tasks that take part.
const SEATS: usize = 2048;

/// Tasks in a ring that hand on batons, each to its neighbour: in turn, without a line, a lock or
/// an object. What is left is what the runtime takes to wake a task and to poll it, so that its
/// throughput is a bound for every pool that hands over in turn.
///
/// Each clone is the handle of one task.
#[derive(Debug)]
pub struct Relay {
    ring: Arc<Ring>,
    seat: usize,
}

#[derive(Debug)]
struct Ring {
    /// Batons that nobody has.
    fresh: AtomicUsize,
    taken: AtomicUsize,
    seats: Vec<Seat>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Seat {
    batons: AtomicUsize,
    left: AtomicBool,
    /// A task's waker is always the same one.
    waker: OnceLock<Waker>,
}

/// A baton. Dropping it hands it on.
#[derive(Debug)]
pub struct Baton<'a>(&'a Relay);

impl Ring {
    /// Takes one away, where there is one.
    fn take(count: &AtomicUsize) -> bool {
        let less = |left: usize| left.checked_sub(1);
        count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }

    fn hand_on(&self, from: usize) {
        let taken = self.taken.load(Ordering::Relaxed);
        for step in 1..taken {
            let next = &self.seats[(from + step) % taken];
            if next.left.load(Ordering::SeqCst) {
                continue;
            }
            if next.batons.fetch_add(1, Ordering::SeqCst) == 0
                && let Some(waker) = next.waker.get()
            {
                waker.wake_by_ref();
            }
            // One that left at this moment may not have seen it.
            if !next.left.load(Ordering::SeqCst) || !Self::take(&next.batons) {
                return;
            }
        }
        // Nobody else has come yet, or is left: whoever comes finds it.
        self.fresh.fetch_add(1, Ordering::SeqCst);
    }
}

impl Clone for Relay {
    fn clone(&self) -> Self {
        let seat = self.ring.taken.fetch_add(1, Ordering::AcqRel);
        assert!(seat < SEATS, "more tasks than seats");
        Self { ring: Arc::clone(&self.ring), seat }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let seat = &self.ring.seats[self.seat];
        seat.left.store(true, Ordering::SeqCst);
        while Ring::take(&seat.batons) {
            self.ring.hand_on(self.seat);
        }
    }
}

impl Drop for Baton<'_> {
    fn drop(&mut self) {
        self.0.ring.hand_on(self.0.seat);
    }
}

impl Peer for Relay {
    type Guard<'a> = Baton<'a>;
    const NAME: &'static str = "scheduler";

    fn new(size: usize) -> Self {
        let seats = (0..SEATS).map(|_| Seat::default()).collect();
        let (fresh, taken) = (AtomicUsize::new(size), AtomicUsize::new(1));
        let relay = Self { ring: Arc::new(Ring { fresh, taken, seats }), seat: 0 };
        // The first handle belongs to no task.
        relay.ring.seats[0].left.store(true, Ordering::Release);
        relay
    }

    async fn get(&self) -> Baton<'_> {
        let seat = &self.ring.seats[self.seat];
        poll_fn(|context| {
            seat.waker.get_or_init(|| context.waker().clone());
            if Ring::take(&seat.batons) || Ring::take(&self.ring.fresh) {
                Poll::Ready(Baton(self))
            } else {
                Poll::Pending
            }
        })
        .await
    }

    async fn fill(&self, _: usize) {}
}

/// Numbers of one word that all share, each for a unit of the task's cooperative budget: the least
/// that a loan can do. Nobody ever waits, so that how fair it is to its tasks is how fair the
/// runtime is to tasks that use up their turn.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Bitmap>);

/// A number of [`Budget`].
#[derive(Debug)]
pub struct Spent<'a> {
    numbers: &'a Bitmap,
    number: Option<u32>,
}

impl Drop for Spent<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.numbers.put(number);
        }
    }
}

impl Peer for Budget {
    type Guard<'a> = Spent<'a>;
    const NAME: &'static str = "scheduler";

    fn new(_: usize) -> Self {
        Self(Arc::new(Bitmap::new()))
    }

    async fn get(&self) -> Spent<'_> {
        tokio::task::coop::consume_budget().await;
        Spent { numbers: &self.0, number: self.0.get() }
    }

    async fn fill(&self, _: usize) {}
}
