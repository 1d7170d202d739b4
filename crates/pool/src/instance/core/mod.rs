//! The part of a pool that decides, without a runtime, a clock or a task: told the time, it says
//! who gets which slot and who is to be woken.
//!
//! Holds at every step:
//!
//! - `size` counts every object that exists or is being made, lent ones included; it is at most
//!   `max`, except for the debt that a shrink leaves, which returning objects pay. One that has
//!   retired still takes its place until it has been dropped (`leaving`): none is made for it
//!   before.
//! - Nothing is idle while somebody waits: the flag [`WAITERS`] is set only while the stack is
//!   empty, and while it is set, what comes back goes through the lock, to whoever is next.
//! - Those who come without the lock, to [`Arrivals`], find it open only while somebody is in line,
//!   so that nothing is idle, and no more can be made.
//! - A slot belongs to exactly one of: the stack, a loan, a waiter it was given to, the vacant ones.

mod after;
mod arrivals;
mod hand_over;
mod histogram;
mod line;
mod making;
#[cfg(loom)]
pub mod model;
mod node;
mod slot;
mod slots;
mod sync;
mod upkeep;
mod vacant;

use plimsoll_core_types::Timestamp;
use std::ops::Deref;

pub(crate) use after::{After, Rest};
use arrivals::Arrivals;
pub use histogram::WaitHistogram;
use line::Line;
use node::Timed;
pub(crate) use node::{End, Node};
pub use slot::SLOT_OVERHEAD;
pub(crate) use slot::SlotRef;
pub(crate) use slots::MOST;
use slots::Stack;
use sync::Mutex;
pub(crate) use upkeep::Upkeep;
use vacant::Vacant;

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
    arrivals: OwnLine<Arrivals<T, E>>,
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
    /// How many have retired, and have not been dropped yet.
    leaving: usize,
    /// [`Counts::waited`].
    waited: u64,
    closed: bool,
    /// Whether [`Arrivals`] are open.
    open: bool,
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
    pub(crate) leaving: usize,
    pub(crate) creating: usize,
    pub(crate) idle: usize,
    pub(crate) waiting: usize,
    pub(crate) closed: bool,
}

impl<T, E, A> Core<T, E, A> {
    pub(crate) fn new(max: usize, bounds: Bounds) -> Self {
        let state = State {
            size: 0,
            creating: 0,
            max,
            leaving: 0,
            waited: 0,
            closed: false,
            open: false,
            line: Line::new(),
            vacant: Vacant::default(),
            counts: Counts::default(),
            waits: WaitHistogram::default(),
            pops_seen: 0,
            own_pops: 0,
            anchor: None,
        };
        let (arrivals, state) = (OwnLine(Arrivals::new()), OwnLine(Mutex::new(state)));
        Self { stack: Stack::new(max), bounds, arrivals, state }
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

    /// The idle slots, the one used last first. They have to go back or end under the same lock.
    fn take_idle(&self, state: &mut State<T, E, A>) -> Vec<SlotRef<T>> {
        let idle = self.stack.take_all();
        state.own_pops += u64::from(!idle.is_empty());
        idle
    }

    /// What there is.
    pub(crate) fn sizes(&self) -> Sizes {
        let state = self.lock_complete();
        Sizes {
            max: state.max,
            size: state.size,
            leaving: state.leaving,
            creating: state.creating,
            idle: self.stack.idle(state.size),
            waiting: state.line.len(),
            closed: state.closed,
        }
    }

    /// What has happened so far, and how long waits took.
    pub(crate) fn history(&self) -> (Counts, WaitHistogram) {
        let mut state = self.lock_complete();
        self.count_hits(&mut state);
        (Counts { waited: state.waited, ..state.counts }, state.waits.clone())
    }

    /// Times the next waits one by one.
    pub(crate) fn time_closely(&self) {
        self.lock_alone().line.time_closely();
    }

    fn count_hits(&self, state: &mut State<T, E, A>) {
        let pops = self.stack.pops();
        let new = Stack::<T>::pops_between(state.pops_seen, pops);
        state.counts.hits += new.saturating_sub(state.own_pops);
        (state.pops_seen, state.own_pops) = (pops, 0);
    }
}

impl<T, E, A> State<T, E, A> {
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
