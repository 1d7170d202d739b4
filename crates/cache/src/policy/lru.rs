//! The least recently used goes first.

use super::core::{Ghost, Rules};
use super::table::{ListId, Place, Table};

const ENTRIES: ListId = 0;
/// Keys that are remembered for a policy to come.
const GHOST: ListId = 2;

/// Least recently used. An entry in the newest sixteenth of the list is left where it is when it
/// is used.
///
/// Source: Mattson et al., *Evaluation techniques for storage hierarchies* (IBM Systems Journal
/// 1970).
#[derive(Clone, Copy, Debug)]
pub(super) struct Lru;

impl<T> Rules<T> for Lru {
    #[inline]
    fn hit(&mut self, table: &mut Table<T>, place: Place) {
        table.refresh(ENTRIES, place);
    }

    fn admit(&mut self, _: &mut Table<T>, _: u64, _: u32, _: Option<Ghost>) -> Option<ListId> {
        Some(ENTRIES)
    }

    fn settle(&mut self, table: &mut Table<T>) {
        while table.resident_weight() > table.capacity() {
            let Some(oldest) = table.back(ENTRIES) else { break };
            table.evict_for(GHOST, oldest);
        }
    }

    fn adopt(&mut self, table: &mut Table<T>, entries: &[Place]) {
        for entry in entries {
            table.enlist(ENTRIES, *entry);
        }
    }

    fn ghosts(&self, _: u8) -> Option<ListId> {
        Some(GHOST)
    }

    fn lists(&self) -> &'static [ListId] {
        &[ENTRIES]
    }
}
