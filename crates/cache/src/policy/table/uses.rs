//! When and how often entries and keys are used.
//!
//! A resident entry's uses are counted in its node, those of another key in a sketch. All are
//! halved from time to time: the sketch at once, a node when it is used next.

use super::node::Used;
use super::{Place, Table};
use crate::policy::sketch::Sketch;

/// Uses beyond this are not counted.
const MOST_USES: u8 = 15;

/// All frequencies are halved after so many accesses for each entry.
pub(super) const AGING: u64 = 10;

/// An entry that was used within so many accesses, and often before, is not marked anew.
const JUST_USED: u32 = 64;

impl<T> Table<T> {
    /// One more access has begun.
    #[inline]
    pub(in crate::policy) fn tick(&mut self) {
        self.clock += 1;
        if self.clock >= self.aging {
            self.age();
        }
    }

    #[cold]
    fn age(&mut self) {
        self.aging = self.clock + AGING * self.history.entries();
        self.era = self.era.wrapping_add(1);
        self.history.halve();
    }

    #[inline]
    pub(super) fn now(&self) -> u32 {
        self.clock as u32
    }

    /// Notes that a key without an entry was asked for, and says how often it was of late.
    pub(in crate::policy) fn missed(&mut self, key: u64) -> u8 {
        if self.len as u64 > self.history.entries() {
            let before = self.history.entries();
            self.history.grow();
            self.aging += AGING * (self.history.entries() - before);
        }
        self.history.add(key).1
    }

    /// How often keys that have no entry were asked for of late.
    pub(in crate::policy) fn history(&self) -> &Sketch {
        &self.history
    }

    /// How often the entry was used of late, 0 to 15.
    #[inline]
    pub(in crate::policy) fn frequency(&self, place: Place) -> u8 {
        self.node(place).used().uses_in(self.era)
    }

    /// Notes a use under a policy that only marks: counts it, raises the mark, and notes when.
    ///
    /// When and how often an entry was used is as good as random, and a branch that the processor
    /// guesses wrong, after waiting for the entry, costs more than writing does. So only entries
    /// that are used all the time are left as they are: theirs are the lines that processors would
    /// take from each other.
    #[inline]
    pub(in crate::policy) fn mark_use(&mut self, place: Place) {
        let (now, era, marks) = (self.now(), self.era, self.marks);
        let node = &mut self.nodes[place.0 as usize];
        let before = node.used();
        let uses = (before.uses_in(era) + 1).min(MOST_USES);
        let used = node.with(Used::new(now, (before.mark() + 1).min(marks), uses, era).again());
        let just = now.wrapping_sub(before.stamp()) <= JUST_USED;
        node.set_used_if(!just || !used.only_later_than(before), used, &mut self.nowhere);
    }

    /// Counts a use of the entry.
    #[inline]
    pub(in crate::policy) fn count_use(&mut self, place: Place) {
        let era = self.era;
        let node = &mut self.nodes[place.0 as usize];
        let before = node.used();
        let uses = (before.uses_in(era) + 1).min(MOST_USES);
        node.set_used(Used::new(before.stamp(), before.mark(), uses, era).again());
    }
}
