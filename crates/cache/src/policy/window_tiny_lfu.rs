//! `TinyLFU` behind a window in which newcomers prove themselves.

use super::sketch::Sketch;
use super::table::{Place, Table};
use super::{Policy, PolicyState};

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

/// The share of the main part that entries asked for twice may take.
const PROTECTED_SHARE: f64 = 0.8;

/// A small LRU window before a main part of two segments. What leaves the window gets into the
/// main part when it has been asked for more often than the one that it would push out.
///
/// With a window of the whole capacity it is LRU; the window is its one knob.
///
/// Source: Einziger, Friedman, Manes, *`TinyLFU`* (ACM TOS 2017), section 4; Einziger et al.,
/// *Adaptive Software Cache Management* (Middleware 2018).
#[derive(Clone, Debug)]
pub(super) struct WindowTinyLfu {
    table: Table,
    sketch: Sketch,
    capacity: u64,
    window_share: f64,
}

impl WindowTinyLfu {
    pub(super) fn new(capacity: u64, window_share: f64) -> Self {
        Self { table: Table::default(), sketch: Sketch::new(0), capacity, window_share }
    }

    fn window(&self) -> u64 {
        ((self.capacity as f64 * self.window_share) as u64).max(1).min(self.capacity)
    }

    fn weight(&self) -> u64 {
        self.main() + self.table.weight(WINDOW)
    }

    fn main(&self) -> u64 {
        self.table.weight(PROBATION) + self.table.weight(PROTECTED)
    }

    fn entries(&self) -> usize {
        [WINDOW, PROBATION, PROTECTED].iter().map(|list| self.table.len(*list)).sum()
    }

    fn hit(&mut self, place: Place) {
        if self.table.list_of(place) == WINDOW {
            self.table.move_to_front(WINDOW, place);
            return;
        }
        self.table.move_to_front(PROTECTED, place);
        let most = ((self.capacity - self.window()) as f64 * PROTECTED_SHARE) as u64;
        while self.table.weight(PROTECTED) > most {
            let Some(oldest) = self.table.back(PROTECTED) else { break };
            self.table.move_to_front(PROBATION, oldest);
        }
    }

    /// Moves what no longer fits the window on to the main part, as far as that lets it in.
    fn settle(&mut self) {
        let main = self.capacity - self.window();
        while self.table.weight(WINDOW) > self.window() {
            let Some(candidate) = self.table.back(WINDOW) else { break };
            let weight = u64::from(self.table.entry_weight(candidate));
            if self.main() + weight > main && !self.contest(candidate, weight, main) {
                self.table.remove(candidate);
            } else {
                self.table.move_to_front(PROBATION, candidate);
            }
        }
        while self.main() > main && self.give_up_main().is_some() {}
    }

    /// Whether the candidate beats the entries in its way, which are then given up.
    fn contest(&mut self, candidate: Place, weight: u64, main: u64) -> bool {
        if weight > main {
            return false;
        }
        let frequency = self.sketch.estimate(self.table.key(candidate));
        while self.main() + weight > main {
            let Some(victim) = self.victim() else { return false };
            if self.sketch.estimate(self.table.key(victim)) >= frequency {
                return false;
            }
            self.table.remove(victim);
        }
        true
    }

    fn victim(&self) -> Option<Place> {
        self.table.back(PROBATION).or_else(|| self.table.back(PROTECTED))
    }

    fn give_up_main(&mut self) -> Option<()> {
        let victim = self.victim()?;
        self.table.remove(victim);
        Some(())
    }
}

impl Policy for WindowTinyLfu {
    fn access(&mut self, key: u64, weight: u32) -> bool {
        if (self.entries() as u64) > self.sketch.entries() {
            self.sketch = Sketch::new(self.sketch.entries().saturating_mul(2));
        }
        self.sketch.count(key);
        if let Some(place) = self.table.find(key) {
            self.hit(place);
            return true;
        }
        if u64::from(weight) <= self.capacity {
            self.table.push_front(WINDOW, key, weight);
            // While there is room anywhere the window may hold it: nothing is lost by waiting.
            if self.weight() > self.capacity {
                self.settle();
            }
        }
        false
    }

    fn remove(&mut self, key: u64) -> bool {
        self.table.find(key).map(|place| self.table.remove(place)).is_some()
    }

    fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.settle();
    }

    fn state(&self) -> PolicyState {
        PolicyState { entries: self.entries(), weight: self.weight(), capacity: self.capacity }
    }

    fn resident(&self) -> Vec<(u64, u32)> {
        let lists = [PROTECTED, WINDOW, PROBATION];
        lists.iter().flat_map(|list| self.table.keys(*list)).collect()
    }

    fn contains(&self, key: u64) -> bool {
        self.table.find(key).is_some()
    }
}
