//! The lists in which a table's entries stand, and how entries leave them.

use super::{FRONT_PART, Link, ListId, NONE, Place, Table};

impl<T> Table<T> {
    pub(in crate::policy) fn list_of(&self, place: Place) -> ListId {
        ListId::from(self.link(place).list)
    }

    pub(in crate::policy) fn list_len(&self, list: ListId) -> usize {
        self.lists[list].len as usize
    }

    pub(in crate::policy) fn list_weight(&self, list: ListId) -> u64 {
        self.lists[list].weight
    }

    /// The entry that has been longest in `list`.
    pub(in crate::policy) fn back(&self, list: ListId) -> Option<Place> {
        some(self.ends[list].back)
    }

    /// The one before `place`, nearer the front of its list.
    pub(in crate::policy) fn toward_front(&self, place: Place) -> Option<Place> {
        some(self.link(place).prev)
    }

    /// The places of `list`, from the front.
    pub(in crate::policy) fn places(&self, list: ListId) -> impl Iterator<Item = Place> + '_ {
        let mut next = some(self.ends[list].front);
        std::iter::from_fn(move || {
            let place = next?;
            next = some(self.link(place).next);
            Some(place)
        })
    }

    pub(in crate::policy) fn move_to_front(&mut self, list: ListId, place: Place) {
        self.unlink(place.0);
        self.link_front(list, place.0);
    }

    /// Notes a use of an entry in a list that is ordered by use.
    #[inline]
    pub(in crate::policy) fn refresh(&mut self, list: ListId, place: Place) {
        let age = self.now().wrapping_sub(self.stamp(place));
        if self.list_of(place) != list || age > self.lists[list].len / FRONT_PART {
            self.move_to_front(list, place);
            self.restamp(place);
        }
    }

    /// Gives an entry up.
    pub(in crate::policy) fn evict(&mut self, place: Place) {
        if self.is_resident(place) {
            self.hand_over_uses(place);
        }
        if let Some(payload) = self.remove(place) {
            self.evicted.push(payload);
        }
    }

    /// Lets the sketch know how often an entry was used that is given up. One use is what made it
    /// an entry: that one the sketch has counted. Of an entry that was not used since it came the
    /// sketch knows it all: it told how often the key had been asked for, and both faded alike.
    fn hand_over_uses(&mut self, place: Place) {
        let frequency = self.frequency(place);
        if frequency > 1 && self.node(place).used().is_again() {
            self.history.raise(self.key(place), frequency);
        }
    }

    /// Gives an entry up, and remembers its key at the front of `list`.
    pub(in crate::policy) fn evict_to(&mut self, list: ListId, place: Place) {
        self.hand_over_uses(place);
        if let Some(payload) = self.nodes[place.0 as usize].take() {
            self.len -= 1;
            self.weight -= u64::from(self.entry_weight(place));
            self.evicted.push(payload);
        }
        self.move_to_front(list, place);
    }

    /// Gives an entry up for a policy that has no use for ghosts in `list` itself.
    pub(in crate::policy) fn evict_for(&mut self, list: ListId, place: Place) {
        if !self.remembers {
            self.evict(place);
            return;
        }
        self.evict_to(list, place);
        while self.list_weight(list) > self.capacity && self.pop_back(list).is_some() {}
    }

    /// Forgets the oldest of `list`.
    pub(in crate::policy) fn pop_back(&mut self, list: ListId) -> Option<u64> {
        let place = self.back(list)?;
        let key = self.key(place);
        self.evict(place);
        Some(key)
    }

    pub(super) fn link_front(&mut self, list: ListId, place: u32) {
        let front = self.ends[list].front;
        let link = &mut self.links[place as usize];
        (link.list, link.prev, link.next) = (list as u8, NONE, front);
        let weight = u64::from(link.weight);
        if front == NONE {
            self.ends[list].back = place;
        } else {
            self.links[front as usize].prev = place;
        }
        self.ends[list].front = place;
        let list = &mut self.lists[list];
        list.len += 1;
        list.weight += weight;
    }

    pub(super) fn unlink(&mut self, place: u32) {
        let Link { prev, next, list, weight, .. } = self.links[place as usize];
        if prev != NONE {
            self.links[prev as usize].next = next;
        }
        if next != NONE {
            self.links[next as usize].prev = prev;
        }
        let ends = &mut self.ends[list as usize];
        if ends.front == place {
            ends.front = next;
        }
        if ends.back == place {
            ends.back = prev;
        }
        let list = &mut self.lists[list as usize];
        list.len -= 1;
        list.weight -= u64::from(weight);
    }
}

fn some(place: u32) -> Option<Place> {
    (place != NONE).then_some(Place(place))
}
