//! The store that every policy is written on: entries in a slab, each in one of four lists.

mod evicted;
mod expect;
pub(crate) mod index;
mod lists;
mod node;
#[cfg(test)]
mod tests;
mod uses;

use super::sketch::Sketch;
use crate::hash::spread;
use evicted::Evicted;
use index::Index;
use node::{Link, Node, Used};

const NONE: u32 = u32::MAX;
const LISTS: usize = 4;

/// The list of nodes that are in none.
const FREE: u8 = u8::MAX;

/// A list is so many times longer than the part of its front in which an entry is left where it
/// is when it is used: moving it would hardly change the order, and costs five writes.
const FRONT_PART: u32 = 16;

/// Names one of the table's lists.
pub(crate) type ListId = usize;

#[derive(Clone, Copy, Debug)]
struct Ends {
    front: u32,
    back: u32,
}

#[derive(Clone, Copy, Debug)]
struct List {
    len: u32,
    weight: u64,
}

const NOWHERE: Ends = Ends { front: NONE, back: NONE };
const EMPTY: List = List { len: 0, weight: 0 };

/// Entries by key and in order. Those with a payload are resident, the others are ghosts: keys
/// that are remembered.
///
/// How often a resident entry is used is counted in its node, how often another key is asked for in
/// a sketch; each passes to the other when an entry comes and goes. So a hit touches no sketch, and
/// whatever policy comes into force finds every frequency known.
///
/// The fields stand in lines: what every look-up writes to, on the line of the lock before it; what
/// it only reads; what comings and goings write to; what these read. So processors take no more
/// lines from each other than they must.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Table<T> {
    /// Accesses so far.
    clock: u64,
    /// What is written to in the place of a [node](Node::set_used_if) to be left alone.
    nowhere: Used,
    ends: [Ends; LISTS],
    /// How many entries are resident.
    len: usize,

    nodes: Vec<Node<T>>,
    index: Index,
    /// The clock at which frequencies are halved next.
    aging: u64,
    capacity: u64,
    /// How many times they were halved.
    era: u8,
    /// How high a use may raise an entry's mark, where the policy in force does no more than that
    /// at a hit; else zero.
    pub(super) marks: u8,
    /// Whether every entry and ghost so far weighed one, so that none need be asked.
    ones: bool,
    /// Whether keys are remembered for policies that have no use for them, but whose successor may.
    remembers: bool,

    lists: [List; LISTS],
    /// What the resident entries weigh.
    weight: u64,
    /// Nodes without a key.
    free: Vec<u32>,
    pub(super) evicted: Evicted<T>,

    /// As many as there are nodes.
    links: Vec<Link>,
    /// How often keys without an entry are asked for.
    history: Sketch,
}

/// A place in a table; valid until the entry is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl<T> Table<T> {
    pub(super) fn new(capacity: u64) -> Self {
        let history = Sketch::new(0);
        Self {
            nodes: Vec::new(),
            index: Index::new(),
            links: Vec::new(),
            clock: 0,
            aging: uses::AGING * history.entries(),
            era: 0,
            marks: 0,
            ones: true,
            nowhere: Used::new(0, 0, 0, 0),
            ends: [NOWHERE; LISTS],
            lists: [EMPTY; LISTS],
            capacity,
            len: 0,
            weight: 0,
            free: Vec::new(),
            history,
            remembers: false,
            evicted: Evicted::new(),
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

    /// Where the index is now; see [`index::prefetch`].
    #[inline]
    pub(crate) fn whereabouts(&self) -> (usize, usize) {
        self.index.whereabouts()
    }

    #[inline]
    pub(crate) fn find(&self, key: u64) -> Option<Place> {
        self.index.find(spread(key), |place| {
            (self.links[place as usize].key == key).then_some(Place(place))
        })
    }

    /// The resident entry of `key` whose payload is the one that `is_it` means, and that payload.
    /// Touches no more than it.
    #[expect(clippy::inline_always, reason = "what a hit costs is a call apart otherwise")]
    #[inline(always)]
    pub(crate) fn find_resident(
        &self,
        key: u64,
        is_it: impl Fn(&T) -> bool,
    ) -> Option<(Place, &T)> {
        self.index.find(spread(key), |place| {
            let payload = self.nodes[place as usize].payload().filter(|payload| is_it(payload));
            payload.map(|payload| (Place(place), payload))
        })
    }

    #[inline]
    pub(crate) fn payload(&self, place: Place) -> Option<&T> {
        self.node(place).payload()
    }

    #[inline]
    pub(crate) fn is_resident(&self, place: Place) -> bool {
        self.node(place).is_resident()
    }

    pub(super) fn key(&self, place: Place) -> u64 {
        self.link(place).key
    }

    pub(crate) fn entry_weight(&self, place: Place) -> u32 {
        self.link(place).weight
    }

    pub(super) fn stamp(&self, place: Place) -> u32 {
        self.node(place).used().stamp()
    }

    /// The entry was used now.
    pub(super) fn restamp(&mut self, place: Place) {
        let now = self.now();
        let node = &mut self.nodes[place.0 as usize];
        node.set_used(node.used().at(now));
    }

    pub(super) fn mark(&self, place: Place) -> u8 {
        self.node(place).used().mark()
    }

    pub(super) fn set_mark(&mut self, place: Place, mark: u8) {
        let node = &mut self.nodes[place.0 as usize];
        // Hot entries stay as they are, and their cache lines clean.
        if node.used().mark() != mark {
            node.set_used(node.used().marked(mark));
        }
    }

    /// Adds a resident entry whose key is not in the table, and was asked for `uses` times of late.
    pub(super) fn push_front(
        &mut self,
        list: ListId,
        key: u64,
        weight: u32,
        uses: u8,
        payload: T,
    ) -> Place {
        self.len += 1;
        self.weight += u64::from(weight);
        self.ones &= weight == 1;
        let node = Node::new(self.now(), uses.max(1), self.era, payload);
        let link = Link::new(key, weight);
        let place = if let Some(place) = self.free.pop() {
            (self.nodes[place as usize], self.links[place as usize]) = (node, link);
            place
        } else {
            self.nodes.push(node);
            self.links.push(link);
            (self.nodes.len() - 1) as u32
        };
        let links = &self.links;
        let places = self.nodes.len() - self.free.len();
        self.index.fit(places, |at| spread(links[at as usize].key));
        self.index.insert(spread(key), place);
        self.link_front(list, place);
        Place(place)
    }

    /// Takes a ghost out of its list; its key stays known until it is either
    /// [revived](Self::revive) or [forgotten](Self::forget).
    pub(super) fn loosen(&mut self, place: Place) {
        self.unlink(place.0);
        self.links[place.0 as usize].list = FREE;
    }

    /// Makes a loose ghost resident, as [`push_front`](Self::push_front) does with a new key.
    pub(super) fn revive(&mut self, list: ListId, place: Place, weight: u32, uses: u8, payload: T) {
        self.len += 1;
        self.weight += u64::from(weight);
        self.ones &= weight == 1;
        let (stamp, era) = (self.now(), self.era);
        let node = &mut self.nodes[place.0 as usize];
        node.set_used(Used::new(stamp, 0, uses.max(1), era));
        node.put(payload);
        self.links[place.0 as usize].weight = weight;
        self.link_front(list, place.0);
    }

    /// Gives an entry another weight; false where it is the same.
    #[inline]
    pub(super) fn reweigh(&mut self, place: Place, weight: u32) -> bool {
        if self.ones && weight == 1 {
            return false;
        }
        let link = &mut self.links[place.0 as usize];
        let (before, after) = (u64::from(link.weight), u64::from(weight));
        link.weight = weight;
        let list = &mut self.lists[usize::from(link.list)];
        list.weight = list.weight - before + after;
        self.weight = self.weight - before + after;
        self.ones = false;
        before != after
    }

    /// Puts another payload in the place of a resident entry's.
    #[inline]
    pub(super) fn replace(&mut self, place: Place, payload: T) -> Option<T> {
        self.nodes[place.0 as usize].put(payload)
    }

    /// Takes an entry or ghost out.
    #[inline]
    pub(super) fn remove(&mut self, place: Place) -> Option<T> {
        self.unlink(place.0);
        self.forget(place)
    }

    /// Takes out what is in no list.
    #[inline]
    pub(super) fn forget(&mut self, place: Place) -> Option<T> {
        let link = &mut self.links[place.0 as usize];
        link.list = FREE;
        let (key, weight) = (link.key, link.weight);
        let payload = self.nodes[place.0 as usize].take();
        if payload.is_some() {
            self.len -= 1;
            self.weight -= u64::from(weight);
        }
        self.index.remove(spread(key), place.0);
        self.free.push(place.0);
        payload
    }

    /// The payloads of all resident entries.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = &T> {
        self.nodes.iter().filter_map(Node::payload)
    }

    /// Empties every list. Entries and ghosts stay, and must be [put](Self::enlist) into lists
    /// anew or forgotten: they come out here in the order of their last use, entries first. This
    /// takes four bytes of memory for each, and no more.
    pub(super) fn take_lists(&mut self) -> (Vec<Place>, Vec<Place>) {
        (self.ends, self.lists) = ([NOWHERE; LISTS], [EMPTY; LISTS]);
        let (now, era) = (self.now(), self.era);
        let mut all = Vec::with_capacity(self.nodes.len() - self.free.len());
        for (at, (node, link)) in self.nodes.iter_mut().zip(&mut self.links).enumerate() {
            if link.list != FREE {
                let used = node.used();
                node.set_used(Used::new(used.stamp(), 0, used.uses_in(era), era).again());
                link.list = FREE;
                all.push(Place(at as u32));
            }
        }
        let ghost = |place: &Place| !self.node(*place).is_resident();
        let age = |place: &Place| now.wrapping_sub(self.node(*place).used().stamp());
        all.sort_unstable_by_key(|place| (ghost(place), std::cmp::Reverse(age(place)), place.0));
        let entries = all.partition_point(|place| !ghost(place));
        let ghosts = all.split_off(entries);
        (all, ghosts)
    }

    /// Puts an entry or ghost that is in no list at the front of one.
    pub(super) fn enlist(&mut self, list: ListId, place: Place) {
        self.link_front(list, place.0);
    }

    #[inline]
    fn node(&self, place: Place) -> &Node<T> {
        &self.nodes[place.0 as usize]
    }

    #[inline]
    fn link(&self, place: Place) -> &Link {
        &self.links[place.0 as usize]
    }
}
