//! The least recently used goes first.

use super::table::Table;
use super::{Policy, PolicyState};

const ENTRIES: usize = 0;

/// Least recently used. Mattson et al., *Evaluation techniques for storage hierarchies* (IBM
/// Systems Journal 1970).
#[derive(Clone, Debug)]
pub(super) struct Lru {
    table: Table,
    capacity: u64,
}

impl Lru {
    pub(super) fn new(capacity: u64) -> Self {
        Self { table: Table::default(), capacity }
    }

    fn shrink(&mut self) {
        while self.table.weight(ENTRIES) > self.capacity {
            self.table.pop_back(ENTRIES);
        }
    }
}

impl Policy for Lru {
    fn access(&mut self, key: u64, weight: u32) -> bool {
        if let Some(place) = self.table.find(key) {
            self.table.move_to_front(ENTRIES, place);
            return true;
        }
        if u64::from(weight) <= self.capacity {
            self.table.push_front(ENTRIES, key, weight);
            self.shrink();
        }
        false
    }

    fn remove(&mut self, key: u64) -> bool {
        self.table.find(key).map(|place| self.table.remove(place)).is_some()
    }

    fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.shrink();
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
