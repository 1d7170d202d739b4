//! The part of a pool that decides, without a runtime, a clock or a task: told the time, it says
//! who gets which slot and who is to be woken.
//!
//! Holds at every step:
//!
//! - `size` counts every object that exists or is being made, lent ones included; it is at most
//!   `max`, except for the debt that a shrink leaves, which returning objects pay.
//! - Nothing is idle while somebody waits: the flag [`WAITERS`] is set only while the stack is
//!   empty, and while it is set, what comes back goes through the lock, to whoever is next.
//! - A slot belongs to exactly one of: the stack, a loan, a waiter it was given to, the vacant ones.

mod histogram;
mod line;
#[cfg(loom)]
pub mod model;
mod slots;
mod sync;
mod upkeep;

use std::ops::Deref;
use std::pin::Pin;
use std::task::Waker;

use plimsoll_core_types::Timestamp;

pub use histogram::WaitHistogram;
pub(crate) use line::{End, Node};
use line::{Line, Timed};
pub use slots::SLOT_OVERHEAD;
pub(crate) use slots::{MOST, SlotRef};
use slots::{STRICT, Stack, Vacant, WAITERS};
use sync::Mutex;
pub(crate) use upkeep::Upkeep;

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects that were lent without waiting.
    pub hits: u64,
    /// Objects that were made.
    pub created: u64,
    /// Attempts to make one that failed, timeouts and panics included.
    pub create_failures: u64,
    /// Objects that were found unfit for another use, checks that timed out or panicked included.
    pub unfit: u64,
    /// Objects that were retired because they were idle for too long.
    pub idled_out: u64,
    /// Objects that were retired because they were too old.
    pub too_old: u64,
    /// Objects that were retired because there were too many, or the pool was closed.
    pub surplus: u64,
    /// Objects that their borrower took out for good.
    pub taken_out: u64,
    /// Requests that had to wait.
    pub waited: u64,
    /// Requests whose wait ended without an object: timed out or given up.
    pub gave_up: u64,
    /// The part of them whose time was up.
    pub timed_out: u64,
    /// Requests that were refused because too many waited.
    pub refused: u64,
}

/// What bounds a pool. Fixed when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) waiting: usize,
    pub(crate) bypass: u32,
    pub(crate) creating: usize,
}

/// `T` is what is pooled, `E` what a waiter is told when none could be made, and `A` whatever is to
/// be kept alive while there are objects.
#[derive(Debug)]
pub(crate) struct Core<T, E, A> {
    stack: Stack<T>,
    bounds: Bounds,
    state: OwnLine<Mutex<State<T, E, A>>>,
}

/// Begins on a line of memory of its own.
#[derive(Debug)]
#[repr(align(64))]
struct OwnLine<T>(T);

impl<T> Deref for OwnLine<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Laid out so that what every hand-over touches lies together, beside the lock itself: lines of
/// memory that go back and forth between processors are what contention costs.
#[derive(Debug)]
#[repr(C)]
struct State<T, E, A> {
    size: usize,
    creating: usize,
    max: usize,
    /// [`Counts::waited`].
    waited: u64,
    closed: bool,
    line: Line<T, E>,
    vacant: Vacant,
    counts: Counts,
    waits: WaitHistogram,
    /// Pops counted into `counts.hits` so far, and pops that were no hits.
    pops_seen: u64,
    own_pops: u64,
    anchor: Option<A>,
}

/// Why a slot's object ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Unfit,
    TakenOut,
    Idle,
    TooOld,
    Surplus,
}

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
    wake: Vec<Waker>,
    /// Dropped last: the pool itself may go with it.
    pub(crate) anchor: Option<A>,
}

/// What a request that found nothing idle gets.
#[derive(Debug)]
pub(crate) enum Start<T> {
    Given(SlotRef<T>),
    /// It waits, and is to have this many objects made meanwhile.
    Waits(usize),
    Full(usize),
    Closed,
}

/// What a pool has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) max: usize,
    pub(crate) size: usize,
    pub(crate) creating: usize,
    pub(crate) idle: usize,
    pub(crate) waiting: usize,
    pub(crate) closed: bool,
}

impl<T, A> After<T, A> {
    const NOTHING: Self = Self { wake: None, rest: None };

    fn retire(object: T, cause: Cause) -> Self {
        let mut after = Self::NOTHING;
        after.rest().retired.push((object, cause));
        after
    }

    fn rest(&mut self) -> &mut Rest<T, A> {
        self.rest.get_or_insert_with(|| {
            Box::new(Rest { retired: Vec::new(), wake: Vec::new(), anchor: None })
        })
    }

    fn wake(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        if self.wake.is_none() {
            self.wake = Some(waker);
        } else {
            self.rest().wake.push(waker);
        }
    }

    fn join(&mut self, other: Self) {
        self.wake(other.wake);
        let Some(rest) = other.rest else { return };
        let own = self.rest();
        own.wake.extend(rest.wake);
        own.retired.extend(rest.retired);
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
        Some(rest)
    }
}

impl<T, E, A> Core<T, E, A> {
    pub(crate) fn new(max: usize, bounds: Bounds) -> Self {
        let state = State {
            size: 0,
            creating: 0,
            max,
            waited: 0,
            closed: false,
            line: Line::new(),
            vacant: Vacant::default(),
            counts: Counts::default(),
            waits: WaitHistogram::default(),
            pops_seen: 0,
            own_pops: 0,
            anchor: None,
        };
        Self { stack: Stack::new(max), bounds, state: OwnLine(Mutex::new(state)) }
    }

    /// An idle slot, the one that was used last. One exchange.
    #[inline]
    pub(crate) fn pop(&self) -> Option<SlotRef<T>> {
        self.stack.pop()
    }

    /// Gives a slot back for another use: one exchange, unless somebody waits for it or it has to
    /// be retired.
    #[inline]
    pub(crate) fn put(&self, slot: SlotRef<T>, retires: bool) -> bool {
        !retires && self.stack.push(slot)
    }

    /// As [`put`](Self::put), for what it would not take.
    #[cold]
    pub(crate) fn put_slow(
        &self,
        slot: SlotRef<T>,
        retires: bool,
        now: impl Fn() -> Timestamp,
    ) -> After<T, A> {
        let mut state = self.state.lock();
        if retires {
            return self.retire(&mut state, slot, Cause::TooOld);
        }
        self.settle(&mut state, slot, now)
    }

    /// Hands a slot to whoever is next, or puts it on the stack, or retires it.
    fn settle(
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
        self.stack.flag(WAITERS, false);
        slot.take_fresh();
        let pushed = self.stack.push(slot);
        debug_assert!(pushed, "nothing forbids the push under the lock");
        after
    }

    /// Ends a slot's object. Whoever waits may have another one made in its place.
    fn retire(&self, state: &mut State<T, E, A>, slot: SlotRef<T>, cause: Cause) -> After<T, A> {
        let object = state.vacant.vacate(slot);
        state.count(cause);
        let mut after = After::retire(object, cause);
        self.shrunk(state, &mut after);
        after
    }

    /// One object less exists or is being made.
    fn shrunk(&self, state: &mut State<T, E, A>, after: &mut After<T, A>) {
        state.size -= 1;
        if state.size == 0 {
            after.rest().anchor = state.anchor.take();
        }
        self.refresh_flags(state);
        self.nudge(state, after);
    }

    /// Objects are made by those who wait; where one should be, the first of them is woken. (A
    /// borrower that gives one back may stand outside every runtime.)
    fn nudge(&self, state: &State<T, E, A>, after: &mut After<T, A>) {
        if state.wants_creation(&self.bounds) {
            after.wake(state.line.first_waker());
        }
    }

    /// What comes back goes through the lock while there is debt, or the pool is closed.
    fn refresh_flags(&self, state: &State<T, E, A>) {
        self.stack.flag(STRICT, state.closed || state.size > state.max);
    }

    /// Ends the object of a slot that the caller owns.
    pub(crate) fn end(&self, slot: SlotRef<T>, cause: Cause) -> After<T, A> {
        self.retire(&mut self.state.lock(), slot, cause)
    }

    /// The slow beginning of a request: an idle slot after all, or a place in the line.
    pub(crate) fn start(
        &self,
        node: Pin<&Node<T, E>>,
        waker: &Waker,
        now: impl Fn() -> Timestamp,
    ) -> Start<T> {
        let waker = waker.clone();
        let mut state = self.state.lock();
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
        Start::Waits(state.begin_creations(&self.bounds))
    }

    /// Notes whom to wake, and says how many objects that waiter is to have made. None where its
    /// wait has ended.
    pub(crate) fn look_after(&self, node: Pin<&Node<T, E>>, waker: &Waker) -> Option<usize> {
        let mut state = self.state.lock();
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
        let mut state = self.state.lock();
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

    /// An object was made. `anchor` is kept while there are objects.
    pub(crate) fn created(
        &self,
        object: T,
        expires: u32,
        replaces: bool,
        anchor: A,
        now: impl Fn() -> Timestamp,
    ) -> After<T, A> {
        let mut state = self.state.lock();
        state.creating -= 1;
        state.counts.created += 1;
        let slot = match self.stack.fill(&mut state.vacant, object, expires) {
            Ok(slot) => slot,
            Err(object) => {
                state.count(Cause::Surplus);
                let mut after = After::retire(object, Cause::Surplus);
                self.shrunk(&mut state, &mut after);
                return after;
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
        let mut state = self.state.lock();
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
        let mut state = self.state.lock();
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
        let mut state = self.state.lock();
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

    /// The idle slots, the one used last first. They have to go back or end under the same lock.
    fn take_idle(&self, state: &mut State<T, E, A>) -> Vec<SlotRef<T>> {
        let idle = self.stack.take_all();
        state.own_pops += u64::from(!idle.is_empty());
        idle
    }

    /// What there is.
    pub(crate) fn sizes(&self) -> Sizes {
        let state = self.state.lock();
        Sizes {
            max: state.max,
            size: state.size,
            creating: state.creating,
            idle: self.stack.idle(state.size),
            waiting: state.line.len(),
            closed: state.closed,
        }
    }

    /// What has happened so far, and how long waits took.
    pub(crate) fn history(&self) -> (Counts, WaitHistogram) {
        let mut state = self.state.lock();
        self.count_hits(&mut state);
        (Counts { waited: state.waited, ..state.counts }, state.waits.clone())
    }

    /// Times the next waits one by one.
    pub(crate) fn time_closely(&self) {
        self.state.lock().line.time_closely();
    }

    fn count_hits(&self, state: &mut State<T, E, A>) {
        let pops = self.stack.pops();
        let new = Stack::<T>::pops_between(state.pops_seen, pops);
        state.counts.hits += new.saturating_sub(state.own_pops);
        (state.pops_seen, state.own_pops) = (pops, 0);
    }
}

impl<T, E, A> State<T, E, A> {
    /// Whether an object is to be made for whoever waits.
    fn wants_creation(&self, bounds: &Bounds) -> bool {
        !self.closed && self.size < self.max && self.creating < self.line.len().min(bounds.creating)
    }

    fn begin_creation(&mut self) {
        self.size += 1;
        self.creating += 1;
    }

    fn begin_creations(&mut self, bounds: &Bounds) -> usize {
        let before = self.creating;
        while self.wants_creation(bounds) {
            self.begin_creation();
        }
        self.creating - before
    }

    fn count(&mut self, cause: Cause) {
        let counter = match cause {
            Cause::Unfit => &mut self.counts.unfit,
            Cause::TakenOut => &mut self.counts.taken_out,
            Cause::Idle => &mut self.counts.idled_out,
            Cause::TooOld => &mut self.counts.too_old,
            Cause::Surplus => &mut self.counts.surplus,
        };
        *counter += 1;
    }

    /// Counts a wait, where it was timed.
    fn note_wait(&mut self, wait: Timed, now: impl Fn() -> Timestamp) {
        if wait.weight > 0 {
            self.waits.record(now().saturating_since(wait.since), wait.weight);
        }
    }
}
