//! The store that every policy is written on: entries in a slab, each in one of four lists.

mod lists;

use hashbrown::HashTable;

use super::sketch::Sketch;
use crate::hash::spread;

const NONE: u32 = u32::MAX;
const LISTS: usize = 4;

/// The list of nodes that are in none.
const FREE: u8 = u8::MAX;

/// Uses beyond this are not counted.
const MOST_USES: u8 = 15;

/// All frequencies are halved after so many accesses for each entry.
const AGING: u64 = 10;

/// A list is so many times longer than the part of its front in which an entry is left where it
/// is when it is used: moving it would hardly change the order, and costs five writes.
const FRONT_PART: u32 = 16;

/// Names one of the table's lists.
pub(crate) type ListId = usize;

#[derive(Clone, Debug)]
struct Node<T> {
    key: u64,
    weight: u32,
    prev: u32,
    next: u32,
    /// The table's clock when the entry was last used (give or take the front part).
    stamp: u32,
    list: u8,
    /// The policy's own.
    mark: u8,
    /// How often it was used of late, as of `era`.
    uses: u8,
    era: u8,
    /// None in a ghost.
    payload: Option<T>,
}

#[derive(Clone, Copy, Debug)]
struct List {
    front: u32,
    back: u32,
    len: u32,
    weight: u64,
}

const EMPTY: List = List { front: NONE, back: NONE, len: 0, weight: 0 };

/// An entry on its way from one set of lists to another.
#[derive(Debug)]
pub(super) struct Loose<T> {
    pub(super) key: u64,
    pub(super) weight: u32,
    pub(super) uses: u8,
    pub(super) stamp: u32,
    /// None in a ghost.
    pub(super) payload: Option<T>,
}

/// Entries by key and in order. Those with a payload are resident, the others are ghosts: keys
/// that are remembered.
///
/// How often a resident entry is used is counted in its node, how often another key is asked for in
/// a sketch; each passes to the other when an entry comes and goes. So a hit touches no sketch, and
/// whatever policy comes into force finds every frequency known.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    lists: [List; LISTS],
    clock: u32,
    capacity: u64,
    len: usize,
    weight: u64,
    /// How often keys without an entry are asked for.
    history: Sketch,
    /// How many times frequencies were halved.
    era: u8,
    /// Accesses since then.
    aged: u64,
    /// Whether keys are remembered for policies that have no use for them, but whose successor may.
    remembers: bool,
    /// Payloads that were given up, for whoever must drop them outside of a lock.
    pub(crate) evicted: Vec<T>,
}

/// A place in a table; valid until the entry is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl<T> Table<T> {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            lists: [EMPTY; LISTS],
            clock: 0,
            capacity,
            len: 0,
            weight: 0,
            history: Sketch::new(0),
            era: 0,
            aged: 0,
            remembers: false,
            evicted: Vec::new(),
        }
    }

    /// Remembers keys for policies to come, as long as their own list allows.
    pub(super) fn remember(&mut self) {
        self.remembers = true;
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
    }

    /// How many entries are resident.
    pub(crate) fn resident_len(&self) -> usize {
        self.len
    }

    /// What they weigh.
    pub(crate) fn resident_weight(&self) -> u64 {
        self.weight
    }

    /// One more access has begun.
    #[inline]
    pub(super) fn tick(&mut self) {
        self.clock = self.clock.wrapping_add(1);
        self.aged += 1;
        if self.aged >= AGING * self.history.entries() {
            self.age();
        }
    }

    #[cold]
    fn age(&mut self) {
        self.aged = 0;
        self.era = self.era.wrapping_add(1);
        self.history.halve();
    }

    /// Notes that a key without an entry was asked for.
    pub(super) fn missed(&mut self, key: u64) {
        if self.len as u64 > self.history.entries() {
            self.history.grow();
        }
        self.history.add(key);
    }

    /// How often the entry was used of late, 0 to 15.
    #[inline]
    pub(super) fn frequency(&self, place: Place) -> u8 {
        let node = self.node(place);
        node.uses >> self.era.wrapping_sub(node.era).min(7)
    }

    #[inline]
    pub(crate) fn find(&self, key: u64) -> Option<Place> {
        let found = self.index.find(spread(key), |place| self.nodes[*place as usize].key == key);
        found.map(|place| Place(*place))
    }

    #[inline]
    pub(crate) fn payload(&self, place: Place) -> Option<&T> {
        self.node(place).payload.as_ref()
    }

    pub(super) fn key(&self, place: Place) -> u64 {
        self.node(place).key
    }

    pub(crate) fn entry_weight(&self, place: Place) -> u32 {
        self.node(place).weight
    }

    pub(super) fn stamp(&self, place: Place) -> u32 {
        self.node(place).stamp
    }

    /// Sets the time of use back to what it was before; for entries that come back.
    pub(super) fn restamp(&mut self, place: Place) {
        self.nodes[place.0 as usize].stamp = self.clock;
    }

    pub(super) fn mark(&self, place: Place) -> u8 {
        self.node(place).mark
    }

    pub(super) fn set_mark(&mut self, place: Place, mark: u8) {
        let node = &mut self.nodes[place.0 as usize];
        // Hot entries stay as they are, and their cache lines clean.
        if node.mark != mark {
            node.mark = mark;
        }
    }

    /// Counts a use of the entry.
    #[inline]
    pub(super) fn count_use(&mut self, place: Place) {
        let (uses, era) = ((self.frequency(place) + 1).min(MOST_USES), self.era);
        let node = &mut self.nodes[place.0 as usize];
        if (node.uses, node.era) != (uses, era) {
            (node.uses, node.era) = (uses, era);
        }
    }

    /// Adds a resident entry whose key is not in the table.
    pub(super) fn push_front(&mut self, list: ListId, key: u64, weight: u32, payload: T) -> Place {
        let uses = self.history.estimate(key).max(1);
        self.push(list, Loose { key, weight, uses, stamp: self.clock, payload: Some(payload) })
    }

    /// Adds an entry or ghost as it was.
    pub(super) fn push(&mut self, list: ListId, loose: Loose<T>) -> Place {
        let Loose { key, weight, uses, stamp, payload } = loose;
        if payload.is_some() {
            self.len += 1;
            self.weight += u64::from(weight);
        }
        let (list_id, era) = (list as u8, self.era);
        let (prev, next) = (NONE, NONE);
        let node =
            Node { key, weight, prev, next, stamp, list: list_id, mark: 0, uses, era, payload };
        let place = if let Some(place) = self.free.pop() {
            self.nodes[place as usize] = node;
            place
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        let nodes = &self.nodes;
        self.index.insert_unique(spread(key), place, |at| spread(nodes[*at as usize].key));
        self.link_front(list, place);
        Place(place)
    }

    /// Puts another payload and weight in the place of a resident entry's.
    pub(super) fn replace(&mut self, place: Place, weight: u32, payload: T) -> Option<T> {
        let node = &mut self.nodes[place.0 as usize];
        let before = u64::from(std::mem::replace(&mut node.weight, weight));
        let list = &mut self.lists[usize::from(node.list)];
        list.weight = list.weight - before + u64::from(weight);
        self.weight = self.weight - before + u64::from(weight);
        node.payload.replace(payload)
    }

    /// Takes an entry or ghost out.
    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        self.unlink(place.0);
        let node = &mut self.nodes[place.0 as usize];
        let (key, weight) = (node.key, node.weight);
        let payload = node.payload.take();
        node.list = FREE;
        if payload.is_some() {
            self.len -= 1;
            self.weight -= u64::from(weight);
        }
        if let Ok(found) = self.index.find_entry(spread(key), |at| *at == place.0) {
            found.remove();
        }
        self.free.push(place.0);
        payload
    }

    /// The payloads of all resident entries.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = &T> {
        self.nodes.iter().filter_map(|node| node.payload.as_ref())
    }

    /// Empties the table; entries and ghosts come out in the order of their last use.
    pub(super) fn take_all(&mut self) -> Vec<Loose<T>> {
        let (clock, era) = (self.clock, self.era);
        let linked = |node: &Node<T>| node.list != FREE;
        let nodes = std::mem::take(&mut self.nodes).into_iter().filter(linked);
        let loosen = |node: Node<T>| {
            let uses = node.uses >> era.wrapping_sub(node.era).min(7);
            let Node { key, weight, stamp, payload, .. } = node;
            Loose { key, weight, uses, stamp, payload }
        };
        let mut all: Vec<_> = nodes.map(loosen).collect();
        all.sort_by_key(|loose| std::cmp::Reverse(clock.wrapping_sub(loose.stamp)));
        self.free.clear();
        self.index.clear();
        self.lists = [EMPTY; LISTS];
        (self.len, self.weight) = (0, 0);
        all
    }

    fn node(&self, place: Place) -> &Node<T> {
        &self.nodes[place.0 as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(table: &Table<()>, list: ListId) -> Vec<u64> {
        table.places(list).map(|place| table.key(place)).collect()
    }

    fn filled() -> Table<()> {
        let mut table = Table::new(100);
        for key in 1..=4 {
            table.push_front(0, key, key as u32, ());
        }
        table
    }

    #[test]
    fn lists_keep_order_length_and_weight() {
        let mut table = filled();
        assert_eq!(keys(&table, 0), [4, 3, 2, 1]);
        let place = table.find(2).unwrap();
        table.move_to_front(0, place);
        assert_eq!(keys(&table, 0), [2, 4, 3, 1]);
        let place = table.find(4).unwrap();
        table.move_to_front(1, place);
        assert_eq!((keys(&table, 0), keys(&table, 1)), (vec![2, 3, 1], vec![4]));
        assert_eq!((table.list_weight(0), table.list_weight(1), table.list_len(0)), (6, 4, 3));
        assert_eq!(table.pop_back(0), Some(1));
        table.push_front(0, 7, 1, ());
        assert_eq!(keys(&table, 0), [7, 2, 3]);
        assert!(table.find(1).is_none());
        assert_eq!((table.resident_len(), table.resident_weight()), (4, 10));
    }

    #[test]
    fn ghosts_are_remembered_but_weigh_nothing() {
        let mut table = filled();
        let place = table.find(3).unwrap();
        table.evict_to(2, place);
        assert_eq!((table.resident_len(), table.resident_weight()), (3, 7));
        assert_eq!(table.payload(place), None);
        assert_eq!((keys(&table, 2), table.list_weight(2), table.evicted.len()), (vec![3], 3, 1));
        let loose = table.take_all();
        let order: Vec<_> = loose.iter().map(|one| (one.key, one.payload.is_some())).collect();
        assert_eq!(order, [(1, true), (2, true), (3, false), (4, true)]);
    }

    #[test]
    fn a_use_near_the_front_moves_nothing() {
        let mut table = Table::new(1000);
        for key in 0..160 {
            table.tick();
            table.push_front(0, key, 1, ());
        }
        table.tick();
        table.refresh(0, table.find(155).unwrap());
        assert_eq!(keys(&table, 0)[0], 159);
        table.refresh(0, table.find(100).unwrap());
        assert_eq!(keys(&table, 0)[0], 100);
    }
}
