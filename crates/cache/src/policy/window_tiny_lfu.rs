//! `TinyLFU` behind a window in which newcomers prove themselves.

use super::core::{Ghost, Rules, newest};
use super::table::{ListId, Place, Table};

const WINDOW: ListId = 0;
const PROBATION: ListId = 1;
const PROTECTED: ListId = 2;
/// Keys that are remembered for a policy to come.
const GHOST: ListId = 3;

/// The window's share of the capacity as the paper has it.
const NARROW: f64 = 0.01;

/// The window's share where recency matters as much as frequency.
const WIDE: f64 = 0.5;

/// The share of the main part that entries asked for twice may take.
const PROTECTED_SHARE: f64 = 0.8;

/// An entry that was used no more often is taken to be on probation still.
const LEAVES_PROBATION: u8 = 2;

/// An LRU window before a main part of two segments. What leaves the window gets into the main
/// part when it has been asked for more often than the one that it would push out.
///
/// With a window of the whole capacity it is LRU; the window is its one knob.
///
/// Source: Einziger, Friedman, Manes, *`TinyLFU`* (ACM TOS 2017), section 4; Einziger et al.,
/// *Adaptive Software Cache Management* (Middleware 2018).
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowTinyLfu {
    share: f64,
}

impl WindowTinyLfu {
    pub(super) fn narrow() -> Self {
        Self { share: NARROW }
    }

    pub(super) fn wide() -> Self {
        Self { share: WIDE }
    }

    fn window<T>(self, table: &Table<T>) -> u64 {
        ((table.capacity() as f64 * self.share) as u64).max(1).min(table.capacity())
    }

    fn main<T>(table: &Table<T>) -> u64 {
        table.list_weight(PROBATION) + table.list_weight(PROTECTED)
    }

    /// Whether the candidate beats the entries in its way, which are then given up.
    fn contest<T>(table: &mut Table<T>, candidate: Place, most: u64) -> bool {
        let weight = u64::from(table.entry_weight(candidate));
        if weight > most {
            return false;
        }
        let frequency = table.frequency(candidate);
        while Self::main(table) + weight > most {
            let Some(victim) = Self::victim(table) else { return false };
            if table.frequency(victim) >= frequency {
                return false;
            }
            table.evict_for(GHOST, victim);
        }
        true
    }

    fn victim<T>(table: &Table<T>) -> Option<Place> {
        table.back(PROBATION).or_else(|| table.back(PROTECTED))
    }
}

impl<T> Rules<T> for WindowTinyLfu {
    fn hit(&mut self, table: &mut Table<T>, place: Place) {
        if table.list_of(place) == WINDOW {
            table.refresh(WINDOW, place);
            return;
        }
        table.refresh(PROTECTED, place);
        let most = ((table.capacity() - self.window(table)) as f64 * PROTECTED_SHARE) as u64;
        while table.list_weight(PROTECTED) > most {
            let Some(oldest) = table.back(PROTECTED) else { break };
            table.move_to_front(PROBATION, oldest);
        }
    }

    fn admit(&mut self, _: &mut Table<T>, _: u64, _: u32, _: Option<Ghost>) -> Option<ListId> {
        Some(WINDOW)
    }

    /// Moves what no longer fits the window on to the main part, as far as that lets it in. While
    /// there is room anywhere the window may hold it: nothing is lost by waiting.
    fn settle(&mut self, table: &mut Table<T>) {
        if table.resident_weight() <= table.capacity() {
            return;
        }
        let window = self.window(table);
        let main = table.capacity() - window;
        while table.list_weight(WINDOW) > window {
            let Some(candidate) = table.back(WINDOW) else { break };
            if Self::contest(table, candidate, main) {
                table.move_to_front(PROBATION, candidate);
            } else {
                table.evict_for(GHOST, candidate);
            }
        }
        while Self::main(table) > main {
            let Some(victim) = Self::victim(table) else { break };
            table.evict_for(GHOST, victim);
        }
    }

    /// The main part takes those used most often, of equals those used last; what it has no room
    /// for is in the window. Protected are only those used since they got in: two uses brought them
    /// there.
    fn adopt(&mut self, table: &mut Table<T>, entries: &[Place]) {
        let main = table.capacity() - self.window(table);
        let mut order: Vec<u32> = (0..entries.len() as u32).collect();
        let uses = |at: u32| table.frequency(entries[at as usize]);
        order.sort_unstable_by_key(|at| std::cmp::Reverse((uses(*at), *at)));
        let mut in_main = vec![false; entries.len()];
        let mut weight = 0_u64;
        for at in order {
            weight += u64::from(table.entry_weight(entries[at as usize]));
            if weight > main {
                break;
            }
            in_main[at as usize] = true;
        }
        let protected = (main as f64 * PROTECTED_SHARE) as u64;
        let again = |at: usize, entry| in_main[at] && table.frequency(entry) > LEAVES_PROBATION;
        let kept = newest(table, entries, protected, again);
        for (at, entry) in entries.iter().enumerate() {
            let list = match (in_main[at], kept[at]) {
                (false, _) => WINDOW,
                (_, true) => PROTECTED,
                _ => PROBATION,
            };
            table.enlist(list, *entry);
        }
    }

    fn ghosts(&self, _: u8) -> Option<ListId> {
        Some(GHOST)
    }

    fn lists(&self) -> &'static [ListId] {
        &[PROTECTED, WINDOW, PROBATION]
    }
}
