//! How many calls went well, counted without threads getting into each other's way.
//!
//! Each of the first few threads has a line of its own, which nobody else writes, so that counting
//! takes no read-modify-write; those that come later share one counter. Counts only grow, so that
//! a sum over them that was taken a little too early is merely a little too small.

use crate::sync::{AtomicU64, Ordering, thread_number};

/// Lines of their own; a power of two.
const LINES: usize = if cfg!(loom) { 2 } else { 8 };

#[derive(Debug)]
pub(super) struct Successes {
    lines: Box<[Own]>,
    shared: Shared,
}

/// The line of one thread.
#[derive(Debug)]
#[repr(align(128))]
struct Own {
    /// The number of the thread that it belongs to; zero while it belongs to nobody. A thread that
    /// ends leaves its line taken.
    owner: AtomicU64,
    count: AtomicU64,
}

#[derive(Debug)]
#[repr(align(128))]
struct Shared(AtomicU64);

impl Successes {
    pub(super) fn new() -> Self {
        let own = |_| Own { owner: AtomicU64::new(0), count: AtomicU64::new(0) };
        Self { lines: (0..LINES).map(own).collect(), shared: Shared(AtomicU64::new(0)) }
    }

    /// Counts one, and answers with how many this thread, or those that share with it, have counted.
    pub(super) fn count(&self) -> u64 {
        let number = thread_number();
        let line = &self.lines[number as usize % LINES];
        let owner = line.owner.load(Ordering::Relaxed);
        if owner == number || (owner == 0 && line.take(number)) {
            // Nobody else writes it. Released, so that whoever sees what its thread did next sees
            // that the call went well.
            let count = line.count.load(Ordering::Relaxed).wrapping_add(1);
            line.count.store(count, Ordering::Release);
            return count;
        }
        self.shared.0.fetch_add(1, Ordering::AcqRel).wrapping_add(1)
    }

    /// How many there have been in all, modulo 2^16.
    pub(super) fn total(&self) -> u16 {
        let own = self.lines.iter().map(|line| line.count.load(Ordering::Acquire));
        own.fold(self.shared.0.load(Ordering::Acquire), u64::wrapping_add) as u16
    }
}

impl Own {
    #[cold]
    fn take(&self, number: u64) -> bool {
        let order = (Ordering::Relaxed, Ordering::Relaxed);
        self.owner.compare_exchange(0, number, order.0, order.1).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_lost_however_many_threads_count() {
        let successes = Successes::new();
        for threads in [1, 3, 3 * LINES] {
            let before = successes.total();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| (0..500).for_each(|_| _ = successes.count()));
                }
            });
            assert_eq!(successes.total().wrapping_sub(before), (threads * 500) as u16);
        }
    }
}
