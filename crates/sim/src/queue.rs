//! What happens next.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use plimsoll_core_types::Timestamp;

/// Events in order of time, those of one moment in the order in which they were added.
///
/// ```
/// use plimsoll_core_types::Timestamp;
/// use plimsoll_sim::EventQueue;
///
/// let mut queue = EventQueue::default();
/// queue.push(Timestamp::from_nanos(2), "later");
/// queue.push(Timestamp::from_nanos(1), "sooner");
/// assert_eq!(queue.pop(), Some((Timestamp::from_nanos(1), "sooner")));
/// ```
#[derive(Debug)]
pub struct EventQueue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    added: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Timestamp,
    number: u64,
    event: E,
}

impl<E> Default for EventQueue<E> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), added: 0 }
    }
}

impl<E> EventQueue<E> {
    /// Adds an event that happens at `at`.
    pub fn push(&mut self, at: Timestamp, event: E) {
        self.added += 1;
        self.heap.push(Reverse(Entry { at, number: self.added, event }));
    }

    /// The next event, with its time.
    pub fn pop(&mut self) -> Option<(Timestamp, E)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }

    /// When the next event happens.
    pub fn next_at(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// How many events are to come.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// True when nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<E> Eq for Entry<E> {}
