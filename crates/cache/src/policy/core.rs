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

/// What a remembered key was when it was asked for again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ghost {
    pub(super) list: ListId,
    pub(super) stamp: u32,
}

/// The rules of one policy, over a table that somebody else holds.
pub(super) trait Rules<T> {
    /// How high a hit raises the entry's mark, where it does no more than that. Where this is
    /// zero [`hit`](Self::hit) is called instead.
    fn marks(&self) -> u8 {
        0
    }

    /// A resident entry was used.
    fn hit(&mut self, _table: &mut Table<T>, _place: Place) {}

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

    /// The lists whose last may go when a newcomer is admitted, so that they can be asked for.
    fn leaving(&self, _table: &Table<T>) -> &'static [ListId] {
        &[]
    }

    /// Takes over the entries of another policy, those used longest ago first, each into the list
    /// in which it would be had these rules been in force: what is known of an entry is when it
    /// was used last, and how often of late.
    fn adopt(&mut self, table: &mut Table<T>, entries: &[Place]);

    /// Into which list a remembered key goes that another policy leaves and that was asked for
    /// `uses` times of late, where there is one.
    fn ghosts(&self, _uses: u8) -> Option<ListId> {
        None
    }
}

macro_rules! rules {
    ($($name:ident($rules:ty)),+ $(,)?) => {
        #[derive(Clone, Debug)]
        enum AnyRules { $($name($rules)),+ }

        impl AnyRules {
            fn marks(&self) -> u8 {
                match self { $(Self::$name(rules) => Rules::<()>::marks(rules)),+ }
            }

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

            fn leaving<T>(&self, table: &Table<T>) -> &'static [ListId] {
                match self { $(Self::$name(rules) => rules.leaving(table)),+ }
            }

            fn adopt<T>(&mut self, table: &mut Table<T>, entries: &[Place]) {
                match self { $(Self::$name(rules) => rules.adopt(table, entries)),+ }
            }

            fn ghosts(&self, uses: u8) -> Option<ListId> {
                match self { $(Self::$name(rules) => Rules::<()>::ghosts(rules, uses)),+ }
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
#[repr(C)]
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
        let (mut table, rules) = (Table::new(capacity), AnyRules::new(policy)?);
        table.marks = rules.marks();
        Some(Self { table, rules, policy })
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
        self.table.find(key).filter(|place| self.table.is_resident(*place))
    }

    /// Counts a use of a resident entry.
    #[inline]
    pub(crate) fn used(&mut self, place: Place) {
        self.table.tick();
        if self.table.marks > 0 {
            self.table.mark_use(place);
        } else {
            self.hit(place);
        }
    }

    #[inline(never)]
    fn hit(&mut self, place: Place) {
        self.table.count_use(place);
        self.rules.hit(&mut self.table, place);
    }

    /// Offers an entry whose key has none. Where it is kept out it is among the evicted at once.
    pub(crate) fn offer(&mut self, key: u64, weight: u32, payload: T) -> Option<Place> {
        let known = self.table.find(key);
        self.offer_known(key, known, weight, payload)
    }

    /// Asks the processor for what an offer of `key` will touch.
    #[inline]
    pub(crate) fn expect(&self, key: u64) {
        self.table.expect(key, self.rules.leaving(&self.table));
    }

    /// As [`offer`](Self::offer), where the key's ghost was found already, if it has one.
    pub(crate) fn offer_known(
        &mut self,
        key: u64,
        known: Option<Place>,
        weight: u32,
        payload: T,
    ) -> Option<Place> {
        self.table.tick();
        let uses = self.table.missed(key);
        let ghost = known.map(|place| {
            let (list, stamp) = (self.table.list_of(place), self.table.stamp(place));
            self.table.loosen(place);
            Ghost { list, stamp }
        });
        let fits = u64::from(weight) <= self.table.capacity();
        let list = if fits { self.rules.admit(&mut self.table, key, weight, ghost) } else { None };
        let Some(list) = list else {
            if let Some(place) = known {
                self.table.forget(place);
            }
            self.table.evicted.push(payload);
            return None;
        };
        let place = if let Some(place) = known {
            self.table.revive(list, place, weight, uses, payload);
            place
        } else {
            self.table.push_front(list, key, weight, uses, payload)
        };
        self.rules.settle(&mut self.table);
        Some(place)
    }

    /// Puts another payload in the place of a resident entry's, which counts as a use, and says
    /// what was there before. What weighs more than the capacity is among the evicted at once, and
    /// then the key has no entry.
    pub(crate) fn replace(&mut self, place: Place, weight: u32, payload: T) -> Option<T> {
        if u64::from(weight) > self.table.capacity() {
            self.table.evicted.push(payload);
            return self.table.remove(place);
        }
        let reweighed = self.table.reweigh(place, weight);
        let before = self.table.replace(place, payload);
        self.used(place);
        if reweighed {
            self.rules.settle(&mut self.table);
        }
        before
    }

    /// What was given up since it was asked last: one, and the rest where there are more. For
    /// whoever drops it outside of a lock; one alone costs no allocation.
    #[inline]
    pub(crate) fn take_evicted(&mut self) -> (Option<T>, Vec<T>) {
        self.table.evicted.take()
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

    /// Changes the policy, with every entry kept and put where the new one would have it. False
    /// where there are no such rules.
    pub(crate) fn change_policy(&mut self, policy: CachePolicy) -> bool {
        if policy == self.policy {
            return true;
        }
        let Some(rules) = AnyRules::new(policy) else { return false };
        (self.rules, self.policy) = (rules, policy);
        self.table.marks = self.rules.marks();
        let (entries, ghosts) = self.table.take_lists();
        self.rules.adopt(&mut self.table, &entries);
        for ghost in ghosts {
            match self.rules.ghosts(self.table.frequency(ghost)) {
                Some(list) => self.table.enlist(list, ghost),
                None => drop(self.table.forget(ghost)),
            }
        }
        self.rules.settle(&mut self.table);
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
        let resident = places.filter(|place| self.table.is_resident(*place));
        resident.map(|place| (self.table.key(place), self.table.entry_weight(place))).collect()
    }

    fn contains(&self, key: u64) -> bool {
        self.peek(key).is_some()
    }
}

/// Marks for `entries` (those used longest ago first) the newest that weigh no more than `most`
/// together, among those that `eligible` lets in.
pub(super) fn newest<T>(
    table: &Table<T>,
    entries: &[Place],
    most: u64,
    eligible: impl Fn(usize, Place) -> bool,
) -> Vec<bool> {
    let mut taken = vec![false; entries.len()];
    let mut weight = 0_u64;
    for (at, entry) in entries.iter().enumerate().rev() {
        if eligible(at, *entry) {
            weight += u64::from(table.entry_weight(*entry));
            if weight > most {
                break;
            }
            taken[at] = true;
        }
    }
    taken
}
