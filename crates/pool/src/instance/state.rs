//! What a pool has, who has it, and who waits: the pure part, behind the pool's lock.
//!
//! Holds at every step: `size` counts every object that exists or is being made, lent ones
//! included; nothing is idle while somebody waits; and `size` is at most `max`, except for the
//! debt that a shrink leaves, which returning objects pay.

use std::task::Waker;

use plimsoll_core_types::Priority;

use super::waiters::{Place, Waiters};

/// What a waiter is given.
#[derive(Debug)]
pub(super) enum Gift<T> {
    /// An object that came back.
    Object(T),
    /// The right to make one.
    Right,
}

#[derive(Debug)]
pub(super) struct State<T> {
    pub(super) idle: Vec<T>,
    pub(super) size: usize,
    pub(super) max: usize,
    pub(super) closed: bool,
    pub(super) waiters: Waiters<Gift<T>>,
    pub(super) counts: Counts,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects that were lent without waiting or making one.
    pub hits: u64,
    /// Objects that were made.
    pub created: u64,
    /// Objects that could not be made, timeouts and panics included.
    pub create_failures: u64,
    /// Objects that were found unfit for another use.
    pub unfit: u64,
    /// Requests that had to wait.
    pub waited: u64,
    /// Requests whose wait ended without an object: timed out or given up.
    pub gave_up: u64,
    /// Requests that were refused because too many waited.
    pub refused: u64,
}

/// What a request gets at once.
#[derive(Debug)]
pub(super) enum Start<T> {
    Given(Gift<T>),
    Waits(Place),
    Full(usize),
    Closed,
}

/// What is left to do once the lock is released.
#[derive(Debug)]
#[must_use]
pub(super) struct After<T> {
    /// Objects that are no longer wanted; dropping them may take long or panic.
    pub(super) retired: Vec<T>,
    pub(super) wake: Option<Waker>,
}

impl<T> After<T> {
    const NOTHING: Self = Self { retired: Vec::new(), wake: None };
}

impl<T> State<T> {
    pub(super) fn new(max: usize) -> Self {
        Self {
            idle: Vec::new(),
            size: 0,
            max,
            closed: false,
            waiters: Waiters::new(),
            counts: Counts::default(),
        }
    }

    /// The beginning of a request.
    pub(super) fn start(&mut self, priority: Priority, max_waiting: usize) -> Start<T> {
        if let Some(object) = self.idle.pop() {
            self.counts.hits += 1;
            return Start::Given(Gift::Object(object));
        }
        if self.closed {
            return Start::Closed;
        }
        if self.size < self.max {
            self.size += 1;
            return Start::Given(Gift::Right);
        }
        let waiting = self.waiters.len();
        if waiting >= max_waiting {
            self.counts.refused += 1;
            return Start::Full(waiting);
        }
        self.counts.waited += 1;
        Start::Waits(self.waiters.push(priority))
    }

    /// Somebody leaves the line.
    pub(super) fn leave(&mut self, place: Place, max_bypass: u32) -> After<T> {
        self.counts.gave_up += 1;
        match self.waiters.leave(place) {
            Some(Gift::Object(object)) => self.put(object, max_bypass),
            Some(Gift::Right) => self.lose(max_bypass),
            None => After::NOTHING,
        }
    }

    /// An object comes back, fit for another use.
    pub(super) fn put(&mut self, object: T, max_bypass: u32) -> After<T> {
        if self.closed || self.size > self.max {
            self.size -= 1;
            return After { retired: vec![object], wake: None };
        }
        match self.waiters.give(Gift::Object(object), max_bypass) {
            Ok(wake) => After { retired: Vec::new(), wake },
            Err(Gift::Object(object)) => {
                self.idle.push(object);
                After::NOTHING
            }
            Err(Gift::Right) => After::NOTHING,
        }
    }

    /// An object is gone, or was not made: somebody else may make one.
    pub(super) fn lose(&mut self, max_bypass: u32) -> After<T> {
        self.size -= 1;
        if self.closed || self.size >= self.max {
            return After::NOTHING;
        }
        match self.waiters.give(Gift::Right, max_bypass) {
            Ok(wake) => {
                self.size += 1;
                After { retired: Vec::new(), wake }
            }
            Err(_) => After::NOTHING,
        }
    }

    /// Another number of objects may exist. Says what is to be retired at once and whom to wake;
    /// lent objects beyond the new number are retired when they come back.
    pub(super) fn resize(&mut self, max: usize, max_bypass: u32) -> (Vec<T>, Vec<Waker>) {
        self.max = max;
        let (mut retired, mut wake) = (Vec::new(), Vec::new());
        while self.size > self.max
            && let Some(object) = self.idle.pop()
        {
            self.size -= 1;
            retired.push(object);
        }
        while self.size < self.max
            && let Ok(waker) = self.waiters.give(Gift::Right, max_bypass)
        {
            self.size += 1;
            wake.extend(waker);
        }
        (retired, wake)
    }

    /// Nothing is lent any more. Says what is to be retired at once and whom to wake.
    pub(super) fn close(&mut self) -> (Vec<T>, Vec<Waker>) {
        self.closed = true;
        let retired = std::mem::take(&mut self.idle);
        self.size -= retired.len();
        (retired, self.waiters.wake_all())
    }
}
