//! One queue and a moving hand.

use super::core::{Ghost, Rules};
use super::table::{ListId, Place, Table};

const ENTRIES: ListId = 0;

/// Entries stay where they entered. A hand moves from the oldest to the newest, clears the marks
/// of those used since, gives up the first that has none, and waits there.
///
/// Source: Zhang et al., *SIEVE is simpler than LRU* (NSDI 2024).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sieve {
    /// The key at which the hand waits.
    hand: Option<u64>,
}

impl Sieve {
    fn shrink<T>(&mut self, table: &mut Table<T>, most: u64) {
        while table.resident_weight() > most {
            // An entry that was removed from under the hand sends it back to the oldest.
            let waiting = self.hand.and_then(|key| table.find(key));
            let Some(mut place) = waiting.or_else(|| table.back(ENTRIES)) else { return };
            while table.mark(place) > 0 {
                table.set_mark(place, 0);
                let next = table.toward_front(place).or_else(|| table.back(ENTRIES));
                place = next.unwrap_or(place);
            }
            self.hand = table.toward_front(place).map(|next| table.key(next));
            table.evict(place);
        }
    }
}

impl<T> Rules<T> for Sieve {
    fn marks(&self) -> u8 {
        1
    }

    fn admit(
        &mut self,
        table: &mut Table<T>,
        _: u64,
        weight: u32,
        _: Option<Ghost>,
    ) -> Option<ListId> {
        self.shrink(table, table.capacity() - u64::from(weight));
        Some(ENTRIES)
    }

    fn settle(&mut self, table: &mut Table<T>) {
        self.shrink(table, table.capacity());
    }

    /// Marked are those used since they are here. Two uses may be the one that brought the entry in
    /// and one before it was given up.
    fn adopt(&mut self, table: &mut Table<T>, entries: &[Place]) {
        for entry in entries {
            table.enlist(ENTRIES, *entry);
            table.set_mark(*entry, u8::from(table.frequency(*entry) > 2));
        }
    }

    fn lists(&self) -> &'static [ListId] {
        &[ENTRIES]
    }
}
