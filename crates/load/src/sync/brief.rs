//! A lock for work of some tens of nanoseconds.
//!
//! A lock that can park its waiters needs an atomic exchange to be given back, as it has to learn
//! whether somebody is parked; where the work under it takes about as long as that exchange, it is
//! a quarter of the cost. This one is given back by a plain store. Who finds it taken spins for as
//! long as the work takes, then lets others run, and at last sleeps, so that a holder that was
//! preempted, or has a lower priority, gets a processor.
#![expect(unsafe_code, reason = "a lock hands out what it holds through a shared reference")]

use std::fmt;

use super::{AtomicBool, Cell, Ordering};

/// Looks before the processor is given to others.
#[cfg(not(loom))]
const SPINS: u32 = 64;
/// Looks before sleeping, for so long each time.
#[cfg(not(loom))]
const YIELDS: u32 = 128;
#[cfg(not(loom))]
const SLEEPS: std::time::Duration = std::time::Duration::from_micros(50);

/// Holds a value that one thread at a time works on. Work that takes the same lock again never
/// ends.
pub(crate) struct Brief<T> {
    taken: AtomicBool,
    /// Where a model's threads wait: it explores that one which spins does so for ever.
    #[cfg(loom)]
    gate: super::Mutex<()>,
    value: Cell<T>,
}

// SAFETY: the value is only reached by whoever holds the lock, so that a shared `Brief` only moves
// it between threads.
unsafe impl<T: Send> Sync for Brief<T> {}

/// Gives the lock back, also where the work panics.
struct Taken<'a>(&'a AtomicBool);

impl Drop for Taken<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl<T> Brief<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            taken: AtomicBool::new(false),
            #[cfg(loom)]
            gate: super::Mutex::new(()),
            value: Cell::new(value),
        }
    }

    /// Does `work` while nobody else does any.
    #[expect(clippy::inline_always, reason = "apart, results of the work are copied once more")]
    #[inline(always)]
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        #[cfg(loom)]
        let _gate = self.gate.lock();
        if !self.take() {
            self.wait();
        }
        self.taken(work)
    }

    #[inline]
    fn take(&self) -> bool {
        self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Does `work` where nobody else does any.
    #[cfg(loom)]
    pub(crate) fn try_with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.take().then(|| self.taken(work))
    }

    /// Does `work`, and gives the lock back that was just taken.
    #[inline]
    fn taken<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let _taken = Taken(&self.taken);
        self.value.with_mut(|value| {
            // SAFETY: whoever changed `taken` from false to true is the only one here until it is
            // false again, which `Taken` makes it after `work` has ended; the pointer is that of a
            // live cell, and does not leave this closure.
            work(unsafe { &mut *value })
        })
    }

    #[cold]
    fn wait(&self) {
        let mut looks = 0;
        loop {
            pause(looks);
            looks = looks.saturating_add(1);
            // Only reads while it is taken, so that the holder's cache line stays its own.
            if !self.taken.load(Ordering::Relaxed) && self.take() {
                return;
            }
        }
    }
}

#[cfg(not(loom))]
fn pause(looks: u32) {
    match looks {
        ..SPINS => std::hint::spin_loop(),
        SPINS..YIELDS => std::thread::yield_now(),
        _ => {
            #[expect(clippy::disallowed_methods, reason = "who holds the lock needs a processor")]
            std::thread::sleep(SLEEPS);
        }
    }
}

#[cfg(loom)]
fn pause(_: u32) {
    loom::thread::yield_now();
}

impl<T> fmt::Debug for Brief<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brief").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_nothing_is_lost() {
        let count = plimsoll_testkit::scale(20_000);
        let counter = Brief::new((0_usize, 0_usize));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..count {
                        counter.with(|(first, second)| {
                            assert_eq!(*first, *second);
                            *first += 1;
                            std::hint::black_box(&mut *first);
                            *second += 1;
                        });
                    }
                });
            }
        });
        assert_eq!(counter.with(|counts| *counts), (4 * count, 4 * count));
    }

    #[test]
    fn a_panic_gives_it_back() {
        let brief = Brief::new(1);
        let work = std::panic::AssertUnwindSafe(|| brief.with(|_| panic!("in the midst")));
        assert!(std::panic::catch_unwind(work).is_err());
        assert_eq!(brief.with(|value| *value), 1);
    }

    #[test]
    fn who_waits_long_sleeps_and_still_gets_it() {
        let brief = Brief::new(0);
        std::thread::scope(|scope| {
            brief
                .with(|value| {
                    let waiter = scope.spawn(|| brief.with(|value| *value));
                    // As long as it takes the other to give up spinning.
                    for _ in 0..10_000 {
                        std::thread::yield_now();
                    }
                    assert!(!waiter.is_finished());
                    *value = 7;
                    waiter
                })
                .join()
                .map_or_else(|_| panic!("nobody panics"), |seen| assert_eq!(seen, 7));
        });
    }
}
