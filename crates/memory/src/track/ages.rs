//! How old what is held is, without remembering each allocation.
//!
//! Held bytes are kept as generations: so much since then. What is given back is taken from the
//! oldest generation, though it may have been younger: an age told here is therefore never too
//! high, and a leak that is found by it is one. When there are too many generations, two
//! neighbours become one of the younger's age, which errs to the same side.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::{Bytes, Timestamp};
use serde::{Deserialize, Serialize};

/// How many generations are told apart.
const GENERATIONS: usize = 32;

/// Bytes by how long they have been held, at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgeHistogram {
    /// Bytes in each of [`Self::BELOW`], and last those that are older than all of them.
    pub bytes: [Bytes; 6],
}

impl AgeHistogram {
    /// The upper end of each bucket but the last: a second, ten, a minute, ten, an hour.
    pub const BELOW: [Duration; 5] = [
        Duration::from_secs(1),
        Duration::from_secs(10),
        Duration::from_mins(1),
        Duration::from_mins(10),
        Duration::from_hours(1),
    ];
}

/// What is held, by since when.
#[derive(Clone, Debug, Default)]
pub(super) struct Ages {
    /// Oldest first.
    generations: VecDeque<(Timestamp, Bytes)>,
}

impl Ages {
    pub(super) fn take(&mut self, bytes: Bytes, now: Timestamp) {
        if bytes.is_zero() {
            return;
        }
        match self.generations.back_mut() {
            Some((since, held)) if *since >= now => *held = held.saturating_add(bytes),
            _ => self.generations.push_back((now, bytes)),
        }
        if self.generations.len() > GENERATIONS {
            self.merge();
        }
    }

    pub(super) fn give_back(&mut self, bytes: Bytes) {
        let mut left = bytes;
        while let Some((_, held)) = self.generations.front_mut() {
            if *held > left {
                *held = held.saturating_sub(left);
                return;
            }
            left = left.saturating_sub(*held);
            self.generations.pop_front();
        }
    }

    /// How long the oldest has been held, at least.
    pub(super) fn oldest(&self, now: Timestamp) -> Option<Duration> {
        self.generations.front().map(|(since, _)| now.saturating_since(*since))
    }

    pub(super) fn histogram(&self, now: Timestamp) -> AgeHistogram {
        let mut histogram = AgeHistogram::default();
        for (since, bytes) in &self.generations {
            let age = now.saturating_since(*since);
            let bucket = AgeHistogram::BELOW.iter().position(|below| age < *below);
            let slot = &mut histogram.bytes[bucket.unwrap_or(AgeHistogram::BELOW.len())];
            *slot = slot.saturating_add(*bytes);
        }
        histogram
    }

    /// Joins the two of which that falsifies least: by the bytes that become younger, and by how
    /// much. The oldest stays by itself, so that it is told exactly.
    fn merge(&mut self) {
        let error = |index: usize| {
            let ((older, bytes), (younger, _)) =
                (self.generations[index], self.generations[index + 1]);
            bytes.as_f64() * younger.saturating_since(older).as_secs_f64()
        };
        // The newest is still being added to.
        let candidates = 1..self.generations.len().saturating_sub(2);
        let Some(at) = candidates.min_by(|a, b| error(*a).total_cmp(&error(*b))) else { return };
        if let Some((_, bytes)) = self.generations.remove(at) {
            let (_, held) = &mut self.generations[at];
            *held = held.saturating_add(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(second)
    }

    #[test]
    fn ages_are_told_in_buckets() {
        let mut ages = Ages::default();
        ages.take(Bytes::new(5), at(0));
        ages.take(Bytes::new(7), at(5000));
        let histogram = ages.histogram(at(5005));
        assert_eq!(histogram.bytes[5], Bytes::new(5));
        assert_eq!(histogram.bytes[1], Bytes::new(7));
        ages.give_back(Bytes::new(6));
        assert_eq!(ages.oldest(at(5005)), Some(Duration::from_secs(5)));
        ages.give_back(Bytes::new(99));
        assert_eq!(ages.oldest(at(5005)), None);
    }

    proptest! {
        #[test]
        fn sums_hold_and_ages_are_never_too_high(steps in prop::collection::vec((0_u64..100, 0_u64..50, 0_u64..60), 1..300)) {
            let mut ages = Ages::default();
            let (mut now, mut held) = (0, 0_u64);
            // What is truly held, given back oldest first: no order of giving back is older.
            let mut truth: VecDeque<(u64, u64)> = VecDeque::new();
            for (take, back, wait) in steps {
                now += wait;
                ages.take(Bytes::new(take), at(now));
                truth.push_back((now, take));
                held += take;
                let back = back.min(held);
                ages.give_back(Bytes::new(back));
                held -= back;
                let mut left = back;
                while left > 0 {
                    let (_, front) = truth.front_mut().unwrap();
                    let part = left.min(*front);
                    *front -= part;
                    left -= part;
                    if *front == 0 { truth.pop_front(); }
                }
                while truth.front().is_some_and(|(_, bytes)| *bytes == 0) { truth.pop_front(); }
                let sum: Bytes = ages.histogram(at(now)).bytes.into_iter().sum();
                prop_assert_eq!(sum, Bytes::new(held));
                prop_assert!(ages.generations.len() <= GENERATIONS);
                let told = ages.oldest(at(now)).unwrap_or_default();
                let oldest = truth.front().map_or(0, |(since, _)| now - since);
                prop_assert!(told <= Duration::from_secs(oldest), "{told:?} {oldest}");
            }
        }
    }
}
