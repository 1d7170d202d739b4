//! Who waits for an object: a slab of places, linked into one list for each class.

use std::task::Waker;

use plimsoll_core_types::Priority;

/// A place in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

/// Everybody who waits or has been given something and has not taken it yet.
///
/// Within a class the first to come goes first. A higher class goes before a lower one, but past
/// the same waiter only so often. Leaving takes constant time.
#[derive(Debug)]
pub(super) struct Waiters<G> {
    places: Vec<Node<G>>,
    vacant: Option<usize>,
    classes: [Class; Priority::COUNT],
    waiting: usize,
    arrivals: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Class {
    first: Option<usize>,
    last: Option<usize>,
    /// How many of higher classes have gone before its first.
    passed: u32,
}

#[derive(Debug)]
struct Node<G> {
    state: State<G>,
    previous: Option<usize>,
    next: Option<usize>,
    class: usize,
    /// Its number in order of arrival.
    arrival: u64,
}

#[derive(Debug)]
enum State<G> {
    Vacant,
    Waits(Option<Waker>),
    Given(G),
}

impl<G> Waiters<G> {
    pub(super) fn new() -> Self {
        let classes = [Class::default(); Priority::COUNT];
        Self { places: Vec::new(), vacant: None, classes, waiting: 0, arrivals: 0 }
    }

    /// How many wait and have been given nothing.
    pub(super) const fn len(&self) -> usize {
        self.waiting
    }

    pub(super) fn push(&mut self, priority: Priority) -> Place {
        let class = priority.index();
        self.arrivals += 1;
        let previous = self.classes[class].last;
        let node =
            Node { state: State::Waits(None), previous, next: None, class, arrival: self.arrivals };
        let index = self.occupy(node);
        match previous {
            Some(previous) => self.places[previous].next = Some(index),
            None => self.classes[class].first = Some(index),
        }
        self.classes[class].last = Some(index);
        self.waiting += 1;
        Place(index)
    }

    /// Gives `gift` to who is next, and says whom to wake. Gives it back where nobody waits.
    pub(super) fn give(&mut self, gift: G, max_bypass: u32) -> Result<Option<Waker>, G> {
        let Some(index) = self.next_in_turn(max_bypass) else { return Err(gift) };
        self.unlink(index);
        let given = std::mem::replace(&mut self.places[index].state, State::Given(gift));
        Ok(if let State::Waits(waker) = given { waker } else { None })
    }

    /// What was given to `place`, which is vacant then; else `waker` is woken when it is.
    pub(super) fn take(&mut self, place: Place, waker: &Waker) -> Option<G> {
        let node = &mut self.places[place.0];
        match &mut node.state {
            State::Given(_) => self.vacate(place.0),
            State::Waits(known) => {
                if known.as_ref().is_none_or(|known| !known.will_wake(waker)) {
                    *known = Some(waker.clone());
                }
                None
            }
            State::Vacant => None,
        }
    }

    /// Leaves the line. What was given in the meantime has to be given to somebody else.
    pub(super) fn leave(&mut self, place: Place) -> Option<G> {
        if matches!(self.places[place.0].state, State::Waits(_)) {
            self.unlink(place.0);
        }
        self.vacate(place.0)
    }

    /// Wakers of all who wait; they find out by themselves that they wait in vain.
    pub(super) fn wake_all(&mut self) -> Vec<Waker> {
        let waker = |node: &mut Node<G>| match &mut node.state {
            State::Waits(waker) => waker.take(),
            _ => None,
        };
        self.places.iter_mut().filter_map(waker).collect()
    }

    /// The first of the highest class, unless the first of a lower one has been passed too often.
    fn next_in_turn(&mut self, max_bypass: u32) -> Option<usize> {
        let firsts = (0..self.classes.len()).filter(|class| self.classes[*class].first.is_some());
        let highest = firsts.clone().next_back()?;
        let passed_enough = |class: &usize| self.classes[*class].passed >= max_bypass;
        let overdue = firsts.filter(|class| *class != highest).find(passed_enough);
        let chosen = overdue.unwrap_or(highest);
        let index = self.classes[chosen].first?;
        let arrival = self.places[index].arrival;
        for class in 0..chosen {
            let first = self.classes[class].first;
            if first.is_some_and(|first| self.places[first].arrival < arrival) {
                self.classes[class].passed = self.classes[class].passed.saturating_add(1);
            }
        }
        Some(index)
    }

    fn unlink(&mut self, index: usize) {
        let (previous, next, class) =
            (self.places[index].previous, self.places[index].next, self.places[index].class);
        if let Some(previous) = previous {
            self.places[previous].next = next;
        } else {
            self.classes[class].first = next;
            self.classes[class].passed = 0;
        }
        match next {
            Some(next) => self.places[next].previous = previous,
            None => self.classes[class].last = previous,
        }
        self.waiting -= 1;
    }

    fn occupy(&mut self, node: Node<G>) -> usize {
        if let Some(index) = self.vacant {
            self.vacant = self.places[index].next;
            self.places[index] = node;
            index
        } else {
            self.places.push(node);
            self.places.len() - 1
        }
    }

    fn vacate(&mut self, index: usize) -> Option<G> {
        let node = &mut self.places[index];
        node.next = self.vacant;
        self.vacant = Some(index);
        match std::mem::replace(&mut node.state, State::Vacant) {
            State::Given(gift) => Some(gift),
            State::Waits(_) | State::Vacant => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives to everybody who waits, and says in which order.
    fn order(waiters: &mut Waiters<usize>, places: &[Place], max_bypass: u32) -> Vec<usize> {
        for gift in 0..waiters.len() {
            assert!(waiters.give(gift, max_bypass).is_ok());
        }
        assert!(matches!(waiters.give(99, max_bypass), Err(99)));
        let mut order = vec![0; places.len()];
        for (index, place) in places.iter().enumerate() {
            if let Some(gift) = waiters.take(*place, Waker::noop()) {
                order[gift] = index;
            }
        }
        order
    }

    #[test]
    fn first_come_first_served_within_a_class() {
        let mut waiters = Waiters::new();
        let places: Vec<_> = (0..6).map(|_| waiters.push(Priority::Normal)).collect();
        assert_eq!(order(&mut waiters, &places, 32), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn higher_classes_go_first_but_only_so_often() {
        let mut waiters = Waiters::new();
        let mut places = vec![waiters.push(Priority::Low), waiters.push(Priority::Low)];
        places.extend((0..5).map(|_| waiters.push(Priority::High)));
        assert_eq!(order(&mut waiters, &places, 3), [2, 3, 4, 0, 5, 6, 1]);
    }

    #[test]
    fn whoever_leaves_is_passed_over_and_places_are_used_again() {
        let mut waiters = Waiters::new();
        for _ in 0..3 {
            let places: Vec<_> = (0..5).map(|_| waiters.push(Priority::Normal)).collect();
            for gone in [0, 2, 4] {
                assert_eq!(waiters.leave(places[gone]), None);
            }
            assert_eq!(waiters.len(), 2);
            assert_eq!(order(&mut waiters, &[places[1], places[3]], 32), [0, 1]);
        }
        assert_eq!(waiters.places.len(), 5);
    }

    #[test]
    fn what_was_given_to_one_that_leaves_comes_back() {
        let mut waiters = Waiters::new();
        let place = waiters.push(Priority::Normal);
        assert!(waiters.give(7, 32).is_ok());
        assert_eq!(waiters.leave(place), Some(7));
        assert_eq!(waiters.len(), 0);
    }
}
