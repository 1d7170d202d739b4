//! Who waits for an object: nodes that live in the waiting futures themselves, linked into lists.
//!
//! There are two lists for each priority class: those who wait until a deadline, the earliest
//! first, and those who wait for ever, in order of arrival. A list further up goes first, but past
//! the same waiter only so often; that is how the lower ones age, by load and not by a clock.
#![expect(unsafe_code, reason = "waiters are linked without allocating, and unlinked in O(1)")]

use std::marker::PhantomPinned;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::task::Waker;
use std::time::Duration;

use plimsoll_core_types::{Priority, Timestamp};

use super::slot::{Slot, SlotRef};
use super::sync::{AtomicPtr, UnsafeCell};

const LISTS: usize = Priority::COUNT * 2;

/// States of a waiter that are no slot's address.
const WAITS: usize = 0;
const EXPIRED: usize = 1;
const CLOSED: usize = 2;
const FAILED: usize = 3;
/// Not in the line, and told nothing.
const OUTSIDE: usize = 4;

/// Waits that are timed one by one; after as many, only every [`SAMPLE`]th is, and stands for all
/// of them. Two looks at the clock would be a fifth of the cost of a contended loan.
const TIMED: u32 = 1024;
const SAMPLE: u32 = 16;

/// A waiter. Pinned: the line links its address until its wait has ended.
#[derive(Debug)]
pub(crate) struct Node<T, E> {
    /// One of the constants, or the address of the slot that it was given.
    state: AtomicPtr<Slot<T>>,
    links: UnsafeCell<Links<T, E>>,
    _pinned: PhantomPinned,
}

/// What only the holder of the pool's lock touches, while the node waits.
#[derive(Debug)]
struct Links<T, E> {
    previous: Option<NonNull<Node<T, E>>>,
    next: Option<NonNull<Node<T, E>>>,
    waker: Option<Waker>,
    failure: Option<Box<E>>,
    since: Timestamp,
    /// `Timestamp::MAX` for one that waits for ever.
    deadline: Timestamp,
    /// Its number in order of arrival. Two that wait at once are nearer than half the range.
    arrival: u32,
    list: u8,
    /// For how many waits its own stands; 0 where it is not timed.
    weight: u8,
}

/// How a wait ended.
#[derive(Debug)]
pub(crate) enum End<T, E> {
    /// The waiter owns this slot.
    Given(SlotRef<T>),
    /// None could be made for it.
    Failed(Box<E>),
    /// Its deadline passed.
    Expired,
    /// The pool was closed.
    Closed,
}

/// Somebody who has just been served, and is to be woken once the lock is released.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) waker: Option<Waker>,
    pub(crate) wait: Timed,
}

/// Since when one had waited, and for how many waits that stands; none where it was not timed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    pub(crate) since: Timestamp,
    pub(crate) weight: u8,
}

/// Everybody who waits. Behind the pool's lock, and laid out so that what every wait touches lies
/// together.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Line<T, E> {
    waiting: u32,
    arrivals: u32,
    /// How many more are timed one by one.
    timed: u32,
    /// A bit for each list that is not empty.
    present: u16,
    lists: [List<T, E>; LISTS],
    /// By list: how many that came later have gone before its first.
    passed: [u32; LISTS],
}

#[derive(Debug)]
struct List<T, E> {
    first: Option<NonNull<Node<T, E>>>,
    last: Option<NonNull<Node<T, E>>>,
}

// SAFETY: the line only holds addresses of nodes, which it touches under the pool's lock alone; a
// node's parts (waker, failure, slot) can be moved between threads.
unsafe impl<T: Send, E: Send> Send for Line<T, E> {}
// SAFETY: as above: links are touched under the lock alone, the state is atomic.
unsafe impl<T: Send, E: Send> Send for Node<T, E> {}
// SAFETY: as above.
unsafe impl<T: Send, E: Send> Sync for Node<T, E> {}

impl<T, E> Node<T, E> {
    /// A waiter of `priority`, where it has a limit since now and until then.
    pub(crate) fn new(priority: Priority, limit: Option<(Timestamp, Timestamp)>) -> Self {
        let undated = u8::from(limit.is_none());
        let list = ((Priority::COUNT - 1 - priority.index()) * 2) as u8 + undated;
        let (since, deadline) = limit.unwrap_or((Timestamp::ZERO, Timestamp::MAX));
        let links = Links {
            previous: None,
            next: None,
            waker: None,
            failure: None,
            since,
            deadline,
            arrival: 0,
            list,
            weight: 1 - undated,
        };
        let state = AtomicPtr::new(state_of(OUTSIDE));
        Self { state, links: UnsafeCell::new(links), _pinned: PhantomPinned }
    }

    /// True where it is not in the line and has nothing to be told.
    pub(crate) fn is_outside(&self) -> bool {
        self.state.load(Relaxed).addr() == OUTSIDE
    }

    /// How its wait ended, once; none while it waits, or where it does not.
    pub(crate) fn end(self: Pin<&Self>) -> Option<End<T, E>> {
        let state = self.state.load(Acquire);
        let end = match state.addr() {
            WAITS | OUTSIDE => return None,
            EXPIRED => End::Expired,
            CLOSED => End::Closed,
            FAILED => {
                // SAFETY: whoever ended the wait unlinked the node before, so that this is the
                // only reference to its links.
                match self.links.with_mut(|links| unsafe { (*links).failure.take() }) {
                    Some(failure) => End::Failed(failure),
                    None => End::Closed,
                }
            }
            // SAFETY: any other state is the address of the slot that `give` stored.
            _ => End::Given(unsafe { SlotRef::from_ptr(state) }?),
        };
        self.state.store(state_of(OUTSIDE), Relaxed);
        Some(end)
    }

    /// For how long it may wait in all. For a node that does not wait (any more).
    pub(crate) fn patience(self: Pin<&Self>) -> Duration {
        // SAFETY: the node is in no line, so that this is the only reference to its links.
        self.links.with(|links| unsafe { (*links).deadline.saturating_since((*links).since) })
    }
}

impl<T, E> Links<T, E> {
    const fn timed(&self) -> Timed {
        Timed { since: self.since, weight: self.weight }
    }
}

impl<T, E> Line<T, E> {
    pub(crate) fn new() -> Self {
        let lists = std::array::from_fn(|_| List { first: None, last: None });
        let passed = [0; LISTS];
        Self { waiting: 0, arrivals: 0, timed: TIMED, present: 0, lists, passed }
    }

    /// Times the next ones one by one.
    pub(crate) const fn time_closely(&mut self) {
        self.timed = TIMED;
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

    /// Puts `node` into the line. It must stay where it is until its wait has ended or it has
    /// [left](Self::leave).
    pub(crate) fn join(
        &mut self,
        node: Pin<&Node<T, E>>,
        waker: Waker,
        now: impl Fn() -> Timestamp,
    ) {
        self.arrivals = self.arrivals.wrapping_add(1);
        let arrival = self.arrivals;
        let weight = self.next_weight();
        node.state.store(state_of(WAITS), Relaxed);
        let node = NonNull::from(&*node);
        let (deadline, list) = links(node, |own| {
            (own.arrival, own.waker) = (arrival, Some(waker));
            if own.weight == 0 && weight > 0 {
                (own.since, own.weight) = (now(), weight);
            }
            (own.deadline, own.list)
        });
        self.present |= 1 << list;
        let list = &mut self.lists[list as usize];
        // Most come with about the same patience, so that the place is at the end.
        let mut before = list.last;
        while let Some(other) = before
            && links(other, |other| other.deadline > deadline)
        {
            before = links(other, |other| other.previous);
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
        self.waiting += 1;
    }

    /// For how many waits the next one stands.
    const fn next_weight(&mut self) -> u8 {
        if self.timed > 0 {
            self.timed -= 1;
            1
        } else if self.arrivals.is_multiple_of(SAMPLE) {
            SAMPLE as u8
        } else {
            0
        }
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
        // SAFETY: the caller holds the node, and it is in the line no more.
        unsafe { node.as_ref() }.state.store(state_of(OUTSIDE), Relaxed);
        Some(links(node, |own| own.timed()))
    }

    /// Gives a slot to whoever is next, unless nobody waits.
    pub(crate) fn give(&mut self, slot: SlotRef<T>, max_bypass: u32) -> Option<Served> {
        let node = self.next_in_turn(max_bypass)?;
        Some(self.settle(node, slot.as_ptr(), None))
    }

    /// Tells whoever is next that none could be made for it, unless nobody waits.
    pub(crate) fn fail(&mut self, failure: Box<E>, max_bypass: u32) -> Option<Served> {
        let node = self.next_in_turn(max_bypass)?;
        Some(self.settle(node, state_of(FAILED), Some(failure)))
    }

    /// Ends the wait of one whose deadline has passed, where there is one; says when that was.
    pub(crate) fn expire(&mut self, now: impl Fn() -> Timestamp) -> Option<(Served, Timestamp)> {
        let now = self.now_if_dated(now)?;
        let dated = self.lists.iter().step_by(2).filter_map(|list| list.first);
        let mut late = dated.filter(|first| links(*first, |first| first.deadline <= now));
        let node = late.next()?;
        Some((self.settle(node, state_of(EXPIRED), None), now))
    }

    /// Ends the wait of whoever is first: the pool is closed.
    pub(crate) fn close(&mut self) -> Option<Served> {
        let node = self.lists.iter().find_map(|list| list.first)?;
        Some(self.settle(node, state_of(CLOSED), None))
    }

    /// Whom to wake so that somebody who waits looks after the pool: the first.
    pub(crate) fn first_waker(&self) -> Option<Waker> {
        let node = self.lists.iter().find_map(|list| list.first)?;
        links(node, |own| own.waker.clone())
    }

    fn settle(
        &mut self,
        node: NonNull<Node<T, E>>,
        state: *mut Slot<T>,
        failure: Option<Box<E>>,
    ) -> Served {
        self.unlink(node);
        let served = links(node, |own| {
            own.failure = failure;
            Served { waker: own.waker.take(), wait: own.timed() }
        });
        // SAFETY: the node is still waiting, so its future is alive. It may go as soon as this is
        // stored, and is not touched after it.
        unsafe { node.as_ref() }.state.store(state, Release);
        served
    }

    /// The first of the highest list, unless the first of a lower one has been passed too often.
    fn next_in_turn(&mut self, max_bypass: u32) -> Option<NonNull<Node<T, E>>> {
        let highest = self.present.trailing_zeros() as usize;
        let lower = self.present & self.present.wrapping_sub(1);
        if lower == 0 {
            return self.lists.get(highest)?.first;
        }
        let overdue = |list: &usize| lower & 1 << list != 0 && self.passed[*list] >= max_bypass;
        let chosen = (0..LISTS).rev().find(overdue).unwrap_or(highest);
        let node = self.lists[chosen].first?;
        let arrival = links(node, |own| own.arrival);
        for (list, passed) in self.lists.iter().zip(&mut self.passed).skip(chosen + 1) {
            let earlier = |first| {
                let behind = arrival.wrapping_sub(links(first, |own| own.arrival));
                behind != 0 && behind < u32::MAX / 2
            };
            if list.first.is_some_and(earlier) {
                *passed = passed.saturating_add(1);
            }
        }
        Some(node)
    }

    fn unlink(&mut self, node: NonNull<Node<T, E>>) {
        let (previous, next, index) =
            links(node, |own| (own.previous.take(), own.next.take(), own.list));
        if previous.is_none() && next.is_none() {
            self.present &= !(1 << index);
        }
        let list = &mut self.lists[index as usize];
        if let Some(previous) = previous {
            links(previous, |previous| previous.next = next);
        } else {
            list.first = next;
            let passed = &mut self.passed[index as usize];
            // Not written where it need not be: that would fetch one more line of memory.
            if *passed > 0 {
                *passed = 0;
            }
        }
        match next {
            Some(next) => links(next, |next| next.previous = previous),
            None => list.last = previous,
        }
        self.waiting -= 1;
    }
}

/// A state that is no slot's address.
const fn state_of<T>(state: usize) -> *mut Slot<T> {
    std::ptr::without_provenance_mut(state)
}

/// True while nobody has ended the node's wait. Under the pool's lock, which also is what keeps it
/// so.
fn waits<T, E>(node: NonNull<Node<T, E>>) -> bool {
    // SAFETY: the caller got the node from a live future or from the line.
    unsafe { node.as_ref() }.state.load(Acquire).is_null()
}

/// Lets `work` have the node's links. Under the pool's lock, for a node that waits.
fn links<T, E, R>(node: NonNull<Node<T, E>>, work: impl FnOnce(&mut Links<T, E>) -> R) -> R {
    // SAFETY: a node that waits is alive and pinned: its future takes the lock and leaves the line
    // before it goes. Its links are touched under the lock alone, by one closure at a time: no
    // caller nests two on the same node.
    unsafe { node.as_ref() }.links.with_mut(|links| work(unsafe { &mut *links }))
}
