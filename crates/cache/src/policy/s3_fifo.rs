//! Three queues, two of them first in, first out.

use super::table::{Place, Table};
use super::{Policy, PolicyState};

const SMALL: usize = 0;
const MAIN: usize = 1;
const GHOST: usize = 2;

/// Uses beyond this are not counted.
const MOST_USES: u8 = 3;

/// Newcomers enter a small queue (a tenth); those used again move on to the main queue, the
/// others leave only their key in a ghost queue, from which they come back straight to the main
/// one. The main queue gives those used since another round.
///
/// Source: Yang et al., *FIFO queues are all you need for cache eviction* (SOSP 2023).
#[derive(Clone, Debug)]
pub(super) struct S3Fifo {
    table: Table,
    capacity: u64,
}

impl S3Fifo {
    pub(super) fn new(capacity: u64) -> Self {
        Self { table: Table::default(), capacity }
    }

    fn small(&self) -> u64 {
        (self.capacity / 10).max(1)
    }

    fn weight(&self) -> u64 {
        self.table.weight(SMALL) + self.table.weight(MAIN)
    }

    fn shrink(&mut self, most: u64) {
        while self.weight() > most {
            let small = self.table.weight(SMALL) > self.small() || self.table.len(MAIN) == 0;
            if small {
                self.leave_small();
            } else {
                self.leave_main();
            }
        }
        while self.table.weight(GHOST) > self.capacity - self.small().min(self.capacity) {
            self.table.pop_back(GHOST);
        }
    }

    fn leave_small(&mut self) {
        let Some(oldest) = self.table.back(SMALL) else { return };
        let list = if self.table.mark(oldest) > 1 { MAIN } else { GHOST };
        self.table.set_mark(oldest, 0);
        self.table.move_to_front(list, oldest);
    }

    fn leave_main(&mut self) {
        while let Some(oldest) = self.table.back(MAIN) {
            let uses = self.table.mark(oldest);
            if uses == 0 {
                self.table.remove(oldest);
                return;
            }
            self.table.set_mark(oldest, uses - 1);
            self.table.move_to_front(MAIN, oldest);
        }
    }

    fn held(&self, key: u64) -> Option<Place> {
        self.table.find(key).filter(|place| self.table.list_of(*place) != GHOST)
    }
}

impl Policy for S3Fifo {
    fn access(&mut self, key: u64, weight: u32) -> bool {
        if let Some(place) = self.held(key) {
            let uses = self.table.mark(place);
            self.table.set_mark(place, (uses + 1).min(MOST_USES));
            return true;
        }
        if u64::from(weight) > self.capacity {
            return false;
        }
        let known = self.table.find(key).map(|place| self.table.remove(place)).is_some();
        self.shrink(self.capacity - u64::from(weight));
        self.table.push_front(if known { MAIN } else { SMALL }, key, weight);
        false
    }

    fn remove(&mut self, key: u64) -> bool {
        self.held(key).map(|place| self.table.remove(place)).is_some()
    }

    fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.shrink(capacity);
    }

    fn state(&self) -> PolicyState {
        let entries = self.table.len(SMALL) + self.table.len(MAIN);
        PolicyState { entries, weight: self.weight(), capacity: self.capacity }
    }

    fn resident(&self) -> Vec<(u64, u32)> {
        self.table.keys(MAIN).chain(self.table.keys(SMALL)).collect()
    }

    fn contains(&self, key: u64) -> bool {
        self.held(key).is_some()
    }
}
