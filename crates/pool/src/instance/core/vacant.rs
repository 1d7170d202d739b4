//! The slots that hold no object, and how objects come into slots and out of them.
#![expect(
    unsafe_code,
    reason = "an object is written to and read from the slot that stays in place"
)]

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::slot::{FRESH, NUMBER_SHIFT, REPLACING, RETIRE, Slot, SlotRef};
use super::slots::{MOST, Stack};

/// The slots that hold no object. Behind the pool's lock.
#[derive(Debug, Default)]
pub(crate) struct Vacant {
    /// Number plus one of a vacant slot that had been used.
    first: u32,
    /// How many slots have ever been used.
    used: u32,
}

impl<T> Stack<T> {
    /// Puts `object` into a vacant slot, which the caller owns then. `None`, with the object, where
    /// there can be no more slots.
    pub(crate) fn fill(
        &self,
        vacant: &mut Vacant,
        object: T,
        expires: u32,
    ) -> Result<SlotRef<T>, T> {
        let number = if vacant.first != 0 {
            vacant.first - 1
        } else if (vacant.used as usize) < MOST {
            self.allocate(vacant.used);
            vacant.used += 1;
            vacant.used - 1
        } else {
            return Err(object);
        };
        let slot = self.at(number);
        if vacant.first != 0 {
            vacant.first = slot.next.load(Relaxed);
        }
        slot.meta.store(number << NUMBER_SHIFT | FRESH, Relaxed);
        slot.expires.store(expires, Relaxed);
        slot.since.store(self.ticks(), Relaxed);
        // SAFETY: nobody else knows the vacant slot.
        slot.object.with_mut(|at| unsafe { (*at).write(object) });
        Ok(slot)
    }

    /// Every slot that has ever been used.
    pub(crate) fn used<'a>(&'a self, vacant: &Vacant) -> impl Iterator<Item = SlotRef<T>> + 'a {
        (0..vacant.used).map(|number| self.at(number))
    }

    /// Sees to it that slot `number`, the next one to be used, exists.
    fn allocate(&self, number: u32) {
        let (segment, first_of, length) = if number < self.first_len {
            (&self.first, 0, self.first_len as usize)
        } else {
            let (segment, _, length) = self.place(number);
            (&self.more[segment], length, length)
        };
        if segment.load(Relaxed).is_null() {
            let slots: Box<[Slot<T>]> = (first_of..first_of + length).map(Slot::new).collect();
            segment.store(Box::into_raw(slots).cast(), Release);
        }
    }
}

impl Vacant {
    /// Takes the object out of a slot, which the caller owned and which is vacant then.
    pub(crate) fn vacate<T>(&mut self, slot: SlotRef<T>) -> T {
        // SAFETY: the caller owns the slot, which therefore holds an object, and gives it up.
        let object = slot.object.with_mut(|at| unsafe { (*at).assume_init_read() });
        slot.expires.store(0, Relaxed);
        slot.meta.fetch_and(!(RETIRE | REPLACING | FRESH), Relaxed);
        slot.next.store(self.first, Relaxed);
        self.first = slot.number() + 1;
        object
    }
}
