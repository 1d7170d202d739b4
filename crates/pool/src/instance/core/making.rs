//! How many objects there are: making them, and how many there may be.

use plimsoll_core_types::Timestamp;

use super::{After, Bounds, Cause, Core, State};

impl<T, E, A: Clone> Core<T, E, A> {
    /// An object was made. `anchor` is kept while there are objects.
    pub(crate) fn created(
        &self,
        object: T,
        expires: u32,
        replaces: bool,
        anchor: A,
        now: impl Fn() -> Timestamp,
    ) -> After<T, A> {
        let mut state = self.lock_alone();
        state.creating -= 1;
        state.counts.created += 1;
        let slot = match self.stack.fill(&mut state.vacant, object, expires) {
            Ok(slot) => slot,
            Err(object) => {
                return self.dismiss(&mut state, object, Cause::Surplus);
            }
        };
        if state.anchor.is_none() {
            state.anchor = Some(anchor);
        }
        if !replaces {
            return self.settle(&mut state, slot, now);
        }
        // The old one goes first, so that the new one is no surplus.
        let mut after = self.retire_replaced(&mut state);
        after.join(self.settle(&mut state, slot, now));
        after
    }

    /// None was made. Whoever is next is told, where somebody is to be.
    pub(crate) fn not_created(
        &self,
        failure: Option<Box<E>>,
        replaces: bool,
        now: impl Fn() -> Timestamp,
    ) -> After<T, A> {
        let mut after = After::NOTHING;
        let mut state = self.lock_alone();
        state.creating -= 1;
        if replaces {
            self.forget_replacements(&state);
        }
        if let Some(failure) = failure
            && let Some(served) = state.line.fail(failure, self.bounds.bypass)
        {
            state.note_wait(served.wait, now);
            after.wake(served.waker);
        }
        self.shrunk(&mut state, &mut after);
        after
    }

    /// Counts an attempt to make one that failed.
    pub(crate) fn note_create_failure(&self) {
        self.state.lock().counts.create_failures += 1;
    }

    /// Another number of objects may exist.
    pub(crate) fn resize(&self, max: usize) -> After<T, A> {
        let mut state = self.lock_alone();
        state.max = max;
        // From here on nothing comes to the stack behind our back.
        self.refresh_flags(&state);
        let mut after = After::NOTHING;
        while state.size > state.max
            && let Some(slot) = self.stack.pop()
        {
            state.own_pops += 1;
            after.join(self.retire(&mut state, slot, Cause::Surplus));
        }
        self.nudge(&state, &mut after);
        after
    }

    /// Nothing is lent any more.
    pub(crate) fn close(&self) -> After<T, A> {
        let mut state = self.lock_alone();
        state.closed = true;
        self.refresh_flags(&state);
        let mut after = After::NOTHING;
        while let Some(served) = state.line.close() {
            after.wake(served.waker);
        }
        for slot in self.take_idle(&mut state) {
            after.join(self.retire(&mut state, slot, Cause::Surplus));
        }
        after
    }
}

impl<T, E, A> State<T, E, A> {
    /// Whether an object is to be made for whoever waits.
    pub(super) fn wants_creation(&self, bounds: &Bounds) -> bool {
        !self.closed
            && self.size + self.leaving < self.max
            && self.creating < self.line.len().min(bounds.creating)
    }

    pub(super) fn begin_creation(&mut self) {
        self.size += 1;
        self.creating += 1;
    }

    pub(super) fn begin_creations(&mut self, bounds: &Bounds) -> usize {
        let before = self.creating;
        while self.wants_creation(bounds) {
            self.begin_creation();
        }
        self.creating - before
    }
}
