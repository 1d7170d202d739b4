//! Least recently used, unless the newcomer has been asked for less often.

use super::core::{Ghost, Rules};
use super::sketch::Sketch;
use super::table::{ListId, Place, Table};

const ENTRIES: ListId = 0;

/// How many times the counts are halved that are taken over from another policy.
const FADED: u32 = 3;

/// `TinyLFU` admission before one LRU list, as the moka crate does it: a newcomer gets in when it
/// was asked for more often than the entries that it would push out were together. The sketch
/// counts only once the cache is half full.
///
/// Source: Einziger, Friedman, Manes, *`TinyLFU`* (ACM TOS 2017); moka's documented behaviour.
#[derive(Clone, Debug, Default)]
pub(super) struct TinyLfu {
    sketch: Option<Sketch>,
}

impl TinyLfu {
    fn count<T>(&mut self, table: &Table<T>, key: u64) {
        let (len, weight) = (table.resident_len() as u64, table.resident_weight());
        if let Some(sketch) = &mut self.sketch {
            sketch.count(key);
        } else if weight.saturating_mul(2) >= table.capacity() && len > 0 {
            // A full cache holds about as many entries as its mean weight allows.
            let entries = table.capacity() as f64 / (weight as f64 / len as f64);
            let mut sketch = Sketch::new(entries as u64);
            sketch.count(key);
            self.sketch = Some(sketch);
        }
    }

    /// Whether the newcomer was asked for more often than those in its way together.
    fn wins<T>(&self, table: &Table<T>, key: u64, weight: u32) -> bool {
        let needed = (table.resident_weight() + u64::from(weight)).saturating_sub(table.capacity());
        let Some(sketch) = &self.sketch else {
            return needed == 0;
        };
        let frequency = u32::from(sketch.estimate(key));
        let (mut freed, mut theirs) = (0, 0_u32);
        let mut victim = table.back(ENTRIES);
        while freed < needed {
            let Some(place) = victim else { return false };
            theirs += u32::from(sketch.estimate(table.key(place)));
            if theirs >= frequency {
                return false;
            }
            freed += u64::from(table.entry_weight(place));
            victim = table.toward_front(place);
        }
        true
    }
}

impl<T> Rules<T> for TinyLfu {
    fn hit(&mut self, table: &mut Table<T>, place: Place) {
        self.count(table, table.key(place));
        table.refresh(ENTRIES, place);
    }

    fn admit(
        &mut self,
        table: &mut Table<T>,
        key: u64,
        weight: u32,
        _: Option<Ghost>,
    ) -> Option<ListId> {
        self.count(table, key);
        self.wins(table, key, weight).then_some(ENTRIES)
    }

    fn settle(&mut self, table: &mut Table<T>) {
        while table.resident_weight() > table.capacity() && table.pop_back(ENTRIES).is_some() {}
    }

    /// What was counted so far has nearly faded: entries whose counts are high for having been hit
    /// in bursts would keep out all newcomers, and here nothing else makes room for those.
    fn adopt(&mut self, table: &mut Table<T>, entries: &[Place]) {
        let mut sketch = table.history().clone();
        for entry in entries {
            sketch.raise(table.key(*entry), table.frequency(*entry));
            table.enlist(ENTRIES, *entry);
        }
        (0..FADED).for_each(|_| sketch.halve());
        self.sketch = Some(sketch);
    }

    fn lists(&self) -> &'static [ListId] {
        &[ENTRIES]
    }
}
