//! Who waits for a class's balance, in order.
//!
//! Only the first in line keeps a timer. Whoever leaves the front, because it may go or because it
//! was dropped, wakes the next, which then is the first and keeps the timer. So no wake-up is lost,
//! a class of ten thousand waiting tasks has one timer, and among the tasks of a class nobody is
//! passed over.

use std::collections::BTreeMap;
use std::task::Waker;

use crate::sync::{AtomicBool, Mutex, Ordering, lock};

/// The line of one class.
#[derive(Debug)]
pub(super) struct Line {
    /// True while somebody waits; newcomers then wait too.
    is_busy: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: BTreeMap<u64, Waker>,
}

/// What whoever asks is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Go.
    Go,
    /// Wait as the first in line: ask again after the time that the balance takes.
    First,
    /// Wait behind others: one of them will wake you.
    Behind,
}

impl Line {
    pub(super) fn new() -> Self {
        Self { is_busy: AtomicBool::new(false), waiting: Mutex::new(Waiting::default()) }
    }

    /// True while nobody waits, as far as this thread has heard.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        !self.is_busy.load(Ordering::Relaxed)
    }

    /// Asks for a turn. `place` is where the asker stands; it is given one when it has to wait.
    /// `has_balance` is asked under the line's lock, and only for whoever is first.
    pub(super) fn turn(
        &self,
        place: &mut Option<u64>,
        waker: &Waker,
        has_balance: impl FnOnce() -> bool,
    ) -> Turn {
        let mut waiting = lock(&self.waiting);
        let first = waiting.wakers.keys().next().copied();
        let is_first = first.is_none() || first == *place;
        if is_first && has_balance() {
            let next = self.leave_locked(&mut waiting, place.take());
            drop(waiting);
            if let Some(next) = next {
                next.wake();
            }
            return Turn::Go;
        }
        let number = place.unwrap_or_else(|| {
            waiting.next += 1;
            waiting.next
        });
        *place = Some(number);
        let kept = waiting.wakers.entry(number).or_insert_with(|| waker.clone());
        kept.clone_from(waker);
        self.is_busy.store(true, Ordering::Relaxed);
        if is_first { Turn::First } else { Turn::Behind }
    }

    /// Leaves the line: whoever waited was dropped.
    pub(super) fn leave(&self, place: u64) {
        let mut waiting = lock(&self.waiting);
        let was_first = waiting.wakers.keys().next() == Some(&place);
        let next = self.leave_locked(&mut waiting, Some(place)).filter(|_| was_first);
        drop(waiting);
        if let Some(next) = next {
            next.wake();
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        lock(&self.waiting).wakers.len()
    }

    /// Takes `place` out; gives back who is the first then.
    fn leave_locked(&self, waiting: &mut Waiting, place: Option<u64>) -> Option<Waker> {
        if let Some(place) = place {
            waiting.wakers.remove(&place);
        }
        let next = waiting.wakers.values().next().cloned();
        self.is_busy.store(next.is_some(), Ordering::Relaxed);
        next
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// An asker that counts how often it is woken.
    #[derive(Default)]
    struct Asker {
        woken: Arc<Count>,
        place: Option<u64>,
    }

    impl Asker {
        fn ask(&mut self, line: &Line, has_balance: bool) -> Turn {
            let waker = Waker::from(Arc::clone(&self.woken));
            line.turn(&mut self.place, &waker, || has_balance)
        }

        fn woken(&self) -> usize {
            self.woken.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn first_come_first_served_and_each_wakes_the_next() {
        let line = Line::new();
        let [mut a, mut b, mut c] = [(); 3].map(|()| Asker::default());
        assert_eq!(a.ask(&line, true), Turn::Go);
        assert!(line.is_empty());
        assert_eq!(a.ask(&line, false), Turn::First);
        // There is a balance by now, but there is also somebody before.
        assert_eq!(b.ask(&line, true), Turn::Behind);
        assert_eq!(c.ask(&line, true), Turn::Behind);
        assert_eq!(line.len(), 3);
        assert_eq!(a.ask(&line, true), Turn::Go);
        assert_eq!((a.woken(), b.woken(), c.woken()), (0, 1, 0));
        assert_eq!(b.ask(&line, false), Turn::First);
        assert_eq!(b.ask(&line, true), Turn::Go);
        assert_eq!(c.ask(&line, true), Turn::Go);
        assert_eq!((b.woken(), c.woken()), (1, 1));
        assert!(line.is_empty());
        assert_eq!(line.len(), 0, "whatever the hint says");
    }

    #[test]
    fn whoever_goes_away_holds_nobody_up() {
        let line = Line::new();
        let [mut a, mut b, mut c] = [(); 3].map(|()| Asker::default());
        for asker in [&mut a, &mut b, &mut c] {
            asker.ask(&line, false);
        }
        line.leave(b.place.unwrap());
        assert_eq!((a.woken(), c.woken()), (0, 0));
        line.leave(a.place.unwrap());
        assert_eq!(c.woken(), 1);
        assert_eq!(c.ask(&line, true), Turn::Go);
        assert!(line.is_empty());
    }
}
