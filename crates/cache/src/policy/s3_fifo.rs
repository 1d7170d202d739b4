//! Three queues, two of them first in, first out.

use super::core::{Ghost, Rules};
use super::table::{ListId, Place, Table};

const SMALL: ListId = 0;
const MAIN: ListId = 1;
const GHOST: ListId = 2;

/// Uses beyond this are not counted.
const MOST_USES: u8 = 3;

/// Newcomers enter a small queue (a tenth); those used again move on to the main queue, the
/// others leave only their key in a ghost queue, from which they come back straight to the main
/// one. The main queue gives those used since another round.
///
/// Source: Yang et al., *FIFO queues are all you need for cache eviction* (SOSP 2023).
#[derive(Clone, Copy, Debug)]
pub(super) struct S3Fifo;

impl S3Fifo {
    #[inline]
    fn shrink<T>(table: &mut Table<T>, most: u64) {
        let small = (table.capacity() / 10).max(1);
        while table.resident_weight() > most {
            if table.list_weight(SMALL) > small || table.list_len(MAIN) == 0 {
                Self::leave_small(table);
            } else {
                Self::leave_main(table);
            }
        }
        let ghosts = table.capacity() - small.min(table.capacity());
        while table.list_weight(GHOST) > ghosts && table.pop_back(GHOST).is_some() {}
    }

    fn leave_small<T>(table: &mut Table<T>) {
        let Some(oldest) = table.back(SMALL) else { return };
        let used = table.mark(oldest) > 1;
        table.set_mark(oldest, 0);
        if used {
            table.move_to_front(MAIN, oldest);
        } else {
            table.evict_to(GHOST, oldest);
        }
    }

    fn leave_main<T>(table: &mut Table<T>) {
        while let Some(oldest) = table.back(MAIN) {
            let uses = table.mark(oldest);
            if uses == 0 {
                table.evict(oldest);
                return;
            }
            table.set_mark(oldest, uses - 1);
            table.move_to_front(MAIN, oldest);
        }
    }
}

impl<T> Rules<T> for S3Fifo {
    fn marks(&self) -> u8 {
        MOST_USES
    }

    fn admit(
        &mut self,
        table: &mut Table<T>,
        _: u64,
        weight: u32,
        ghost: Option<Ghost>,
    ) -> Option<ListId> {
        Self::shrink(table, table.capacity() - u64::from(weight));
        Some(if ghost.is_some() { MAIN } else { SMALL })
    }

    fn settle(&mut self, table: &mut Table<T>) {
        Self::shrink(table, table.capacity());
    }

    fn leaving(&self, table: &Table<T>) -> &'static [ListId] {
        if table.list_weight(SMALL) > table.capacity() / 10 {
            &[SMALL, GHOST]
        } else {
            &[MAIN, GHOST]
        }
    }

    /// Those used so often that they would leave the small queue for the main one are in that, which
    /// nothing leaves while the small one is too long; the others wait in the small one, as they do
    /// while a cache fills.
    fn adopt(&mut self, table: &mut Table<T>, entries: &[Place]) {
        for entry in entries {
            let mark = (table.frequency(*entry).max(1) - 1).min(MOST_USES);
            table.enlist(if mark > 1 { MAIN } else { SMALL }, *entry);
            table.set_mark(*entry, mark);
        }
    }

    fn ghosts(&self, _: u8) -> Option<ListId> {
        Some(GHOST)
    }

    fn lists(&self) -> &'static [ListId] {
        &[MAIN, SMALL]
    }
}
