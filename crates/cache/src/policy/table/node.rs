//! What a look-up touches of an entry, in as few bytes as its payload allows.
//!
//! How fast a cache is that outgrows the processor's is a matter of how many lines and pages of
//! memory look-ups touch. So what only comings and goings need stands apart, in a [`Link`], and
//! whether there is a payload is told by one bit among others, where an `Option` would take as
//! much room for it as the payload's alignment demands: with two words of payload a node is 24
//! bytes, where it would be 56 in one piece.

#![expect(unsafe_code, reason = "the payload is there or not by a flag apart from it")]

use std::fmt;
use std::mem::MaybeUninit;

/// Where an entry or ghost stands, and of what key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) key: u64,
    pub(super) weight: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) list: u8,
}

/// How an entry was used, and its payload while it is resident.
#[repr(C)]
pub(super) struct Node<T> {
    used: Used,
    payload: MaybeUninit<T>,
}

/// How an entry was used, in one word, that is read and written as one: four bytes of stamp, one
/// each of mark, uses and era, and one that tells whether there is a payload and whether it was
/// used since it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used(u64);

const MARK: u32 = 32;
const USES: u32 = 40;
const ERA: u32 = 48;
const RESIDENT: u64 = 1 << 56;
const AGAIN: u64 = 1 << 57;

impl Used {
    #[inline]
    pub(super) const fn new(stamp: u32, mark: u8, uses: u8, era: u8) -> Self {
        Self(stamp as u64 | (mark as u64) << MARK | (uses as u64) << USES | (era as u64) << ERA)
    }

    /// The same, of what was used since it came.
    #[inline]
    pub(super) const fn again(self) -> Self {
        Self(self.0 | AGAIN)
    }

    #[inline]
    pub(super) const fn is_again(self) -> bool {
        self.0 & AGAIN != 0
    }

    /// The table's clock when the entry was last used (give or take the front part).
    #[inline]
    pub(super) const fn stamp(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(super) const fn at(self, stamp: u32) -> Self {
        Self(self.0 >> 32 << 32 | stamp as u64)
    }

    #[inline]
    pub(super) const fn marked(self, mark: u8) -> Self {
        Self(self.0 & !(0xff << MARK) | (mark as u64) << MARK)
    }

    /// The policy's own.
    #[inline]
    pub(super) const fn mark(self) -> u8 {
        (self.0 >> MARK) as u8
    }

    /// How often it was used of late, as of its [era](Self::era).
    #[inline]
    pub(super) const fn uses(self) -> u8 {
        (self.0 >> USES) as u8
    }

    #[inline]
    pub(super) const fn era(self) -> u8 {
        (self.0 >> ERA) as u8
    }

    /// How often it was used of late, in the era `era`.
    #[inline]
    pub(super) fn uses_in(self, era: u8) -> u8 {
        self.uses() >> era.wrapping_sub(self.era()).min(7)
    }

    /// True where the two differ in nothing but the stamp, or not even in that.
    #[inline]
    pub(super) const fn only_later_than(self, other: Self) -> bool {
        (self.0 ^ other.0) >> MARK == 0
    }
}

impl Link {
    /// In no list yet.
    pub(super) fn new(key: u64, weight: u32) -> Self {
        Self { key, weight, prev: super::NONE, next: super::NONE, list: super::FREE }
    }
}

impl<T> Node<T> {
    /// A resident entry.
    pub(super) fn new(stamp: u32, uses: u8, era: u8, payload: T) -> Self {
        let Used(used) = Used::new(stamp, 0, uses, era);
        Self { used: Used(used | RESIDENT), payload: MaybeUninit::new(payload) }
    }

    #[inline]
    pub(super) fn is_resident(&self) -> bool {
        self.used.0 & RESIDENT != 0
    }

    #[inline]
    pub(super) fn used(&self) -> Used {
        self.used
    }

    /// Notes how it was used; whether it is resident stays as it is.
    #[inline]
    pub(super) fn set_used(&mut self, used: Used) {
        self.used = self.with(used);
    }

    /// As [`set_used`](Self::set_used), or, where there is nothing `to_say`, writes as much to
    /// `elsewhere`: that costs less than a branch that the processor guesses wrong.
    #[inline]
    pub(super) fn set_used_if(&mut self, to_say: bool, used: Used, elsewhere: &mut Used) {
        let used = self.with(used);
        *std::hint::select_unpredictable(to_say, &mut self.used, elsewhere) = used;
    }

    #[inline]
    pub(super) fn with(&self, used: Used) -> Used {
        Used((used.0 & !RESIDENT) | (self.used.0 & RESIDENT))
    }

    /// None in a ghost.
    #[inline]
    pub(super) fn payload(&self) -> Option<&T> {
        // SAFETY: a resident node's payload is set: `new` and `put` set both, `take` clears the
        // flag as it reads the payload out.
        self.is_resident().then(|| unsafe { self.payload.assume_init_ref() })
    }

    /// Makes it a ghost.
    #[inline]
    pub(super) fn take(&mut self) -> Option<T> {
        if !self.is_resident() {
            return None;
        }
        self.used.0 &= !RESIDENT;
        // SAFETY: it was resident, so its payload is set; it is no longer, so nobody reads it
        // again.
        Some(unsafe { self.payload.assume_init_read() })
    }

    /// Makes it resident with `payload`; gives back what was there before.
    #[inline]
    pub(super) fn put(&mut self, payload: T) -> Option<T> {
        let before = self.take();
        self.payload.write(payload);
        self.used.0 |= RESIDENT;
        before
    }
}

impl<T> Drop for Node<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T: Clone> Clone for Node<T> {
    fn clone(&self) -> Self {
        let payload = match self.payload() {
            Some(payload) => MaybeUninit::new(payload.clone()),
            None => MaybeUninit::uninit(),
        };
        Self { used: self.used, payload }
    }
}

impl<T: fmt::Debug> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("used", &self.used)
            .field("payload", &self.payload())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_payload_is_dropped_once_wherever_it_goes() {
        let payload = Arc::new(());
        let mut node = Node::new(0, 1, 0, Arc::clone(&payload));
        let copy = node.clone();
        assert_eq!(Arc::strong_count(&payload), 3);
        assert!(node.put(Arc::clone(&payload)).is_some() && node.is_resident());
        assert_eq!(Arc::strong_count(&payload), 3);
        assert!(node.take().is_some() && node.take().is_none() && node.payload().is_none());
        drop((node.clone(), node));
        assert_eq!(Arc::strong_count(&payload), 2);
        drop(copy);
        assert_eq!(Arc::strong_count(&payload), 1);
    }

    #[test]
    fn two_words_of_payload_take_one_more() {
        assert_eq!(size_of::<Node<(u64, u64)>>(), 24);
        assert_eq!((size_of::<Node<()>>(), size_of::<Link>()), (8, 24));
    }
}
