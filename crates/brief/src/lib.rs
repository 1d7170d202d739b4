#![doc = include_str!("../README.md")]
#![expect(unsafe_code, reason = "a lock hands out what it holds through a shared reference")]

use std::fmt;
use std::ops::{Deref, DerefMut};

#[cfg(not(loom))]
use std::cell::UnsafeCell;
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(loom)]
use loom::cell::{MutPtr, UnsafeCell};
#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering};

/// Looks before the processor is given to others.
#[cfg(not(loom))]
const SPINS: u32 = 64;

/// Looks before sleeping.
#[cfg(not(loom))]
const YIELDS: u32 = 128;

/// For how long each time.
#[cfg(not(loom))]
const SLEEPS: std::time::Duration = std::time::Duration::from_micros(50);

/// Holds a value for one thread at a time. The lock's byte stands before the value, so that whatever
/// the value begins with is on its cache line.
#[derive(Default)]
#[repr(C)]
pub struct Brief<T> {
    taken: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through a `Guard`, of which there is one at a time, so that a
// shared `Brief` only moves it between threads.
unsafe impl<T: Send> Sync for Brief<T> {}

/// The lock is held; gives it back when it is dropped, also while a panic unwinds.
#[must_use = "the lock is given back at once where this is dropped"]
pub struct Guard<'a, T> {
    lock: &'a Brief<T>,
    /// By which a model knows who may reach the value; none once it is given back.
    #[cfg(loom)]
    value: Option<MutPtr<T>>,
}

// SAFETY: a shared guard gives out no more than a shared reference to the value.
unsafe impl<T: Sync> Sync for Guard<'_, T> {}

impl<T> Brief<T> {
    /// Holds `value`, and is free.
    #[cfg_attr(not(loom), expect(clippy::missing_const_for_fn, reason = "a model's is none"))]
    pub fn new(value: T) -> Self {
        Self { taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Waits until nobody else holds it.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        if !self.take() {
            self.wait();
        }
        self.guard()
    }

    /// Does `work` while nobody else does any: [`lock`](Self::lock) for work whose result is so large
    /// that it should be made where it is wanted.
    #[expect(clippy::inline_always, reason = "apart, results of the work are copied once more")]
    #[inline(always)]
    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let mut guard = self.lock();
        work(&mut guard)
    }

    /// The lock, where nobody else holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.take().then(|| self.guard())
    }

    /// That of who has just taken the lock.
    #[inline]
    fn guard(&self) -> Guard<'_, T> {
        Guard {
            lock: self,
            #[cfg(loom)]
            value: Some(self.value.get_mut()),
        }
    }

    #[inline]
    fn take(&self) -> bool {
        self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
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

impl<T> Guard<'_, T> {
    /// Where the value is.
    #[inline]
    fn pointer(&self) -> *mut T {
        #[cfg(not(loom))]
        return self.lock.value.get();
        #[cfg(loom)]
        return self.value.as_ref().map_or(std::ptr::null_mut(), |value| value.with(|at| at));
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: whoever changed `taken` from false to true is the only one who holds a guard
        // until its drop makes it false again; the reference does not outlive the guard.
        unsafe { &*self.pointer() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard is borrowed for as long as the reference lives.
        unsafe { &mut *self.pointer() }
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(loom)]
        drop(self.value.take());
        self.lock.taken.store(false, Ordering::Release);
    }
}

impl<T> fmt::Debug for Brief<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Brief").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn one_at_a_time_and_nothing_is_lost() {
        let count = plimsoll_testkit::scale(20_000);
        let counter = Brief::new((0_usize, 0_usize));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..count {
                        let mut both = counter.lock();
                        assert_eq!(both.0, both.1);
                        both.0 += 1;
                        std::hint::black_box(&mut both.0);
                        both.1 += 1;
                    }
                });
            }
        });
        assert_eq!(*counter.lock(), (4 * count, 4 * count));
    }

    #[test]
    fn a_panic_gives_it_back() {
        let lock = Brief::new(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = lock.lock();
            panic!("under the lock");
        }));
        assert!(panicked.is_err());
        assert_eq!(*lock.lock(), 1);
    }

    #[test]
    fn who_waits_for_long_gets_it_in_the_end() {
        let lock = Brief::new(0);
        let held = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut guard = lock.lock();
                held.wait();
                for _ in 0..2000 {
                    std::thread::yield_now();
                }
                *guard += 1;
            });
            held.wait();
            assert_eq!(*lock.lock(), 1);
        });
    }
}
