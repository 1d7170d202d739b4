//! Entries whose uses lie close together stay; the others pass through a small queue.

use super::core::{Ghost, Rules, newest};
use super::table::{ListId, Place, Table};

/// Those whose last two uses lie close together (LIR), by last use.
const CLOSE: ListId = 0;
/// The other resident entries (HIR), first in, first out.
const QUEUE: ListId = 1;
/// Keys given up from the queue.
const GHOST: ListId = 2;

/// The share of the capacity in which newcomers wait.
const QUEUE_SHARE: f64 = 0.01;

/// How many keys are remembered for each entry.
const GHOSTS: usize = 3;

/// Ranks entries by the distance between their last two uses rather than by the last alone.
///
/// The paper's stack holds, beside all LIR entries, those used since the oldest of them was. Here
/// each entry has the time of its last use, so that a comparison with the oldest LIR entry's says
/// the same without a second list.
///
/// Source: Jiang and Zhang, *LIRS: An Efficient Low Inter-reference Recency Set Replacement
/// Policy* (SIGMETRICS 2002), with weights, and with the ghosts bounded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lirs;

impl Lirs {
    fn most_close<T>(table: &Table<T>) -> u64 {
        let queue = ((table.capacity() as f64 * QUEUE_SHARE) as u64).max(1);
        table.capacity() - queue.min(table.capacity())
    }

    /// True where something used at `stamp` was used since the oldest of the close entries.
    fn is_in_stack<T>(table: &Table<T>, stamp: u32) -> bool {
        table.back(CLOSE).is_none_or(|oldest| {
            let later = stamp.wrapping_sub(table.stamp(oldest)).cast_signed();
            later > 0
        })
    }

    /// Makes the oldest close entries wait in the queue until the others fit.
    fn demote<T>(table: &mut Table<T>) {
        while table.list_weight(CLOSE) > Self::most_close(table) {
            let Some(oldest) = table.back(CLOSE) else { break };
            table.move_to_front(QUEUE, oldest);
        }
    }

    fn shrink<T>(table: &mut Table<T>, most: u64) {
        while table.resident_weight() > most {
            if let Some(oldest) = table.back(QUEUE) {
                if Self::is_in_stack(table, table.stamp(oldest)) {
                    table.evict_to(GHOST, oldest);
                } else {
                    table.evict(oldest);
                }
            } else if let Some(oldest) = table.back(CLOSE) {
                table.evict(oldest);
            }
        }
        while let Some(oldest) = table.back(GHOST) {
            let many = table.list_len(GHOST) > GHOSTS * table.resident_len().max(1);
            if !many && Self::is_in_stack(table, table.stamp(oldest)) {
                break;
            }
            table.evict(oldest);
        }
    }
}

impl<T> Rules<T> for Lirs {
    #[inline]
    fn hit(&mut self, table: &mut Table<T>, place: Place) {
        if table.list_of(place) == CLOSE {
            table.refresh(CLOSE, place);
            return;
        }
        let list = if Self::is_in_stack(table, table.stamp(place)) { CLOSE } else { QUEUE };
        table.move_to_front(list, place);
        table.restamp(place);
        Self::demote(table);
    }

    fn admit(
        &mut self,
        table: &mut Table<T>,
        _: u64,
        weight: u32,
        ghost: Option<Ghost>,
    ) -> Option<ListId> {
        let known = ghost.is_some_and(|ghost| Self::is_in_stack(table, ghost.stamp));
        let filling = table.list_weight(CLOSE) + u64::from(weight) <= Self::most_close(table);
        Self::shrink(table, table.capacity() - u64::from(weight));
        Some(if known || filling { CLOSE } else { QUEUE })
    }

    fn settle(&mut self, table: &mut Table<T>) {
        Self::demote(table);
        Self::shrink(table, table.capacity());
    }

    /// Those used more than once of late are taken for close, the last used first; where there are
    /// not enough of them the newest of the others join them, as they do while a cache fills.
    fn adopt(&mut self, table: &mut Table<T>, entries: &[Place]) {
        let most = Self::most_close(table);
        let again = |entry| table.frequency(entry) > 1;
        let close = newest(table, entries, most, |_, entry| again(entry));
        let weigh = entries.iter().zip(&close).filter(|(_, close)| **close);
        let weight: u64 = weigh.map(|(entry, _)| u64::from(table.entry_weight(*entry))).sum();
        let newest = newest(table, entries, most - weight, |_, entry| !again(entry));
        for (at, entry) in entries.iter().enumerate() {
            table.enlist(if close[at] || newest[at] { CLOSE } else { QUEUE }, *entry);
        }
    }

    fn ghosts(&self, _: u8) -> Option<ListId> {
        Some(GHOST)
    }

    fn lists(&self) -> &'static [ListId] {
        &[CLOSE, QUEUE]
    }
}
