//! A table and the rules by which it gives entries up: what the engine runs and what miniatures
//! simulate.

use std::fmt;

use plimsoll_core_types::CachePolicy;

use super::arc::Arc;
use super::lirs::Lirs;
use super::lru::Lru;
use super::s3_fifo::S3Fifo;
use super::sieve::Sieve;
use super::table::{ListId, Place, Table};
use super::tiny_lfu::TinyLfu;
use super::window_tiny_lfu::WindowTinyLfu;
use super::{Policy, PolicyState};

/// Uses that a newly chosen policy is shown of an entry, at the most.
const MOST_SHOWN: u8 = 4;

/// What a remembered key was when it was asked for again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ghost {
    pub(super) list: ListId,
    pub(super) stamp: u32,
}

/// The rules of one policy, over a table that somebody else holds.
pub(super) trait Rules<T> {
    /// A resident entry was used.
    fn hit(&mut self, table: &mut Table<T>, place: Place);

    /// Says into which list a newcomer goes, having made room for it; none keeps it out. What it
    /// weighs is no more than the capacity.
    fn admit(
        &mut self,
        table: &mut Table<T>,
        key: u64,
        weight: u32,
        ghost: Option<Ghost>,
    ) -> Option<ListId>;

    /// Gives up what no longer fits: after a newcomer, and when the capacity or a weight changed.
    fn settle(&mut self, table: &mut Table<T>);

    /// The lists of resident entries, the most valuable first.
    fn lists(&self) -> &'static [ListId];

    /// The list of keys that are remembered, where there is one.
    fn ghosts(&self) -> Option<ListId> {
        None
    }
}

macro_rules! rules {
    ($($name:ident($rules:ty)),+ $(,)?) => {
        #[derive(Clone, Debug)]
        enum AnyRules { $($name($rules)),+ }

        impl AnyRules {
            #[inline]
            fn hit<T>(&mut self, table: &mut Table<T>, place: Place) {
                match self { $(Self::$name(rules) => rules.hit(table, place)),+ }
            }

            fn admit<T>(
                &mut self,
                table: &mut Table<T>,
                key: u64,
                weight: u32,
                ghost: Option<Ghost>,
            ) -> Option<ListId> {
                match self { $(Self::$name(rules) => rules.admit(table, key, weight, ghost)),+ }
            }

            fn settle<T>(&mut self, table: &mut Table<T>) {
                match self { $(Self::$name(rules) => rules.settle(table)),+ }
            }

            fn ghosts(&self) -> Option<ListId> {
                match self { $(Self::$name(rules) => Rules::<()>::ghosts(rules)),+ }
            }

            fn lists(&self) -> &'static [ListId] {
                match self { $(Self::$name(rules) => Rules::<()>::lists(rules)),+ }
            }
        }
    };
}

rules! {
    Lru(Lru),
    TinyLfu(TinyLfu),
    Window(WindowTinyLfu),
    S3Fifo(S3Fifo),
    Sieve(Sieve),
    Arc(Arc),
    Lirs(Lirs),
}

impl AnyRules {
    fn new(policy: CachePolicy) -> Option<Self> {
        Some(match policy {
            CachePolicy::Lru => Self::Lru(Lru),
            CachePolicy::TinyLfu => Self::TinyLfu(TinyLfu::default()),
            CachePolicy::WindowTinyLfu => Self::Window(WindowTinyLfu::narrow()),
            CachePolicy::WideTinyLfu => Self::Window(WindowTinyLfu::wide()),
            CachePolicy::S3Fifo => Self::S3Fifo(S3Fifo),
            CachePolicy::Sieve => Self::Sieve(Sieve::default()),
            CachePolicy::Arc => Self::Arc(Arc::default()),
            CachePolicy::Lirs => Self::Lirs(Lirs),
            _ => return None,
        })
    }
}

/// Entries with payloads under a policy that can be changed.
#[derive(Clone)]
pub(crate) struct Core<T> {
    pub(crate) table: Table<T>,
    rules: AnyRules,
    policy: CachePolicy,
}

impl<T> fmt::Debug for Core<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("policy", &self.policy)
            .field("entries", &self.table.resident_len())
            .finish_non_exhaustive()
    }
}

impl<T> Core<T> {
    /// An empty one; none where `policy` has no rules here.
    pub(crate) fn new(policy: CachePolicy, capacity: u64) -> Option<Self> {
        Some(Self { table: Table::new(capacity), rules: AnyRules::new(policy)?, policy })
    }

    /// An empty one under LRU.
    pub(crate) fn lru(capacity: u64) -> Self {
        let (table, policy) = (Table::new(capacity), CachePolicy::Lru);
        Self { table, rules: AnyRules::Lru(Lru), policy }
    }

    pub(crate) const fn policy(&self) -> CachePolicy {
        self.policy
    }

    /// The resident entry of `key`. Not a use.
    #[inline]
    pub(crate) fn peek(&self, key: u64) -> Option<Place> {
        self.table.find(key).filter(|place| self.table.payload(*place).is_some())
    }

    /// Counts a use of a resident entry.
    #[inline]
    pub(crate) fn used(&mut self, place: Place) {
        self.table.tick();
        self.table.count_use(place);
        self.rules.hit(&mut self.table, place);
    }

    /// Offers an entry whose key has none. Where it is kept out it is among the evicted at once.
    pub(crate) fn offer(&mut self, key: u64, weight: u32, payload: T) -> Option<Place> {
        self.table.tick();
        self.table.missed(key);
        let ghost = self.table.find(key).map(|place| {
            let (list, stamp) = (self.table.list_of(place), self.table.stamp(place));
            (place, Ghost { list, stamp })
        });
        if let Some((place, _)) = ghost {
            self.table.remove(place);
        }
        let ghost = ghost.map(|(_, ghost)| ghost);
        let fits = u64::from(weight) <= self.table.capacity();
        let list = if fits { self.rules.admit(&mut self.table, key, weight, ghost) } else { None };
        let Some(list) = list else {
            self.table.evicted.push(payload);
            return None;
        };
        let place = self.table.push_front(list, key, weight, payload);
        self.rules.settle(&mut self.table);
        Some(place)
    }

    /// Takes a resident entry out and forgets its key.
    pub(crate) fn take(&mut self, key: u64) -> Option<T> {
        let place = self.peek(key)?;
        self.table.remove(place)
    }

    pub(crate) fn resize(&mut self, capacity: u64) {
        self.table.set_capacity(capacity);
        self.rules.settle(&mut self.table);
    }

    /// Changes the policy, with every entry kept: the new one is shown them in the order of their
    /// last use, and then some of the uses that they had. False where there are no such rules.
    pub(crate) fn change_policy(&mut self, policy: CachePolicy) -> bool {
        if policy == self.policy {
            return true;
        }
        let Some(rules) = AnyRules::new(policy) else { return false };
        (self.rules, self.policy) = (rules, policy);
        let all = self.table.take_all();
        let (entries, ghosts): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|loose| loose.payload.is_some());
        let mut shown = Vec::with_capacity(entries.len());
        for entry in entries {
            let (key, weight) = (entry.key, entry.weight);
            shown.push((key, entry.uses));
            match self.rules.admit(&mut self.table, key, weight, None) {
                Some(list) => {
                    self.table.push(list, entry);
                    self.rules.settle(&mut self.table);
                }
                None => self.table.evicted.extend(entry.payload),
            }
        }
        for (key, uses) in shown {
            for _ in 1..uses.min(MOST_SHOWN) {
                if let Some(place) = self.peek(key) {
                    self.rules.hit(&mut self.table, place);
                }
            }
        }
        if let Some(list) = self.rules.ghosts() {
            for ghost in ghosts {
                self.table.push(list, ghost);
            }
            self.rules.settle(&mut self.table);
        }
        true
    }

    /// Remembers keys under any policy, for the next.
    pub(crate) fn remembering(mut self) -> Self {
        self.table.remember();
        self
    }
}

impl Policy for Core<()> {
    fn access(&mut self, key: u64, weight: u32) -> bool {
        if let Some(place) = self.peek(key) {
            self.used(place);
            return true;
        }
        self.offer(key, weight, ());
        self.table.evicted.clear();
        false
    }

    fn remove(&mut self, key: u64) -> bool {
        self.take(key).is_some()
    }

    fn set_capacity(&mut self, capacity: u64) {
        self.resize(capacity);
        self.table.evicted.clear();
    }

    fn set_policy(&mut self, policy: CachePolicy) -> bool {
        let done = self.change_policy(policy);
        self.table.evicted.clear();
        done
    }

    fn state(&self) -> PolicyState {
        let (entries, weight) = (self.table.resident_len(), self.table.resident_weight());
        PolicyState { entries, weight, capacity: self.table.capacity() }
    }

    fn resident(&self) -> Vec<(u64, u32)> {
        let places = self.rules.lists().iter().flat_map(|list| self.table.places(*list));
        let resident = places.filter(|place| self.table.payload(*place).is_some());
        resident.map(|place| (self.table.key(place), self.table.entry_weight(place))).collect()
    }

    fn contains(&self, key: u64) -> bool {
        self.peek(key).is_some()
    }
}
