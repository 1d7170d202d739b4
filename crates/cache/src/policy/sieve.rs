//! One queue and a moving hand.

use super::table::{Place, Table};
use super::{Policy, PolicyState};

const ENTRIES: usize = 0;

/// Entries stay where they entered. A hand moves from the oldest to the newest, clears the marks
/// of those used since, gives up the first that has none, and waits there.
///
/// Source: Zhang et al., *SIEVE is simpler than LRU* (NSDI 2024).
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    table: Table,
    hand: Option<Place>,
    capacity: u64,
}

impl Sieve {
    pub(super) fn new(capacity: u64) -> Self {
        Self { table: Table::default(), hand: None, capacity }
    }

    fn shrink(&mut self, most: u64) {
        while self.table.weight(ENTRIES) > most {
            let Some(mut place) = self.hand.or_else(|| self.table.back(ENTRIES)) else { return };
            while self.table.mark(place) > 0 {
                self.table.set_mark(place, 0);
                let next = self.table.toward_front(place).or_else(|| self.table.back(ENTRIES));
                place = next.unwrap_or(place);
            }
            self.hand = self.table.toward_front(place);
            self.table.remove(place);
        }
    }
}

impl Policy for Sieve {
    fn access(&mut self, key: u64, weight: u32) -> bool {
        if let Some(place) = self.table.find(key) {
            self.table.set_mark(place, 1);
            return true;
        }
        if u64::from(weight) <= self.capacity {
            self.shrink(self.capacity - u64::from(weight));
            self.table.push_front(ENTRIES, key, weight);
        }
        false
    }

    fn remove(&mut self, key: u64) -> bool {
        let Some(place) = self.table.find(key) else { return false };
        if self.hand == Some(place) {
            self.hand = self.table.toward_front(place);
        }
        self.table.remove(place);
        true
    }

    fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.shrink(capacity);
    }

    fn state(&self) -> PolicyState {
        let (entries, weight) = (self.table.len(ENTRIES), self.table.weight(ENTRIES));
        PolicyState { entries, weight, capacity: self.capacity }
    }

    fn resident(&self) -> Vec<(u64, u32)> {
        self.table.keys(ENTRIES).collect()
    }

    fn contains(&self, key: u64) -> bool {
        self.table.find(key).is_some()
    }
}
