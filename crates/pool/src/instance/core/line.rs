//! Who waits for an object, linked into lists.
//!
//! There are two lists for each priority class: those who wait until a deadline, the earliest
//! first, and those who wait for ever, in order of arrival. A list further up goes first, but past
//! the same waiter only so often; that is how the lower ones age, by load and not by a clock.
#![expect(unsafe_code, reason = "waiters are linked by address")]

use std::pin::Pin;
use std::ptr::NonNull;
use std::task::Waker;

use plimsoll_core_types::{Priority, Timestamp};

use super::node::{
    CLOSED, EXPIRED, FAILED, Node, Timed, USUAL, links, state_of, tell, tell_nothing, waits,
};
use super::slot::{Slot, SlotRef};

const LISTS: usize = Priority::COUNT * 2;

/// Waits that are timed one by one; after as many, only about every [`SAMPLE`]th is, and stands
/// for all since the last. Two looks at the clock would be a fifth of the cost of a contended loan.
const TIMED: u32 = if cfg!(loom) { 0 } else { 1024 };
const SAMPLE: u32 = 16;
/// After as many that were not timed, the next one has to be.
const UNTIMED: u32 = 4 * SAMPLE;

/// Somebody who has just been served, and is to be woken once the lock is released.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) waker: Option<Waker>,
    pub(crate) wait: Timed,
}

/// Everybody who waits. Behind the pool's lock, and laid out so that what every wait touches lies
/// together.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Line<T, E> {
    waiting: u32,
    arrivals: u32,
    /// A bit for each list that is not empty.
    present: u16,
    /// How many since the last one were not timed.
    untimed: u8,
    /// How many more are timed one by one.
    timed: u32,
    lists: [List<T, E>; LISTS],
}

#[derive(Debug)]
struct List<T, E> {
    first: Option<NonNull<Node<T, E>>>,
    last: Option<NonNull<Node<T, E>>>,
    /// How many that came later have gone before its first.
    passed: u32,
}

// SAFETY: the line only holds addresses of nodes, which it touches under the pool's lock alone; a
// node's parts (waker, failure, slot) can be moved between threads.
unsafe impl<T: Send, E: Send> Send for Line<T, E> {}

impl<T, E> Line<T, E> {
    pub(crate) fn new() -> Self {
        let lists = std::array::from_fn(|_| List { first: None, last: None, passed: 0 });
        Self { waiting: 0, arrivals: 0, present: 0, untimed: 0, timed: TIMED, lists }
    }

    /// Times the next ones one by one.
    pub(crate) const fn time_closely(&mut self) {
        self.timed = TIMED;
    }

    /// Whether the next one has to be timed.
    pub(crate) const fn times_next(&self) -> bool {
        self.timed > 0 || self.untimed as u32 >= UNTIMED
    }

    /// The time, where anybody in the line has a limit.
    fn now_if_dated(&self, now: impl Fn() -> Timestamp) -> Option<Timestamp> {
        const DATED: u16 = 0b01_0101_0101;
        (self.present & DATED != 0).then(now)
    }

    /// How many wait.
    pub(crate) const fn len(&self) -> usize {
        self.waiting as usize
    }

    /// Whether those who wait go in order of arrival, and more than one does.
    pub(crate) const fn is_plain(&self) -> bool {
        self.present == 1 << USUAL && self.waiting > 1
    }

    /// Puts `node` into the line. It must stay where it is until its wait has ended or it has
    /// [left](Self::leave).
    pub(crate) fn join(
        &mut self,
        node: Pin<&Node<T, E>>,
        waker: Waker,
        now: impl Fn() -> Timestamp,
    ) {
        let node = node.set_out(waker);
        links(node, |own| {
            if own.weight == 0 {
                own.weight = self.next_weight();
                if own.weight > 0 {
                    own.since = now();
                }
            }
        });
        self.admit(node);
    }

    /// Puts a node that has come into the line, the last of its list but for those whose time is
    /// up later.
    pub(super) fn admit(&mut self, node: NonNull<Node<T, E>>) {
        self.arrivals = self.arrivals.wrapping_add(1);
        let (deadline, list) = links(node, |own| {
            own.arrival = self.arrivals;
            self.untimed = self.untimed.saturating_add(u8::from(own.weight == 0));
            (own.deadline, own.list)
        });
        self.present |= 1 << list;
        self.waiting += 1;
        let list = &mut self.lists[list as usize];
        // Most come with about the same patience, so that the place is at the end.
        let mut before = list.last;
        while deadline < Timestamp::MAX
            && let Some(other) = before
            && links(other, |other| other.deadline > deadline)
        {
            before = if list.first == before { None } else { links(other, |other| other.previous) };
        }
        let after = match before {
            Some(before) => links(before, |before| before.next.replace(node)),
            None => list.first.replace(node),
        };
        match after {
            Some(after) => links(after, |after| after.previous = Some(node)),
            None => list.last = Some(node),
        }
        links(node, |own| (own.previous, own.next) = (before, after));
    }

    /// For how many waits the next one stands.
    fn next_weight(&mut self) -> u8 {
        if self.timed > 0 {
            self.timed -= 1;
            return 1;
        }
        if u32::from(self.untimed) + 1 < SAMPLE {
            return 0;
        }
        std::mem::take(&mut self.untimed).saturating_add(1)
    }

    /// Notes whom to wake when `node`, which waits, is served. False when its wait has ended.
    pub(crate) fn rewake(node: Pin<&Node<T, E>>, waker: &Waker) -> bool {
        let node = NonNull::from(&*node);
        if !waits(node) {
            return false;
        }
        links(node, |own| {
            if own.waker.as_ref().is_none_or(|known| !known.will_wake(waker)) {
                own.waker = Some(waker.clone());
            }
        });
        true
    }

    /// Takes `node` out of the line. None when its wait had ended before.
    pub(crate) fn leave(&mut self, node: Pin<&Node<T, E>>) -> Option<Timed> {
        let node = NonNull::from(&*node);
        if !waits(node) {
            return None;
        }
        self.unlink(node);
        let wait = links(node, |own| own.timed());
        tell_nothing(node);
        Some(wait)
    }

    /// Gives a slot to whoever is next, unless nobody waits.
    pub(crate) fn give(&mut self, slot: SlotRef<T>, max_bypass: u32) -> Option<Served> {
        let node = self.next_in_turn(max_bypass)?;
        Some(self.settle(node, slot.as_ptr()))
    }

    /// Tells whoever is next that none could be made for it, unless nobody waits.
    pub(crate) fn fail(&mut self, failure: Box<E>, max_bypass: u32) -> Option<Served> {
        let node = self.next_in_turn(max_bypass)?;
        links(node, |own| own.failure = Some(failure));
        Some(self.settle(node, state_of(FAILED)))
    }

    /// Ends the wait of one whose deadline has passed, where there is one; says when that was.
    pub(crate) fn expire(&mut self, now: impl Fn() -> Timestamp) -> Option<(Served, Timestamp)> {
        let now = self.now_if_dated(now)?;
        let dated = self.lists.iter().step_by(2).filter_map(|list| list.first);
        let mut late = dated.filter(|first| links(*first, |first| first.deadline <= now));
        let node = late.next()?;
        Some((self.settle(node, state_of(EXPIRED)), now))
    }

    /// Ends the wait of whoever is first: the pool is closed.
    pub(crate) fn close(&mut self) -> Option<Served> {
        let node = self.lists.iter().find_map(|list| list.first)?;
        Some(self.settle(node, state_of(CLOSED)))
    }

    /// Whom to wake so that somebody who waits looks after the pool: the first.
    pub(crate) fn first_waker(&self) -> Option<Waker> {
        let node = self.lists.iter().find_map(|list| list.first)?;
        links(node, |own| own.waker.clone())
    }

    fn settle(&mut self, node: NonNull<Node<T, E>>, state: *mut Slot<T>) -> Served {
        self.unlink(node);
        let served = links(node, |own| {
            let since = if own.weight > 0 { own.since } else { Timestamp::ZERO };
            Served { waker: own.waker.take(), wait: Timed { since, weight: own.weight } }
        });
        tell(node, state);
        served
    }

    /// The first of the highest list, unless the first of a lower one has been passed too often.
    fn next_in_turn(&mut self, max_bypass: u32) -> Option<NonNull<Node<T, E>>> {
        let highest = self.present.trailing_zeros() as usize;
        let lower = self.present & self.present.wrapping_sub(1);
        if lower == 0 {
            return self.lists.get(highest)?.first;
        }
        let overdue =
            |list: &usize| lower & 1 << list != 0 && self.lists[*list].passed >= max_bypass;
        let chosen = (0..LISTS).rev().find(overdue).unwrap_or(highest);
        let node = self.lists[chosen].first?;
        let arrival = links(node, |own| own.arrival);
        for list in self.lists.iter_mut().skip(chosen + 1) {
            let earlier = |first| {
                let behind = arrival.wrapping_sub(links(first, |own| own.arrival));
                behind != 0 && behind < u32::MAX / 2
            };
            if list.first.is_some_and(earlier) {
                list.passed = list.passed.saturating_add(1);
            }
        }
        Some(node)
    }

    fn unlink(&mut self, node: NonNull<Node<T, E>>) {
        let (next, index) = links(node, |own| (own.next.take(), own.list));
        self.waiting -= 1;
        let list = &mut self.lists[index as usize];
        if list.first == Some(node) {
            // Whoever is first now is not told: that would fetch its line of memory one turn too
            // early.
            (list.first, list.passed) = (next, 0);
            if next.is_none() {
                list.last = None;
                self.present &= !(1 << index);
            }
            return;
        }
        let previous = links(node, |own| own.previous.take());
        if let Some(previous) = previous {
            links(previous, |previous| previous.next = next);
        }
        match next {
            Some(next) => links(next, |next| next.previous = previous),
            None => list.last = previous,
        }
    }
}
