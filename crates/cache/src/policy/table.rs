//! The store that every policy is written on: entries in a slab, each in one of four lists.

use std::collections::HashMap;

use crate::hash::Spread;

const NONE: u32 = u32::MAX;
const LISTS: usize = 4;

/// Names one of the table's lists.
pub(super) type ListId = usize;

#[derive(Clone, Copy, Debug)]
struct Node {
    key: u64,
    weight: u32,
    prev: u32,
    next: u32,
    list: u8,
    mark: u8,
}

#[derive(Clone, Copy, Debug)]
struct List {
    front: u32,
    back: u32,
    len: usize,
    weight: u64,
}

const EMPTY: List = List { front: NONE, back: NONE, len: 0, weight: 0 };

/// What was taken out of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) key: u64,
    pub(super) weight: u32,
}

/// Entries by key and in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    nodes: Vec<Node>,
    free: Vec<u32>,
    index: HashMap<u64, u32, Spread>,
    lists: Lists,
}

#[derive(Clone, Debug)]
struct Lists([List; LISTS]);

impl Default for Lists {
    fn default() -> Self {
        Self([EMPTY; LISTS])
    }
}

/// A place in a table; valid until the entry is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

impl Table {
    pub(super) fn find(&self, key: u64) -> Option<Place> {
        self.index.get(&key).map(|place| Place(*place))
    }

    pub(super) fn key(&self, place: Place) -> u64 {
        self.node(place).key
    }

    pub(super) fn entry_weight(&self, place: Place) -> u32 {
        self.node(place).weight
    }

    pub(super) fn list_of(&self, place: Place) -> ListId {
        ListId::from(self.node(place).list)
    }

    pub(super) fn mark(&self, place: Place) -> u8 {
        self.node(place).mark
    }

    pub(super) fn set_mark(&mut self, place: Place, mark: u8) {
        self.nodes[place.0 as usize].mark = mark;
    }

    pub(super) fn len(&self, list: ListId) -> usize {
        self.lists.0[list].len
    }

    pub(super) fn weight(&self, list: ListId) -> u64 {
        self.lists.0[list].weight
    }

    /// The entry that has been longest in `list`.
    pub(super) fn back(&self, list: ListId) -> Option<Place> {
        some(self.lists.0[list].back)
    }

    /// The one before `place`, nearer the front of its list.
    pub(super) fn toward_front(&self, place: Place) -> Option<Place> {
        some(self.node(place).prev)
    }

    /// The keys of `list`, from the front.
    pub(super) fn keys(&self, list: ListId) -> impl Iterator<Item = (u64, u32)> + '_ {
        let mut next = some(self.lists.0[list].front);
        std::iter::from_fn(move || {
            let node = self.node(next?);
            next = some(node.next);
            Some((node.key, node.weight))
        })
    }

    /// Adds a key that is not in the table.
    pub(super) fn push_front(&mut self, list: ListId, key: u64, weight: u32) -> Place {
        let node = Node { key, weight, prev: NONE, next: NONE, list: list as u8, mark: 0 };
        let place = if let Some(place) = self.free.pop() {
            self.nodes[place as usize] = node;
            place
        } else {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        };
        self.index.insert(key, place);
        self.link_front(list, place);
        Place(place)
    }

    pub(super) fn move_to_front(&mut self, list: ListId, place: Place) {
        self.unlink(place.0);
        self.link_front(list, place.0);
    }

    pub(super) fn remove(&mut self, place: Place) -> Taken {
        self.unlink(place.0);
        let node = self.nodes[place.0 as usize];
        self.index.remove(&node.key);
        self.free.push(place.0);
        Taken { key: node.key, weight: node.weight }
    }

    pub(super) fn pop_back(&mut self, list: ListId) -> Option<Taken> {
        let place = self.back(list)?;
        Some(self.remove(place))
    }

    fn node(&self, place: Place) -> &Node {
        &self.nodes[place.0 as usize]
    }

    fn link_front(&mut self, list: ListId, place: u32) {
        let front = self.lists.0[list].front;
        let node = &mut self.nodes[place as usize];
        (node.list, node.prev, node.next) = (list as u8, NONE, front);
        let weight = u64::from(node.weight);
        if front == NONE {
            self.lists.0[list].back = place;
        } else {
            self.nodes[front as usize].prev = place;
        }
        let list = &mut self.lists.0[list];
        list.front = place;
        list.len += 1;
        list.weight += weight;
    }

    fn unlink(&mut self, place: u32) {
        let node = self.nodes[place as usize];
        if node.prev != NONE {
            self.nodes[node.prev as usize].next = node.next;
        }
        if node.next != NONE {
            self.nodes[node.next as usize].prev = node.prev;
        }
        let list = &mut self.lists.0[node.list as usize];
        if list.front == place {
            list.front = node.next;
        }
        if list.back == place {
            list.back = node.prev;
        }
        list.len -= 1;
        list.weight -= u64::from(node.weight);
    }
}

fn some(place: u32) -> Option<Place> {
    (place != NONE).then_some(Place(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(table: &Table, list: ListId) -> Vec<u64> {
        table.keys(list).map(|(key, _)| key).collect()
    }

    #[test]
    fn lists_keep_order_length_and_weight() {
        let mut table = Table::default();
        for key in 1..=4 {
            table.push_front(0, key, key as u32);
        }
        assert_eq!(keys(&table, 0), [4, 3, 2, 1]);
        let place = table.find(2).unwrap();
        table.move_to_front(0, place);
        assert_eq!(keys(&table, 0), [2, 4, 3, 1]);
        let place = table.find(4).unwrap();
        table.move_to_front(1, place);
        assert_eq!((keys(&table, 0), keys(&table, 1)), (vec![2, 3, 1], vec![4]));
        assert_eq!((table.weight(0), table.weight(1), table.len(0)), (6, 4, 3));
        assert_eq!(table.pop_back(0), Some(Taken { key: 1, weight: 1 }));
        table.push_front(0, 7, 1);
        assert_eq!(keys(&table, 0), [7, 2, 3]);
        assert!(table.find(1).is_none());
    }
}
