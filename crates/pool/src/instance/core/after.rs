//! What is left to do once the pool's lock is released: wake whoever was served, drop what was
//! retired.

use std::task::Waker;

use super::Cause;

/// What is left to do once the lock is released. Dropping objects may take long or panic.
#[derive(Debug)]
#[must_use]
pub(crate) struct After<T, A> {
    wake: Option<Waker>,
    rest: Option<Box<Rest<T, A>>>,
}

/// What is seldom left to do.
#[derive(Debug)]
pub(crate) struct Rest<T, A> {
    pub(crate) retired: Vec<(T, Cause)>,
    /// How many of the pool's places these still take, until they are [gone](super::Core::gone).
    pub(crate) leaving: usize,
    wake: Vec<Waker>,
    /// Dropped last: the pool itself may go with it.
    pub(crate) anchor: Option<A>,
}

impl<T, A> After<T, A> {
    pub(super) const NOTHING: Self = Self { wake: None, rest: None };

    pub(super) fn retire(object: T, cause: Cause) -> Self {
        let mut after = Self::NOTHING;
        let rest = after.rest();
        rest.retired.push((object, cause));
        rest.leaving = 1;
        after
    }

    pub(super) const fn has_rest(&self) -> bool {
        self.rest.is_some()
    }

    pub(super) fn rest(&mut self) -> &mut Rest<T, A> {
        self.rest.get_or_insert_with(|| {
            Box::new(Rest { retired: Vec::new(), leaving: 0, wake: Vec::new(), anchor: None })
        })
    }

    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        if self.wake.is_none() {
            self.wake = Some(waker);
        } else {
            self.rest().wake.push(waker);
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        self.wake(other.wake);
        let Some(rest) = other.rest else { return };
        let own = self.rest();
        own.wake.extend(rest.wake);
        own.retired.extend(rest.retired);
        own.leaving += rest.leaving;
        own.anchor = own.anchor.take().or(rest.anchor);
    }

    /// Wakes whoever was served, and says what else is left to do.
    #[inline]
    pub(crate) fn wake_all(self) -> Option<Box<Rest<T, A>>> {
        if let Some(waker) = self.wake {
            waker.wake();
        }
        let mut rest = self.rest?;
        for waker in rest.wake.drain(..) {
            waker.wake();
        }
        // Where nothing has retired, no anchor holds the pool, which may be gone by now.
        (!rest.retired.is_empty() || rest.anchor.is_some()).then_some(rest)
    }
}
