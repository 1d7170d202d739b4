//! Those who have just come: a stack that they push themselves onto without the pool's lock. Whoever
//! holds the lock puts them into the line.
//!
//! It is open only while somebody stands in line already. So nothing is idle then, nothing is to
//! be made, and whatever comes back passes the lock, where those who came are found. It holds a
//! few only: the next one takes the lock itself, and the line's length stays bounded.
//!
//! Nodes are only pushed one by one and taken all at once, so that the exchange can't be fooled
//! (R. K. Treiber's stack needs a count against that where single ones are popped).

use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::task::Waker;

use super::node::{self, Node};
use super::sync::{AtomicPtr, MutexGuard};
use super::{Core, State};

/// How many can have come while nobody has looked.
pub(super) const FEW: usize = 3;
/// Below the address of who came last: whether it is shut, then how many there are.
const SHUT: usize = 1;
const ONE: usize = 2;
const COUNT: usize = FEW * ONE;
const TAGS: usize = SHUT | COUNT;

/// Those who have just come.
#[derive(Debug)]
pub(super) struct Arrivals<T, E>(AtomicPtr<Node<T, E>>);

impl<T, E> Arrivals<T, E> {
    /// Nobody, and shut.
    pub(super) fn new() -> Self {
        const { assert!(align_of::<Node<T, E>>() > TAGS) };
        Self(AtomicPtr::new(std::ptr::without_provenance_mut(SHUT)))
    }

    /// Lets `node` come, whom `waker` wakes. False where it has to come through the lock.
    ///
    /// The node must stay where it is until its wait has ended, or it has left under the lock,
    /// after all who came were [taken](Self::take).
    pub(super) fn push(&self, node: Pin<&Node<T, E>>, waker: &Waker) -> bool {
        let mut top = self.0.load(Relaxed);
        if !has_room(top) {
            return false;
        }
        let own = node.set_out(waker.clone());
        while has_room(top) {
            let count = top.addr() & COUNT;
            let before = NonNull::new(top.map_addr(|address| address & !TAGS));
            node::links(own, |own| own.next = before);
            let pushed = own.as_ptr().map_addr(|address| address | (count + ONE));
            match self.0.compare_exchange_weak(top, pushed, Release, Relaxed) {
                Ok(_) => return true,
                Err(now) => top = now,
            }
        }
        node.turn_back();
        false
    }

    /// Takes those who have come, and leaves it as it is. Under the pool's lock.
    pub(super) fn take(&self) -> Came<T, E> {
        if self.0.load(Relaxed).addr() & !SHUT == 0 {
            return Came::nobody();
        }
        Came::behind(self.0.swap(std::ptr::null_mut(), AcqRel))
    }

    /// Takes those who have come, and lets nobody else come but through the lock. Under the lock.
    pub(super) fn shut(&self) -> Came<T, E> {
        Came::behind(self.0.swap(std::ptr::without_provenance_mut(SHUT), Acquire))
    }

    /// Lets them come without the lock. Under the lock, where it is shut.
    pub(super) fn open(&self) {
        self.0.store(std::ptr::null_mut(), Release);
    }
}

/// Whether one more can come.
fn has_room<N>(top: *mut N) -> bool {
    let address = top.addr();
    address & SHUT == 0 && address & COUNT < COUNT
}

/// Those who came, in turn.
#[derive(Debug)]
pub(super) struct Came<T, E> {
    /// Whoever came first is at the end.
    nodes: [Option<NonNull<Node<T, E>>>; FEW],
    count: usize,
}

impl<T, E> Came<T, E> {
    const fn nobody() -> Self {
        Self { nodes: [None; FEW], count: 0 }
    }

    /// Whoever came up to `top`.
    fn behind(top: *mut Node<T, E>) -> Self {
        let mut came = Self::nobody();
        let mut next = NonNull::new(top.map_addr(|address| address & !TAGS));
        while let Some(node) = next
            && came.count < FEW
        {
            came.nodes[came.count] = next;
            came.count += 1;
            next = node::links(node, |own| own.next.take());
        }
        came
    }
}

impl<T, E> Iterator for Came<T, E> {
    type Item = NonNull<Node<T, E>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        self.nodes[self.count]
    }
}

impl<T, E, A> Core<T, E, A> {
    /// The lock, with all who came in line.
    pub(super) fn lock_complete(&self) -> MutexGuard<'_, State<T, E, A>> {
        let mut state = self.state.lock();
        if state.open {
            state.admit(self.arrivals.take());
            self.tend(&mut state);
        }
        state
    }

    /// The lock, with all who came in line, and nobody coming but through the lock until it is
    /// [tended](Self::tend).
    pub(super) fn lock_alone(&self) -> MutexGuard<'_, State<T, E, A>> {
        let mut state = self.state.lock();
        self.shut(&mut state);
        state
    }

    /// Puts all who came into the line, and lets nobody come but through the lock.
    pub(super) fn shut(&self, state: &mut State<T, E, A>) {
        if state.open {
            state.open = false;
            state.admit(self.arrivals.shut());
        }
    }

    /// Lets those who come next do so without the lock, where nothing speaks against it.
    pub(super) fn tend(&self, state: &mut State<T, E, A>) {
        let waiting = state.line.len();
        let opens = waiting > 0
            && waiting.saturating_add(FEW) <= self.bounds.waiting
            && state.size >= state.max
            && !state.closed
            && !state.line.times_next();
        if !opens {
            self.shut(state);
        } else if !state.open {
            state.open = true;
            self.arrivals.open();
        }
    }
}

impl<T, E, A> State<T, E, A> {
    fn admit(&mut self, came: Came<T, E>) {
        for node in came {
            self.waited += 1;
            self.line.admit(node);
        }
    }
}
