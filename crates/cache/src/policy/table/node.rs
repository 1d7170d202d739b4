//! What a look-up touches of an entry, in as few bytes as its payload allows.
//!
//! How fast a cache is that outgrows the processor's is a matter of how many lines and pages of
//! memory look-ups touch. So what only comings and goings need stands apart, in a [`Link`], and
//! whether there is a payload is told by one byte among others, where an `Option` would take as
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
    /// The table's clock when the entry was last used (give or take the front part).
    pub(super) stamp: u32,
    /// The policy's own.
    pub(super) mark: u8,
    /// How often it was used of late, as of `era`.
    pub(super) uses: u8,
    pub(super) era: u8,
    /// Whether `payload` is set; written here alone.
    resident: bool,
    payload: MaybeUninit<T>,
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
        let payload = MaybeUninit::new(payload);
        Self { stamp, mark: 0, uses, era, resident: true, payload }
    }

    #[inline]
    pub(super) fn is_resident(&self) -> bool {
        self.resident
    }

    /// None in a ghost.
    #[inline]
    pub(super) fn payload(&self) -> Option<&T> {
        // SAFETY: a resident node's payload is set: `new` and `put` set both, `take` clears the
        // flag as it reads the payload out.
        self.resident.then(|| unsafe { self.payload.assume_init_ref() })
    }

    /// Makes it a ghost.
    #[inline]
    pub(super) fn take(&mut self) -> Option<T> {
        if !std::mem::replace(&mut self.resident, false) {
            return None;
        }
        // SAFETY: it was resident, so its payload is set; it is no longer, so nobody reads it
        // again.
        Some(unsafe { self.payload.assume_init_read() })
    }

    /// Makes it resident with `payload`; gives back what was there before.
    #[inline]
    pub(super) fn put(&mut self, payload: T) -> Option<T> {
        let before = self.take();
        self.payload.write(payload);
        self.resident = true;
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
        let Self { stamp, mark, uses, era, resident, .. } = *self;
        Self { stamp, mark, uses, era, resident, payload }
    }
}

impl<T: fmt::Debug> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("uses", &self.uses)
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
