//! Least recently used, unless the newcomer has been asked for less often.

use super::sketch::Sketch;
use super::table::Table;
use super::{Policy, PolicyState};

const ENTRIES: usize = 0;

/// `TinyLFU` admission before one LRU list, as the moka crate does it: a newcomer gets in when it
/// was asked for more often than the entries that it would push out were together. The sketch
/// counts only once the cache is half full.
///
/// Source: Einziger, Friedman, Manes, *`TinyLFU`* (ACM TOS 2017); moka's documented behaviour.
#[derive(Clone, Debug)]
pub(super) struct TinyLfu {
    table: Table,
    sketch: Option<Sketch>,
    capacity: u64,
}

impl TinyLfu {
    pub(super) fn new(capacity: u64) -> Self {
        Self { table: Table::default(), sketch: None, capacity }
    }

    fn count(&mut self, key: u64) {
        let (len, weight) = (self.table.len(ENTRIES) as u64, self.table.weight(ENTRIES));
        if let Some(sketch) = &mut self.sketch {
            sketch.count(key);
        } else if weight * 2 >= self.capacity && len > 0 {
            // A full cache holds about as many entries as its mean weight allows.
            let entries = self.capacity as f64 / (weight as f64 / len as f64);
            let mut sketch = Sketch::new(entries as u64);
            sketch.count(key);
            self.sketch = Some(sketch);
        }
    }

    /// Makes room for the newcomer, or says that those in its way are worth more than it.
    fn admit(&mut self, key: u64, weight: u32) -> bool {
        let needed = (self.table.weight(ENTRIES) + u64::from(weight)).saturating_sub(self.capacity);
        let Some(sketch) = &self.sketch else {
            return needed == 0;
        };
        let frequency = u32::from(sketch.estimate(key));
        let (mut freed, mut theirs) = (0, 0_u32);
        let mut victim = self.table.back(ENTRIES);
        while freed < needed {
            let Some(place) = victim else { return false };
            theirs += u32::from(sketch.estimate(self.table.key(place)));
            if theirs >= frequency {
                return false;
            }
            freed += u64::from(self.table.entry_weight(place));
            victim = self.table.toward_front(place);
        }
        self.shrink(self.capacity - u64::from(weight));
        true
    }

    fn shrink(&mut self, most: u64) {
        while self.table.weight(ENTRIES) > most {
            self.table.pop_back(ENTRIES);
        }
    }
}

impl Policy for TinyLfu {
    fn access(&mut self, key: u64, weight: u32) -> bool {
        self.count(key);
        if let Some(place) = self.table.find(key) {
            self.table.move_to_front(ENTRIES, place);
            return true;
        }
        if u64::from(weight) <= self.capacity && self.admit(key, weight) {
            self.table.push_front(ENTRIES, key, weight);
        }
        false
    }

    fn remove(&mut self, key: u64) -> bool {
        self.table.find(key).map(|place| self.table.remove(place)).is_some()
    }

    fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.shrink(capacity);
        self.sketch = None;
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
