//! Two lists that trade room by what their ghosts are asked for.

use super::core::{Ghost, Rules};
use super::table::{ListId, Place, Table};

const RECENT: ListId = 0;
const FREQUENT: ListId = 1;
const RECENT_GHOST: ListId = 2;
const FREQUENT_GHOST: ListId = 3;

/// The capacity is so many times larger than what the recent list should hold when entries are
/// taken over from another policy, at the most.
const FIRST_PART: u64 = 16;

/// Entries seen once and entries seen again are two LRU lists. Each leaves its keys behind when it
/// gives entries up; a key that is asked for soon after says which of the two should be larger.
///
/// Source: Megiddo and Modha, *ARC: A Self-Tuning, Low Overhead Replacement Cache* (FAST 2003),
/// with weights in the place of counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arc {
    /// How much the recent list should hold.
    target: u64,
}

impl Arc {
    /// Gives up one entry, of the recent list where that holds more than it should.
    fn replace<T>(self, table: &mut Table<T>, from_frequent_ghost: bool) {
        let recent = table.list_weight(RECENT);
        let over = recent > self.target || (from_frequent_ghost && recent == self.target);
        let recent = table.back(RECENT).map(|place| (place, RECENT_GHOST));
        let frequent = table.back(FREQUENT).map(|place| (place, FREQUENT_GHOST));
        let chosen = if over { recent.or(frequent) } else { frequent.or(recent) };
        if let Some((place, ghost)) = chosen {
            table.evict_to(ghost, place);
        }
    }

    fn shrink<T>(self, table: &mut Table<T>, most: u64, from_frequent_ghost: bool) {
        while table.resident_weight() > most {
            self.replace(table, from_frequent_ghost);
        }
        let capacity = table.capacity();
        while table.list_weight(RECENT) + table.list_weight(RECENT_GHOST) > capacity
            && table.pop_back(RECENT_GHOST).is_some()
        {}
        let all = |table: &Table<T>| (0..4).map(|list| table.list_weight(list)).sum::<u64>();
        while all(table) > capacity.saturating_mul(2) && table.pop_back(FREQUENT_GHOST).is_some() {}
    }

    fn adapt<T>(&mut self, table: &Table<T>, list: ListId, weight: u64) {
        let (recent, frequent) =
            (table.list_weight(RECENT_GHOST), table.list_weight(FREQUENT_GHOST));
        let step = |other: u64, own: u64| {
            let scaled = u128::from(weight) * u128::from(other) / u128::from(own.max(1));
            weight.max(u64::try_from(scaled).unwrap_or(u64::MAX))
        };
        if list == RECENT_GHOST {
            let target = self.target.saturating_add(step(frequent, recent));
            self.target = target.min(table.capacity());
        } else {
            self.target = self.target.saturating_sub(step(recent, frequent));
        }
    }
}

impl<T> Rules<T> for Arc {
    #[inline]
    fn hit(&mut self, table: &mut Table<T>, place: Place) {
        table.refresh(FREQUENT, place);
    }

    fn admit(
        &mut self,
        table: &mut Table<T>,
        _: u64,
        weight: u32,
        ghost: Option<Ghost>,
    ) -> Option<ListId> {
        if let Some(ghost) = ghost {
            self.adapt(table, ghost.list, u64::from(weight));
        }
        let room = table.capacity() - u64::from(weight);
        let from_frequent_ghost = ghost.is_some_and(|ghost| ghost.list == FREQUENT_GHOST);
        self.shrink(table, room, from_frequent_ghost);
        Some(if ghost.is_some() { FREQUENT } else { RECENT })
    }

    fn settle(&mut self, table: &mut Table<T>) {
        self.target = self.target.min(table.capacity());
        self.shrink(table, table.capacity(), false);
    }

    /// A second use may have been before the entry was given up and came back, and long ago: it
    /// takes a third to be sure of two while it is here. The recent list has to earn its room from
    /// its ghosts, as it does from empty.
    fn adopt(&mut self, table: &mut Table<T>, entries: &[Place]) {
        for entry in entries {
            table.enlist(if table.frequency(*entry) > 2 { FREQUENT } else { RECENT }, *entry);
        }
        self.target = table.list_weight(RECENT).min(table.capacity() / FIRST_PART);
    }

    fn ghosts(&self, uses: u8) -> Option<ListId> {
        Some(if uses > 1 { FREQUENT_GHOST } else { RECENT_GHOST })
    }

    fn lists(&self) -> &'static [ListId] {
        &[FREQUENT, RECENT]
    }
}
