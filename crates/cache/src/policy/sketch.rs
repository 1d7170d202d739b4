//! How often keys were asked for of late, in four bits each.

use crate::hash::mix;

const ONE_OF_EACH: u64 = 0x1111_1111_1111_1111;
const HALVED: u64 = 0x7777_7777_7777_7777;

/// A count-min sketch of 4-bit counters that are halved from time to time.
///
/// Each of four rows has its own counter for a key; the least of the four is the estimate. After
/// ten accesses for each entry of the cache every counter is halved, so that the past fades.
///
/// Source: Einziger, Friedman, Manes, *`TinyLFU`: A Highly Efficient Cache Admission Policy*
/// (ACM TOS 2017).
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    /// 16 counters in each word; each row has every fourth nibble.
    words: Vec<u64>,
    mask: u64,
    count: u64,
    limit: u64,
}

impl Sketch {
    /// A sketch for a cache of `entries` entries.
    pub(crate) fn new(entries: u64) -> Self {
        let words = entries.clamp(16, 1 << 30).next_power_of_two();
        let limit = entries.clamp(16, 1 << 40) * 10;
        Self { words: vec![0; words as usize], mask: words - 1, count: 0, limit }
    }

    /// For how many entries it is large enough.
    pub(crate) fn entries(&self) -> u64 {
        self.limit / 10
    }

    /// How often `key` was counted of late, 0 to 15; seldom less than the truth.
    #[inline]
    pub(crate) fn estimate(&self, key: u64) -> u8 {
        let hash = mix(key);
        let counters = (0..4).map(|row| {
            let (word, shift) = self.counter(hash, row);
            ((self.words[word] >> shift) & 15) as u8
        });
        counters.min().unwrap_or(0)
    }

    /// Counts one access to `key`.
    #[inline]
    pub(crate) fn count(&mut self, key: u64) {
        let hash = mix(key);
        let mut counted = false;
        for row in 0..4 {
            let (word, shift) = self.counter(hash, row);
            if (self.words[word] >> shift) & 15 < 15 {
                self.words[word] += 1 << shift;
                counted = true;
            }
        }
        if counted {
            self.count += 1;
            if self.count >= self.limit {
                self.halve();
            }
        }
    }

    #[inline]
    fn counter(&self, hash: u64, row: u32) -> (usize, u32) {
        let word = mix(hash ^ (u64::from(row) << 56)) & self.mask;
        // Two bits of the hash choose one of the row's four nibbles in the word.
        let nibble = (hash >> (2 * row)) & 3;
        (word as usize, (row * 4) * 4 + (nibble as u32) * 4)
    }

    fn halve(&mut self) {
        let mut odd = 0;
        for word in &mut self.words {
            odd += u64::from((*word & ONE_OF_EACH).count_ones());
            *word = (*word >> 1) & HALVED;
        }
        self.count = (self.count - odd / 4) / 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_fifteen_and_fades() {
        let mut sketch = Sketch::new(64);
        for _ in 0..20 {
            sketch.count(1);
        }
        assert_eq!(sketch.estimate(1), 15);
        sketch.halve();
        assert_eq!(sketch.estimate(1), 7);
        assert_eq!(sketch.estimate(2), 0);
    }

    #[test]
    fn never_counts_less_than_the_truth_before_it_fades() {
        let mut sketch = Sketch::new(1024);
        for key in 0..1024 {
            for _ in 0..key % 5 {
                sketch.count(key);
            }
        }
        assert!((0..1024).all(|key| u64::from(sketch.estimate(key)) >= key % 5));
        let inflated = (0..1024).filter(|key| u64::from(sketch.estimate(*key)) > key % 5).count();
        assert!(inflated < 20, "{inflated}");
    }
}
