//! The slow paths of a loan: the line, and what comes back while somebody stands in it.

use std::pin::Pin;
use std::task::Waker;

use plimsoll_core_types::Timestamp;

use super::line::Line;
use super::node::Node;
use super::slot::SlotRef;
use super::slots::{STRICT, WAITERS};
use super::{After, Cause, Core, Start, State};

impl<T, E, A: Clone> Core<T, E, A> {
    /// As [`put`](Self::put), for what it would not take.
    #[cold]
    pub(crate) fn put_slow(
        &self,
        slot: SlotRef<T>,
        retires: bool,
        now: impl Fn() -> Timestamp,
    ) -> After<T, A> {
        let mut state = self.state.lock();
        if state.open && state.line.is_plain() && !retires {
            // Whoever has come meanwhile is behind all of these, one of whom stays.
            return self.settle(&mut state, slot, now);
        }
        self.shut(&mut state);
        if retires {
            return self.retire(&mut state, slot, Cause::TooOld);
        }
        let after = self.settle(&mut state, slot, now);
        self.tend(&mut state);
        after
    }

    /// Hands a slot to whoever is next, or puts it on the stack, or retires it.
    pub(super) fn settle(
        &self,
        state: &mut State<T, E, A>,
        slot: SlotRef<T>,
        now: impl Fn() -> Timestamp,
    ) -> After<T, A> {
        if state.closed || state.size > state.max {
            return self.retire(state, slot, Cause::Surplus);
        }
        let mut after = After::NOTHING;
        while let Some((served, at)) = state.line.expire(&now) {
            state.counts.gave_up += 1;
            state.counts.timed_out += 1;
            state.note_wait(served.wait, || at);
            after.wake(served.waker);
        }
        if let Some(served) = state.line.give(slot, self.bounds.bypass) {
            state.note_wait(served.wait, now);
            after.wake(served.waker);
            self.nudge(state, &mut after);
            return after;
        }
        debug_assert!(!state.open, "nobody may come unseen from here on");
        self.stack.flag(WAITERS, false);
        slot.take_fresh();
        let pushed = self.stack.push(slot);
        debug_assert!(pushed, "nothing forbids the push under the lock");
        after
    }

    /// Ends a slot's object. Whoever waits may have another one made in its place.
    pub(super) fn retire(
        &self,
        state: &mut State<T, E, A>,
        slot: SlotRef<T>,
        cause: Cause,
    ) -> After<T, A> {
        let object = state.vacant.vacate(slot);
        self.dismiss(state, object, cause)
    }

    /// Ends an object that is in no slot.
    pub(super) fn dismiss(
        &self,
        state: &mut State<T, E, A>,
        object: T,
        cause: Cause,
    ) -> After<T, A> {
        state.count(cause);
        let mut after = After::retire(object, cause);
        state.leaving += 1;
        self.shrunk(state, &mut after);
        after
    }

    /// Retired objects have been dropped: others can be made in their place. Nothing but wakers is
    /// left to do.
    pub(crate) fn gone(&self, count: usize) -> After<T, A> {
        let mut state = self.lock_alone();
        state.leaving -= count;
        let mut after = After::NOTHING;
        self.nudge(&state, &mut after);
        after
    }

    /// One object less exists or is being made.
    pub(super) fn shrunk(&self, state: &mut State<T, E, A>, after: &mut After<T, A>) {
        state.size -= 1;
        if state.size == 0 {
            after.rest().anchor = state.anchor.take();
        } else if after.has_rest() {
            // The pool is told of it once the lock is released, when the others may be gone too.
            after.rest().anchor.clone_from(&state.anchor);
        }
        self.refresh_flags(state);
        self.nudge(state, after);
    }

    /// Objects are made by those who wait; where one should be, the first of them is woken. (A
    /// borrower that gives one back may stand outside every runtime.)
    pub(super) fn nudge(&self, state: &State<T, E, A>, after: &mut After<T, A>) {
        if state.wants_creation(&self.bounds) {
            after.wake(state.line.first_waker());
        }
    }

    /// What comes back goes through the lock while there is debt, or the pool is closed.
    pub(super) fn refresh_flags(&self, state: &State<T, E, A>) {
        self.stack.flag(STRICT, state.closed || state.size > state.max);
    }

    /// Ends the object of a slot that the caller owns.
    pub(crate) fn end(&self, slot: SlotRef<T>, cause: Cause) -> After<T, A> {
        self.retire(&mut self.lock_alone(), slot, cause)
    }

    /// The slow beginning of a request: an idle slot after all, or a place in the line.
    pub(crate) fn start(
        &self,
        node: Pin<&Node<T, E>>,
        waker: &Waker,
        now: impl Fn() -> Timestamp,
    ) -> Start<T> {
        if node.is_usual() && self.arrivals.push(node, waker) {
            return Start::Waits(0);
        }
        let waker = waker.clone();
        let mut state = self.lock_complete();
        if state.closed {
            return Start::Closed;
        }
        let waiting = state.line.len();
        if waiting >= self.bounds.waiting.saturating_add(state.max - state.size.min(state.max)) {
            state.counts.refused += 1;
            return Start::Full(waiting);
        }
        // With the flag set, nothing can come to the stack any more without the lock.
        while !self.stack.flag_if_empty(WAITERS) {
            if let Some(slot) = self.stack.pop() {
                return Start::Given(slot);
            }
        }
        state.waited += 1;
        state.line.join(node, waker, now);
        let creations = state.begin_creations(&self.bounds);
        self.tend(&mut state);
        Start::Waits(creations)
    }

    /// Notes whom to wake, and says how many objects that waiter is to have made. None where its
    /// wait has ended.
    pub(crate) fn look_after(&self, node: Pin<&Node<T, E>>, waker: &Waker) -> Option<usize> {
        let mut state = self.lock_alone();
        Line::rewake(node, waker).then(|| state.begin_creations(&self.bounds))
    }

    /// Takes a node out of the line. False where its wait had ended before: its
    /// [`end`](Node::end) says how.
    pub(crate) fn leave(
        &self,
        node: Pin<&Node<T, E>>,
        timed_out: bool,
        now: impl Fn() -> Timestamp,
    ) -> (bool, After<T, A>) {
        let mut after = After::NOTHING;
        let mut state = self.lock_alone();
        let Some(wait) = state.line.leave(node) else { return (false, after) };
        state.counts.gave_up += 1;
        state.counts.timed_out += u64::from(timed_out);
        state.note_wait(wait, now);
        if state.line.len() == 0 {
            self.stack.flag(WAITERS, false);
        }
        self.nudge(&state, &mut after);
        (true, after)
    }
}
