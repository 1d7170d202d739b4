//! What will be needed is asked for before it is: at a miss many lines of memory are, and they come
//! all at once rather than one after the other.

use super::{Ends, ListId, Table, index};
use crate::hash::spread;
use crate::prefetch;

impl<T> Table<T> {
    /// Asks for what an offer of `key` will write to, apart from the entries that will go. Never part
    /// of its caller, so that a hit's path there stays short.
    #[inline(never)]
    pub(crate) fn expect(&self, key: u64) {
        prefetch::to_write((&raw const self.lists).addr());
        prefetch::to_write((&raw const self.evicted).addr());
        self.history.expect(key);
    }

    /// Asks for the last of each of `lists` and its place in the index, and for its neighbours.
    #[inline]
    pub(in crate::policy) fn expect_last(&self, lists: &[ListId]) {
        for list in lists {
            let Ends { front, back } = self.ends[*list];
            let Some(last) = self.links.get(back as usize) else { continue };
            index::prefetch(self.whereabouts(), spread(last.key));
            for place in [back, last.prev] {
                if let Some(node) = self.nodes.get(place as usize) {
                    prefetch::to_write(std::ptr::from_ref(node).addr());
                }
            }
            for place in [front, last.prev] {
                if let Some(link) = self.links.get(place as usize) {
                    prefetch::to_write(std::ptr::from_ref(link).addr());
                }
            }
        }
    }
}
