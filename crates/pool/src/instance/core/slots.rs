//! Where the objects live: places that never move, and the stack of those that are idle.
//!
//! The stack is R. K. Treiber's (*Systems Programming: Coping with Parallelism*, IBM RJ 5118,
//! 1986), linked by numbers instead of pointers, so that its top fits into one word together with
//! the pool's flags and a count of pops. The count is what keeps a pop from being fooled by a slot
//! that was popped and pushed again in the meantime (ABA): it would have to pass 2^42 pops between
//! one load and its exchange.
//!
//! Last in, first out: the object that was used last is the one whose memory, connection and
//! credentials are warmest, and the ones at the bottom are those that can be given up.
#![expect(unsafe_code, reason = "objects stay in place while other threads push and pop theirs")]

use std::ptr::NonNull;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::slot::{Slot, SlotRef};
use super::sync::{AtomicPtr, AtomicU32, AtomicU64};

/// The most slots a pool can have.
pub(crate) const MOST: usize = (1 << TOP_BITS) - 2;

const TOP_BITS: u32 = 20;
const TOP: u64 = (1 << TOP_BITS) - 1;
const POP: u64 = 1 << (TOP_BITS + 2);
/// The segments beyond the first; each doubles what there is.
#[cfg(not(loom))]
const SEGMENTS: usize = 20;
#[cfg(loom)]
const SEGMENTS: usize = 1;
/// The most slots that are allocated at once at the start.
const FIRST: usize = 1024;

/// Somebody waits: what comes back is handed over under the lock.
pub(crate) const WAITERS: u64 = 1 << TOP_BITS;
/// What comes back may have to be retired: there are too many, or the pool is closed.
pub(crate) const STRICT: u64 = 1 << (TOP_BITS + 1);

/// All slots of a pool, and the idle ones among them in a stack.
#[derive(Debug)]
pub(crate) struct Stack<T> {
    /// Count of pops, flags, number of the top plus one.
    word: AtomicU64,
    /// The upkeep's clock, in ticks.
    ticks: AtomicU32,
    pub(super) first_len: u32,
    pub(super) first: AtomicPtr<Slot<T>>,
    pub(super) more: [AtomicPtr<Slot<T>>; SEGMENTS],
}

// SAFETY: a slot's object is only touched by whoever took the slot off the stack, and is handed on
// by a release push; objects can therefore move between threads where `T` can.
unsafe impl<T: Send> Send for Stack<T> {}
// SAFETY: as above; nobody gets a shared reference to an object through a shared `Stack`.
unsafe impl<T: Send> Sync for Stack<T> {}

impl<T> Stack<T> {
    /// An empty stack for about `size` slots; it can get more.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            word: AtomicU64::new(0),
            ticks: AtomicU32::new(1),
            first_len: size.clamp(1, FIRST) as u32,
            first: AtomicPtr::new(std::ptr::null_mut()),
            more: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
        }
    }

    /// The last slot that was pushed.
    #[inline]
    pub(crate) fn pop(&self) -> Option<SlotRef<T>> {
        let mut word = self.word.load(Acquire);
        loop {
            let top = (word & TOP) as u32;
            if top == 0 {
                return None;
            }
            let slot = self.at(top - 1);
            let next = slot.next.load(Relaxed);
            let popped = (word & !TOP).wrapping_add(POP) | u64::from(next);
            match self.word.compare_exchange_weak(word, popped, AcqRel, Acquire) {
                Ok(_) => return Some(slot),
                Err(now) => word = now,
            }
        }
    }

    /// Pushes a slot that the caller owns, unless a flag says that what comes back has to go
    /// through the lock.
    #[inline]
    pub(crate) fn push(&self, slot: SlotRef<T>) -> bool {
        let mut word = self.word.load(Relaxed);
        slot.since.store(self.ticks.load(Relaxed), Relaxed);
        let top = u64::from(slot.number() + 1);
        loop {
            if word & (WAITERS | STRICT) != 0 {
                return false;
            }
            slot.next.store((word & TOP) as u32, Relaxed);
            let pushed = (word & !TOP) | top;
            // The release hands the object on with the slot.
            match self.word.compare_exchange_weak(word, pushed, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Puts back what [`take_all`](Self::take_all) took, in the same order, as if nothing had
    /// happened in the meantime. Under the pool's lock, which keeps the flags as they are.
    pub(crate) fn put_back(&self, slots: &[SlotRef<T>]) {
        let [first, .., last] = slots else {
            if let [only] = slots {
                self.link_all(*only, *only);
            }
            return;
        };
        for pair in slots.windows(2) {
            pair[0].next.store(pair[1].number() + 1, Relaxed);
        }
        self.link_all(*first, *last);
    }

    fn link_all(&self, first: SlotRef<T>, last: SlotRef<T>) {
        let mut word = self.word.load(Relaxed);
        loop {
            last.next.store((word & TOP) as u32, Relaxed);
            let pushed = (word & !TOP) | u64::from(first.number() + 1);
            match self.word.compare_exchange_weak(word, pushed, AcqRel, Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Takes the whole stack: the slots from the top to the bottom.
    pub(crate) fn take_all(&self) -> Vec<SlotRef<T>> {
        let mut word = self.word.load(Acquire);
        while word & TOP != 0 {
            let empty = (word & !TOP).wrapping_add(POP);
            match self.word.compare_exchange_weak(word, empty, AcqRel, Acquire) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        self.chain((word & TOP) as u32, MOST).0
    }

    /// How many slots are on the stack: exact unless others push and pop all the time.
    pub(crate) fn idle(&self, most: usize) -> usize {
        let mut count = 0;
        for _ in 0..8 {
            let word = self.word.load(Acquire);
            count = self.chain((word & TOP) as u32, most).0.len();
            if self.word.load(Acquire) == word {
                break;
            }
        }
        count
    }

    /// Follows the links from `top`, at most `most` of them.
    fn chain(&self, top: u32, most: usize) -> (Vec<SlotRef<T>>, u32) {
        let (mut slots, mut top) = (Vec::new(), top);
        while top != 0 && slots.len() < most {
            let slot = self.at(top - 1);
            slots.push(slot);
            top = slot.next.load(Relaxed);
        }
        (slots, top)
    }

    /// Sets `flag` where the stack is empty; false where it is not. Under the pool's lock.
    pub(crate) fn flag_if_empty(&self, flag: u64) -> bool {
        let mut word = self.word.load(Relaxed);
        loop {
            if word & TOP != 0 {
                return false;
            }
            if word & flag != 0 {
                return true;
            }
            match self.word.compare_exchange_weak(word, word | flag, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
    }

    /// Sets or clears `flag`. Under the pool's lock.
    pub(crate) fn flag(&self, flag: u64, on: bool) {
        if on {
            self.word.fetch_or(flag, AcqRel);
        } else {
            self.word.fetch_and(!flag, AcqRel);
        }
    }

    /// How many slots have been popped so far, modulo 2^42.
    pub(crate) fn pops(&self) -> u64 {
        self.word.load(Relaxed) / POP
    }

    /// `later - earlier` of two counts of pops.
    pub(crate) const fn pops_between(earlier: u64, later: u64) -> u64 {
        later.wrapping_sub(earlier) & (u64::MAX / POP)
    }

    /// The upkeep's clock.
    pub(crate) fn ticks(&self) -> u32 {
        self.ticks.load(Relaxed)
    }

    /// Sets the upkeep's clock.
    pub(crate) fn set_ticks(&self, ticks: u32) {
        self.ticks.store(ticks, Relaxed);
    }

    /// Slot `number`, which must have been used.
    #[inline]
    pub(super) fn at(&self, number: u32) -> SlotRef<T> {
        if number < self.first_len {
            // SAFETY: the first segment has `first_len` slots and was allocated before any of its
            // numbers was used.
            SlotRef(unsafe {
                NonNull::new_unchecked(self.first.load(Acquire).add(number as usize))
            })
        } else {
            self.at_later(number)
        }
    }

    #[cold]
    fn at_later(&self, number: u32) -> SlotRef<T> {
        let (segment, offset, _) = self.place(number);
        // SAFETY: a number is used only after its segment was allocated, and lies within it.
        SlotRef(unsafe { NonNull::new_unchecked(self.more[segment].load(Acquire).add(offset)) })
    }

    /// Which of the later segments a number is in, where, and how long that segment is.
    pub(super) fn place(&self, number: u32) -> (usize, usize, usize) {
        let segment = (number / self.first_len).ilog2() as usize;
        let length = (self.first_len as usize) << segment;
        (segment, number as usize - length, length)
    }
}

impl<T> Drop for Stack<T> {
    fn drop(&mut self) {
        for slot in self.take_all() {
            // SAFETY: idle slots hold objects, and nobody else can reach them any more.
            unsafe { slot.object().drop_in_place() };
        }
        let free = |segment: &AtomicPtr<Slot<T>>, length: usize| {
            let slots = segment.load(Acquire);
            if !slots.is_null() {
                let slots = std::ptr::slice_from_raw_parts_mut(slots, length);
                // SAFETY: it was allocated as a box of this length, and is freed once.
                drop(unsafe { Box::from_raw(slots) });
            }
        };
        free(&self.first, self.first_len as usize);
        for (index, segment) in self.more.iter().enumerate() {
            free(segment, (self.first_len as usize) << index);
        }
    }
}
