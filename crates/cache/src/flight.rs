//! Single flight: of those who miss the same key at once, one loads it and the others wait.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use parking_lot::{Condvar, Mutex};

/// One load that is under way.
#[derive(Debug)]
pub(crate) struct Flight<V> {
    state: Mutex<State<V>>,
    landed: Condvar,
    superseded: AtomicBool,
}

#[derive(Debug)]
enum State<V> {
    Under(Vec<Waker>),
    Landed(V),
    Lost,
}

impl<V: Clone> Flight<V> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::Under(Vec::new())),
            landed: Condvar::new(),
            superseded: AtomicBool::new(false),
        })
    }

    /// The key was written or invalidated while this load was under way: what it brings is for
    /// those who wait, and not for the cache. Called under the key's lock.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Ordering::Relaxed);
    }

    /// Read under the key's lock.
    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Relaxed)
    }

    /// Gives the value to all who wait; none where the load failed, and one of them must try.
    pub(crate) fn land(&self, value: Option<V>) {
        let next = value.map_or(State::Lost, State::Landed);
        let before = std::mem::replace(&mut *self.state.lock(), next);
        self.landed.notify_all();
        if let State::Under(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Waits for the value; none where the load failed.
    pub(crate) fn wait(&self) -> Option<V> {
        let mut state = self.state.lock();
        loop {
            match &*state {
                State::Under(_) => self.landed.wait(&mut state),
                State::Landed(value) => return Some(value.clone()),
                State::Lost => return None,
            }
        }
    }

    /// As [`wait`](Self::wait), without blocking the thread.
    pub(crate) async fn waited(&self) -> Option<V> {
        poll_fn(|context| match &mut *self.state.lock() {
            State::Under(wakers) => {
                if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
            State::Landed(value) => Poll::Ready(Some(value.clone())),
            State::Lost => Poll::Ready(None),
        })
        .await
    }
}
