//! One who waits: a node that lives in the waiting future itself.
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

/// States of a waiter that are no slot's address.
pub(super) const WAITS: usize = 0;
pub(super) const EXPIRED: usize = 1;
pub(super) const CLOSED: usize = 2;
pub(super) const FAILED: usize = 3;
/// Not in the line, and told nothing.
const OUTSIDE: usize = 4;

/// The list of those without a deadline in the default class, as most are.
pub(super) const USUAL: u8 = list_of(Priority::Normal, true);

/// Which list a waiter is in: two for each class, the higher ones first.
const fn list_of(priority: Priority, undated: bool) -> u8 {
    ((Priority::COUNT - 1 - priority.index()) * 2) as u8 + undated as u8
}

/// A waiter. Pinned: the line links its address until its wait has ended.
///
/// What a hand-over touches lies together.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Node<T, E> {
    /// One of the constants, or the address of the slot that it was given.
    state: AtomicPtr<Slot<T>>,
    links: UnsafeCell<Links<T, E>>,
    _pinned: PhantomPinned,
}

/// What only its future touches before it has come and after its wait has ended, and only the
/// holder of the pool's lock in between.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Links<T, E> {
    /// The next one in its list; before it is in one, whoever came before it.
    pub(super) next: Option<NonNull<Node<T, E>>>,
    pub(super) waker: Option<Waker>,
    /// Its number in order of arrival. Two that wait at once are nearer than half the range.
    pub(super) arrival: u32,
    pub(super) list: u8,
    /// For how many waits its own stands; 0 where it is not timed.
    pub(super) weight: u8,
    /// The one before it in its list; says nothing in the first.
    pub(super) previous: Option<NonNull<Node<T, E>>>,
    pub(super) since: Timestamp,
    /// `Timestamp::MAX` for one that waits for ever.
    pub(super) deadline: Timestamp,
    pub(super) failure: Option<Box<E>>,
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

/// Since when one had waited, and for how many waits that stands; none where it was not timed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    pub(crate) since: Timestamp,
    pub(crate) weight: u8,
}

// SAFETY: its parts (waker, failure, slot) can be moved between threads; links are touched by one
// thread at a time, as `Links` says, and the state is atomic.
unsafe impl<T: Send, E: Send> Send for Node<T, E> {}
// SAFETY: as above.
unsafe impl<T: Send, E: Send> Sync for Node<T, E> {}

impl<T, E> Node<T, E> {
    /// A waiter of `priority`, where it has a limit since now and until then.
    pub(crate) fn new(priority: Priority, limit: Option<(Timestamp, Timestamp)>) -> Self {
        let (since, deadline) = limit.unwrap_or((Timestamp::ZERO, Timestamp::MAX));
        let links = Links {
            next: None,
            waker: None,
            arrival: 0,
            list: list_of(priority, limit.is_none()),
            weight: u8::from(limit.is_some()),
            previous: None,
            since,
            deadline,
            failure: None,
        };
        let state = AtomicPtr::new(state_of(OUTSIDE));
        Self { state, links: UnsafeCell::new(links), _pinned: PhantomPinned }
    }

    /// True where it is not in the line and has nothing to be told.
    pub(crate) fn is_outside(&self) -> bool {
        self.state.load(Relaxed).addr() == OUTSIDE
    }

    /// True where it waits for ever, in the default class. For one that is outside.
    pub(super) fn is_usual(self: Pin<&Self>) -> bool {
        // SAFETY: the node is in no line, so that this is the only reference to its links.
        self.links.with(|links| unsafe { (*links).list == USUAL })
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

    /// Makes ready to wait one that is outside, whom `waker` wakes.
    pub(super) fn set_out(self: Pin<&Self>, waker: Waker) -> NonNull<Self> {
        self.state.store(state_of(WAITS), Relaxed);
        let node = NonNull::from(&*self);
        links(node, |own| own.waker = Some(waker));
        node
    }

    /// It set out, and has not come.
    pub(super) fn turn_back(self: Pin<&Self>) {
        self.state.store(state_of(OUTSIDE), Relaxed);
        links(NonNull::from(&*self), |own| own.waker = None);
    }
}

impl<T, E> Links<T, E> {
    pub(super) const fn timed(&self) -> Timed {
        Timed { since: self.since, weight: self.weight }
    }
}

/// A state that is no slot's address.
pub(super) const fn state_of<T>(state: usize) -> *mut Slot<T> {
    std::ptr::without_provenance_mut(state)
}

/// True while nobody has ended the node's wait. Under the pool's lock, which also is what keeps it
/// so.
pub(super) fn waits<T, E>(node: NonNull<Node<T, E>>) -> bool {
    // SAFETY: the caller got the node from a live future or from the line.
    unsafe { node.as_ref() }.state.load(Acquire).is_null()
}

/// Says how the wait of a node ended that waited, and is in the line no more.
pub(super) fn tell<T, E>(node: NonNull<Node<T, E>>, state: *mut Slot<T>) {
    // SAFETY: the node was still waiting, so its future is alive. It may go as soon as this is
    // stored, and is not touched after it.
    unsafe { node.as_ref() }.state.store(state, Release);
}

/// Ends the wait of a node that has left the line by itself.
pub(super) fn tell_nothing<T, E>(node: NonNull<Node<T, E>>) {
    tell(node, state_of(OUTSIDE));
}

/// Lets `work` have the node's links: by its future before it has come, and under the pool's lock
/// while it waits.
pub(super) fn links<T, E, R>(
    node: NonNull<Node<T, E>>,
    work: impl FnOnce(&mut Links<T, E>) -> R,
) -> R {
    // SAFETY: a node that waits is alive and pinned: its future takes the lock and leaves the line
    // before it goes. Its links are touched as `Links` says, by one closure at a time: no caller
    // nests two on the same node.
    unsafe { node.as_ref() }.links.with_mut(|links| work(unsafe { &mut *links }))
}
